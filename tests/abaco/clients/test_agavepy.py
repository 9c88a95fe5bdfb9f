"""agavepy as it is on PyPI, in processes of its own, through the tunnel that ends in the gateway."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from abaco import clock
from abaco.store import tables
from abaco.store.database import Database
from tests.abaco.running import (
    ACTORS,
    ADMIN,
    EVERYONE,
    PROBE,
    SECONDS,
    Client,
    RunningGateway,
    eventually,
)

SERVER = "https://api.abaco.local"
IMAGES = {
    **PROBE,
    # answers with agavepy's context
    "context": {"folder": str(ACTORS), "command": ["python3", "context.py"]},
    # writes the bytes of a binary message into its log
    "dump": {"folder": ".", "command": ["sh", "-c", 'od -An -tx1 "$_abaco_binary_fifo"']},
}
Agave = Callable[..., Any]
DRIVER = """
import json, sys
from agavepy.agave import Agave

arguments = json.loads(sys.argv[1])
client = Agave(**arguments) if arguments else Agave.restore()
for line in sys.stdin:
    operation, arguments = json.loads(line)
    if "message" in arguments:
        arguments["message"] = bytes.fromhex(arguments["message"])
    try:
        result = getattr(client.actors, operation)(**arguments)
        reply = {"result": result if isinstance(result, (dict, list)) else None}
        if hasattr(type(result), "content"):
            reply = {"result": result.content.decode()}
    except Exception as error:
        response = getattr(error, "response", None)
        reply = {"error": type(error).__name__}
        if response is not None:
            reply.update(status=response.status_code, text=response.text)
    print(json.dumps(reply), flush=True)
"""


class Refused(Exception):
    """What agavepy raised: the name of the error, and the reply if there was one."""

    def __init__(self, error: str, status: int | None, text: str) -> None:
        super().__init__(error, status, text)
        self.error = error
        self.status = status
        self.text = text


@contextlib.contextmanager
def connected(
    gateway: RunningGateway, home: Path, cache: Path | None = None, **credentials: Any
) -> Iterator[Agave]:
    """Give a client `agavepy.agave.Agave` in a process of its own.

    Args:
        gateway: to which its tunnel leads, whatever the name of the server.
        home: its home directory.
        cache: the folder of the file from which it is restored, where there are no credentials.
        credentials: how it is made.
    """
    environ = {"PATH": os.environ["PATH"], "HOME": str(home), "HTTPS_PROXY": gateway.url}
    if cache is not None:
        environ["AGAVE_CACHE_DIR"] = str(cache)
    else:
        credentials = {"api_server": SERVER, "verify": False, **credentials}
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", DRIVER, json.dumps(credentials)],
        cwd=home,
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def call(operation: str, **arguments: Any) -> Any:
        """Return what `client.actors.<operation>(**arguments)` returns."""
        assert process.stdin is not None
        assert process.stdout is not None
        print(json.dumps([operation, arguments]), file=process.stdin, flush=True)
        reply = json.loads(process.stdout.readline())
        if "error" in reply:
            raise Refused(reply["error"], reply.get("status"), reply.get("text", ""))
        return reply["result"]

    try:
        yield call
    finally:
        process.communicate(timeout=SECONDS)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def agave(gateway: RunningGateway, home: Path) -> Iterator[Agave]:
    """A client with ada's token."""
    with connected(gateway, home, token=gateway.token("ada")) as client:
        yield client


# Actors


def test_actors_are_added_got_listed_updated_and_deleted(agave: Agave, ada: Client) -> None:
    added = agave("add", body={"image": "cold", "name": "tacos", "description": "hot"})
    actor = added["id"]
    eventually(lambda: agave("get", actorId=actor)["status"] == "READY")
    assert agave("get", actorId=actor)["name"] == "tacos"
    assert actor in [each["id"] for each in agave("list")]
    updated = agave("update", actorId=actor, body={"image": "warm", "description": "mild"})
    assert (updated["description"], updated["revision"]) == ("mild", 2)
    assert agave("delete", actorId=actor) is None
    assert actor not in [each["id"] for each in ada.result("GET", "")]


def test_an_actor_that_is_not_there_is_an_http_error(agave: Agave, ada: Client) -> None:
    actor = ada.actor()
    ada.result("DELETE", f"/{actor}")
    with pytest.raises(Refused) as caught:
        agave("get", actorId=actor)
    assert (caught.value.error, caught.value.status) == ("HTTPError", 404)


# Messages and executions


def test_a_message_is_sent_and_its_execution_followed(agave: Agave, ada: Client) -> None:
    actor = ada.actor()
    body = {"print": "hello", "results": ["tacos", "salsa"]}
    sent = agave("sendMessage", actorId=actor, body=body)
    assert sent["msg"] == body
    execution = sent["executionId"]
    named = {"actorId": actor, "executionId": execution}
    eventually(lambda: agave("getExecution", **named)["status"] == "COMPLETE")
    assert agave("getExecution", **named)["exitCode"] == 0
    listed = agave("listExecutions", actorId=actor)["executions"]
    assert [(each["id"], each["status"]) for each in listed] == [(execution, "COMPLETE")]
    assert agave("getExecutionLogs", **named)["logs"] == "hello\n"
    results = [agave("getOneExecutionResult", **named) for _ in range(3)]
    assert results == ["tacos", "salsa", ""]


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ({"message": {"print": "x"}}, "{'print': 'x'}"),
        ({"message": "hello"}, "hello"),
        ('{"print": "x"}', {"print": "x"}),
        ('"hello"', "hello"),
    ],
)
def test_a_message_may_be_a_named_value_or_json_text(
    agave: Agave, ada: Client, body: Any, shown: Any
) -> None:
    assert agave("sendMessage", actorId=ada.actor(), body=body)["msg"] == shown


def test_a_text_that_is_no_json_is_refused_since_agavepy_says_that_it_is(
    agave: Agave, ada: Client
) -> None:
    with pytest.raises(Refused) as caught:
        agave("sendMessage", actorId=ada.actor(), body="hello")
    assert caught.value.status == 400
    assert "not valid JSON" in caught.value.text


def test_the_environment_of_a_message_arrives_with_the_name_of_its_first_variable(
    agave: Agave, ada: Client
) -> None:
    actor = ada.actor()
    variables = {"uuid": "1-007", "token": "0123456789abcdef"}
    body = {"tell": ["environment"]}
    sent = agave("sendMessage", actorId=actor, body=body, environment=variables)
    ada.ended(actor, sent["executionId"])
    named = {"actorId": actor, "executionId": sent["executionId"]}
    found = json.loads(agave("getOneExecutionResult", **named))["environment"]
    assert {name: found[name] for name in variables} == variables
    assert found["environment"] == "uuid"


def test_a_binary_message_is_sent_as_it_is(agave: Agave, ada: Client) -> None:
    actor = ada.actor("dump")
    sent = agave("sendBinaryMessage", actorId=actor, message=b"\0\xff".hex())
    assert sent["msg"] == "binary - omitted"
    ada.ended(actor, sent["executionId"])
    assert ada.logs(actor, sent["executionId"]) == " 00 ff\n"


def test_messages_that_wait_are_counted_and_dropped(
    agave: Agave, ada: Client, tmp_path: Path
) -> None:
    actor = ada.actor()
    go = tmp_path / "go"
    first = ada.submit(actor, {"wait for": str(go)})
    ada.submit(actor, {})
    eventually(lambda: agave("getMessages", actorId=actor)["messages"] == 1)
    # agavepy has no description of this reply, and stumbles after it has got it
    with pytest.raises(Refused, match="KeyError"):
        agave("deleteMessages", actorId=actor)
    assert agave("getMessages", actorId=actor)["messages"] == 0
    go.touch()
    ada.ended(actor, first)


# What belongs to an actor


def test_nonces_are_added_listed_got_and_deleted(agave: Agave, ada: Client) -> None:
    actor = ada.actor()
    plain = agave("addNonce", actorId=actor)
    assert (plain["level"], plain["maxUses"]) == ("EXECUTE", -1)
    bounded = agave("addNonce", actorId=actor, body={"level": "READ", "maxUses": 3})
    assert (bounded["level"], bounded["remainingUses"]) == ("READ", 3)
    nonces = [plain["id"], bounded["id"]]
    assert [each["id"] for each in agave("listNonces", actorId=actor)] == nonces
    assert agave("getNonce", actorId=actor, nonceId=plain["id"])["actorId"] == actor
    assert agave("deleteNonce", actorId=actor, nonceId=plain["id"]) is None
    assert [each["id"] for each in agave("listNonces", actorId=actor)] == nonces[1:]


def test_aliases_are_added_listed_got_and_deleted(agave: Agave, ada: Client) -> None:
    actor = ada.actor()
    assert agave("addAlias", body={"alias": "taco-bot", "actorId": actor})["actorId"] == actor
    assert [each["alias"] for each in agave("listAliases")] == ["taco-bot"]
    assert agave("getAlias", alias="taco-bot")["actorId"] == actor
    assert "executionId" in agave("sendMessage", actorId="taco-bot", body={"message": "{}"})
    assert agave("deleteAlias", alias="taco-bot") is None
    assert agave("listAliases") == []


def test_permissions_are_got_and_updated(agave: Agave, ada: Client) -> None:
    actor = ada.actor()
    assert agave("getPermissions", actorId=actor) == {"ada": "UPDATE"}
    agave("updatePermissions", actorId=actor, body={"user": "bob", "level": "EXECUTE"})
    assert agave("getPermissions", actorId=actor) == {"ada": "UPDATE", "bob": "EXECUTE"}


def test_workers_are_added_listed_got_and_deleted(
    gateway: RunningGateway, home: Path, ada: Client
) -> None:
    actor = ada.actor()
    with connected(gateway, home, token=gateway.token("root", (EVERYONE, ADMIN))) as admin:
        assert admin("addWorker", actorId=actor, body={"num": 2})["status"] == "success"
        ids = [each["id"] for each in admin("listWorkers", actorId=actor)]
        assert len(ids) == 2
        assert admin("getWorker", actorId=actor, workerId=ids[0])["id"] == ids[0]
        admin("deleteWorker", actorId=actor, workerId=ids[0])
        eventually(lambda: [each["id"] for each in admin("listWorkers", actorId=actor)] == ids[1:])


def test_the_state_of_an_actor_is_got_and_updated(agave: Agave, ada: Client) -> None:
    actor = ada.actor("context", stateless=False)
    assert agave("getState", actorId=actor)["state"] == {}
    assert agave("updateState", actorId=actor, body={"count": 1})["state"] == {"count": 1}
    assert agave("getState", actorId=actor)["state"] == {"count": 1}
    assert json.loads(ada.ask(actor, {}).content)["state"] == "{'count': 1}"


# Credentials


def test_a_client_of_nonces_has_one_for_each_call(
    gateway: RunningGateway, home: Path, ada: Client
) -> None:
    actor = ada.actor()
    nonce = ada.result("POST", f"/{actor}/nonces", json={"maxUses": 1})["id"]
    with connected(gateway, home, use_nonce=True) as client:
        sent = client("sendMessage", actorId=actor, body={"message": "{}"}, nonce=nonce)
        assert ada.ended(actor, sent["executionId"])["executor"] == "ada"
        with pytest.raises(Refused) as caught:
            client("sendMessage", actorId=actor, body={"message": "{}"}, nonce=nonce)
    assert "No remaining uses left for this nonce." in caught.value.text


def test_the_assertion_that_agavepy_makes_up_without_a_token_is_refused(
    gateway: RunningGateway, home: Path, ada: Client
) -> None:
    header = "X-JWT-Assertion-dev_sandbox"
    with connected(gateway, home, jwt="123", jwt_header_name=header) as client:
        for operation, arguments in (("list", {}), ("get", {"actorId": ada.actor()})):
            with pytest.raises(Refused) as caught:
                client(operation, **arguments)
            assert (caught.value.error, caught.value.status) == ("HTTPError", 401)


@pytest.mark.long
def test_a_client_that_is_restored_renews_what_has_expired(
    gateway: RunningGateway, home: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "agave" / "current"
    options = ("--user", "carla", "--cache", str(cache), "--server", SERVER)
    made = gateway.command("token", "create", *options)
    assert made.returncode == 0, made.stderr
    before = json.loads(cache.read_text())
    with connected(gateway, home, cache.parent) as client:
        assert client("list") == []
        assert json.loads(cache.read_text()) == before
        expire(gateway, "carla")
        wait_until_refused(gateway, before["access_token"])
        assert client("list") == []
    after = json.loads(cache.read_text())
    assert after["access_token"] != before["access_token"]
    assert after["refresh_token"] != before["refresh_token"]
    kept = ("tenantid", "baseurl", "apikey", "apisecret", "username")
    assert [after[name] for name in kept] == [before[name] for name in kept]
    assert stat.S_IMODE(cache.stat().st_mode) == 0o600
    with connected(gateway, home, cache.parent) as client:
        assert client("list") == []
    with Client(gateway.url, before["access_token"]) as old:
        assert old.get("").status_code == 401


def wait_until_refused(gateway: RunningGateway, token: str) -> None:
    with Client(gateway.url, token) as client:
        eventually(lambda: client.get("").status_code == 401)


def expire(gateway: RunningGateway, user: str) -> None:
    database = Database(gateway.settings.database)
    moment = clock.now() - datetime.timedelta(seconds=1)
    with database.write() as tx:
        tx.execute(update(tables.tokens).where(tables.tokens.c.user == user).values(expires=moment))
    database.close()


def test_a_client_whose_token_was_revoked_is_refused(
    gateway: RunningGateway, home: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "agave" / "current"
    options = ("--user", "dora", "--cache", str(cache), "--server", SERVER)
    made = gateway.command("token", "create", *options)
    token_id = made.stdout.split()[1]
    with connected(gateway, home, cache.parent) as client:
        assert client("list") == []
        assert gateway.command("token", "revoke", token_id).returncode == 0
        wait_until_refused(gateway, json.loads(cache.read_text())["access_token"])
        with pytest.raises(Refused) as caught:
            client("list")
    assert (caught.value.error, caught.value.status) == ("HTTPError", 401)


# In an actor


def test_an_actor_gets_its_context_by_agavepy(ada: Client) -> None:
    actor = ada.actor("context")
    nonce = ada.result("POST", f"/{actor}/nonces", json={})["id"]
    parameters = {"_abaco_synchronous": "true", "uuid": "1-007", "x-nonce": nonce}
    message = {"a": None, "b": [True]}
    reply = ada.post(f"/{actor}/messages", json=message, params=parameters)
    execution = ada.result("GET", f"/{actor}/executions")["executions"][0]["id"]
    assert reply.json() == {
        "raw_message": "{'a': None, 'b': [True]}",
        "raw_message_parse_log": "",
        "message_dict": message,
        # agavepy looks under a name that Abaco does not use
        "content_type": None,
        "execution_id": execution,
        "username": "ada",
        "state": "{}",
        "actor_dbid": f"SD2E_{actor}",
        "actor_id": actor,
        "uuid": "1-007",
        "x-nonce": nonce,
        "_abaco_Content_Type": "application/json",
    }
