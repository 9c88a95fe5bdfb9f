"""agavepy as it is on PyPI, in processes of its own, through the tunnel that ends in the gateway."""

from __future__ import annotations

import contextlib
import datetime
import functools
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
ALONE = True
"""Its aliases are listed."""
IMAGES = {
    **PROBE,
    # answers with agavepy's context
    "context": {"folder": str(ACTORS), "command": ["python3", "context.py"]},
    # writes the bytes of a binary message into its log
    "dump": {"folder": ".", "command": ["sh", "-c", 'od -An -tx1 "$_abaco_binary_fifo"']},
}
Agave = Callable[..., Any]
DRIVER = """
import json, os, sys
from agavepy.agave import Agave

clients = []
for line in sys.stdin:
    number, operation, arguments = json.loads(line)
    if "message" in arguments:
        arguments["message"] = bytes.fromhex(arguments["message"])
    try:
        if operation == "make":
            clients.append(Agave(**arguments))
            result = None
        elif operation == "restore":
            os.environ["AGAVE_CACHE_DIR"] = arguments["folder"]
            clients.append(Agave.restore())
            result = None
        else:
            result = getattr(clients[number].actors, operation)(**arguments)
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


class Clients:
    """Clients `agavepy.agave.Agave` in a process of their own, which takes a second to load it.

    Args:
        gateway: to which their tunnel leads, whatever the name of the server.
        home: their home directory.
    """

    def __init__(self, gateway: RunningGateway, home: Path) -> None:
        environ = {"PATH": os.environ["PATH"], "HOME": str(home), "HTTPS_PROXY": gateway.url}
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", DRIVER],
            cwd=home,
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._count = 0

    def make(self, **credentials: Any) -> Agave:
        """Make one with credentials."""
        return self._made("make", api_server=SERVER, verify=False, **credentials)

    def restore(self, folder: Path) -> Agave:
        """Make one from the file in a folder."""
        return self._made("restore", folder=str(folder))

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=SECONDS)

    def _made(self, operation: str, **arguments: Any) -> Agave:
        number = self._count
        self._call(number, operation, **arguments)
        self._count += 1
        return functools.partial(self._call, number)

    def _call(self, number: int, operation: str, **arguments: Any) -> Any:
        """Return what `client.actors.<operation>(**arguments)` returns."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = json.dumps([number, operation, arguments])
        print(request, file=self._process.stdin, flush=True)
        reply = json.loads(self._process.stdout.readline())
        if "error" in reply:
            raise Refused(reply["error"], reply.get("status"), reply.get("text", ""))
        return reply["result"]


@pytest.fixture(scope="module")
def clients(gateway: RunningGateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    with contextlib.closing(Clients(gateway, tmp_path_factory.mktemp("home"))) as made:
        yield made


@pytest.fixture(scope="module")
def agave(gateway: RunningGateway, clients: Clients) -> Agave:
    """A client with ada's token."""
    return clients.make(token=gateway.token("ada"))


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
    gateway: RunningGateway, clients: Clients, ada: Client
) -> None:
    actor = ada.actor()
    admin = clients.make(token=gateway.token("root", (EVERYONE, ADMIN)))
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


def test_a_client_of_nonces_has_one_for_each_call(clients: Clients, ada: Client) -> None:
    actor = ada.actor()
    nonce = ada.result("POST", f"/{actor}/nonces", json={"maxUses": 1})["id"]
    client = clients.make(use_nonce=True)
    sent = client("sendMessage", actorId=actor, body={"message": "{}"}, nonce=nonce)
    assert ada.ended(actor, sent["executionId"])["executor"] == "ada"
    with pytest.raises(Refused) as caught:
        client("sendMessage", actorId=actor, body={"message": "{}"}, nonce=nonce)
    assert "No remaining uses left for this nonce." in caught.value.text


def test_the_assertion_that_agavepy_makes_up_without_a_token_is_refused(
    clients: Clients, ada: Client
) -> None:
    client = clients.make(jwt="123", jwt_header_name="X-JWT-Assertion-dev_sandbox")
    for operation, arguments in (("list", {}), ("get", {"actorId": ada.actor()})):
        with pytest.raises(Refused) as caught:
            client(operation, **arguments)
        assert (caught.value.error, caught.value.status) == ("HTTPError", 401)


@pytest.mark.long
def test_a_client_that_is_restored_renews_what_has_expired(
    gateway: RunningGateway, clients: Clients, tmp_path: Path
) -> None:
    cache = tmp_path / "agave" / "current"
    gateway.call("token", "create", "--user=carla", f"--cache={cache}", f"--server={SERVER}")
    before = json.loads(cache.read_text())
    client = clients.restore(cache.parent)
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
    assert clients.restore(cache.parent)("list") == []
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
    gateway: RunningGateway, clients: Clients, tmp_path: Path
) -> None:
    cache = tmp_path / "agave" / "current"
    options = ("--user=dora", f"--cache={cache}", f"--server={SERVER}")
    token_id = gateway.call("token", "create", *options).split()[1]
    client = clients.restore(cache.parent)
    assert client("list") == []
    gateway.call("token", "revoke", token_id)
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
