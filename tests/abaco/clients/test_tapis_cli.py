"""What the commands of `tapis actors` request, through the tunnel, and what they show of the replies.

The requests are those that tapis-cli 1.0.6 was recorded to send.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.abaco.running import ADMIN, EVERYONE, Client, RunningGateway, eventually

SERVER = "https://api.abaco.local"
TACOS = '{"results": ["tacos"]}'
"""What an actor of the image `cold` answers with `tacos`."""


def connect(gateway: RunningGateway, token: str | None = None) -> Client:
    """Return a client of the requests of one command, with its token or a nonce."""
    return Client(SERVER, token, proxy=gateway.url, verify=False)


class Tapis:
    """A user of the CLI, with the file that the CLI reads."""

    def __init__(self, gateway: RunningGateway, cache: Path, roles: tuple[str, ...]) -> None:
        self._gateway = gateway
        options = [option for role in roles for option in ("--role", role)]
        options += ["--user", "ada", "--cache", str(cache), "--server", SERVER]
        gateway.call("token", "create", *options)
        self.file: dict[str, Any] = json.loads(cache.read_text())

    @contextlib.contextmanager
    def command(self) -> Iterator[Client]:
        """Begin a command, which renews the token first."""
        with connect(self._gateway) as client:
            reply = client.post(
                f"{SERVER}/token",
                auth=(self.file["apikey"], self.file["apisecret"]),
                data={
                    "grant_type": "refresh_token",
                    "scope": "PRODUCTION",
                    "refresh_token": self.file["refresh_token"],
                },
            )
            assert reply.status_code == 200, reply.text
            self.file.update(reply.json())
        with connect(self._gateway, self.file["access_token"]) as client:
            yield client


@pytest.fixture(scope="module")
def tapis(gateway: RunningGateway) -> Tapis:
    """An administrator."""
    return Tapis(gateway, gateway.folder / "tapis", (EVERYONE, ADMIN))


Begin = Callable[[], contextlib.AbstractContextManager[Client]]


@pytest.fixture(scope="module")
def command(tapis: Tapis) -> Begin:
    """Begins a command."""
    return tapis.command


# Tokens


def test_each_command_renews_the_token_and_ends_the_one_before(
    gateway: RunningGateway, tapis: Tapis
) -> None:
    before = tapis.file["access_token"]
    with tapis.command() as client:
        assert client.get("").status_code == 200
    assert tapis.file["access_token"] != before
    assert tapis.file["token_type"] == "bearer"
    assert (tapis.file["scope"], tapis.file["expires_in"]) == ("PRODUCTION", 30 * 86_400)
    with connect(gateway, before) as late:
        reply = late.get("")
    assert (reply.status_code, reply.json()["fault"]["message"]) == (401, "Invalid Credentials")


def test_a_command_that_is_given_a_token_renews_none(gateway: RunningGateway) -> None:
    with connect(gateway, gateway.token("carla")) as client:
        assert [each for each in client.result("GET", "") if each["owner"] == "carla"] == []


# Actors


def description(**changes: Any) -> dict[str, Any]:
    plain = {
        "name": "tacos",
        "image": "cold",
        "stateless": True,
        "useContainerUid": False,
        "token": True,
        "force": False,
        "defaultEnvironment": {},
    }
    return {**plain, **changes}


def test_create_list_show_update_and_delete(command: Begin) -> None:
    with command() as client:
        created = client.result("POST", "", json=description(defaultEnvironment={"SPICE": "much"}))
    actor = created["id"]
    shown = ("name", "owner", "image", "status", "cronOn")
    assert [created[name] for name in shown] == ["tacos", "ada", "cold", "SUBMITTED", False]
    assert created["lastUpdateTime"].endswith("Z")
    with command() as client:
        found = {each["id"]: each for each in client.result("GET", "")}
    assert found[actor]["name"] == "tacos"
    with command() as client:
        one = client.result("GET", f"/{actor}")
    assert (one["token"], one["defaultEnvironment"]) == (True, {"SPICE": "much"})
    with command() as client:
        updated = client.result("PUT", f"/{actor}", json=description(force=True))
    assert (updated["id"], updated["revision"]) == (actor, 2)
    with command() as client:
        client.result("DELETE", f"/{actor}")
        assert client.get(f"/{actor}").status_code == 404


# Messages


def test_submit_sends_any_message_as_text_and_does_not_wait(command: Begin, ada: Client) -> None:
    actor = ada.actor()
    query = "k=v&_abaco_synchronous=False&environment=k&environment=_abaco_synchronous"
    message = '{"tell": ["environment"]}'
    with command() as client:
        sent = client.result("POST", f"/{actor}/messages?{query}", json={"message": message})
    assert sent["msg"] == message
    ada.ended(actor, sent["executionId"])
    reply = ada.get(f"/{actor}/executions/{sent['executionId']}/results")
    variables = reply.json()["environment"]
    names = ("k", "environment", "_abaco_synchronous", "_abaco_Content_Type", "MSG")
    assert [variables[name] for name in names] == ["v", "k", "False", "str", message]


def test_run_is_answered_what_the_actor_sent(command: Begin, ada: Client) -> None:
    path = f"/{ada.actor()}/messages?_abaco_synchronous=True"
    with command() as client:
        reply = client.post(path, json={"message": TACOS})
    assert (reply.status_code, reply.content) == (200, b"tacos")


@pytest.mark.parametrize("whose", ["actor", "alias"])
def test_run_with_a_nonce_needs_no_token(gateway: RunningGateway, ada: Client, whose: str) -> None:
    actor = ada.actor()
    subject, owner = actor, actor
    if whose == "alias":
        ada.result("POST", "/aliases", json={"alias": "runner", "actorId": actor})
        subject, owner = "runner", "aliases/runner"
    nonce = ada.result("POST", f"/{owner}/nonces", json={})["id"]
    path = f"/{subject}/messages?_abaco_synchronous=True&x-nonce={nonce}"
    with connect(gateway) as client:
        reply = client.post(path, json={"message": TACOS})
    assert (reply.status_code, reply.content) == (200, b"tacos")


# Executions


def test_execs_list_show_and_logs(command: Begin, ada: Client) -> None:
    actor = ada.actor()
    execution = ada.run(actor, {"print": "hello"})["id"]
    with command() as client:
        listed = client.result("GET", f"/{actor}/executions")["executions"]
    assert [(each["id"], each["status"]) for each in listed] == [(execution, "COMPLETE")]
    with command() as client:
        shown = client.result("GET", f"/{actor}/executions/{execution}")
    row = [shown[name] for name in ("actorId", "apiServer", "id", "status")]
    assert row == [actor, str(ada.base_url).partition("/actors")[0], execution, "COMPLETE"]
    assert shown["workerId"] in [each["id"] for each in ada.result("GET", f"/{actor}/workers")]
    with command() as client:
        assert client.result("GET", f"/{actor}/executions/{execution}/logs")["logs"] == "hello\n"


def test_execs_stop_drops_the_messages_that_wait(
    command: Begin, ada: Client, tmp_path: Path
) -> None:
    actor = ada.actor()
    go = tmp_path / "go"
    first = ada.submit(actor, {"wait for": str(go)})
    ada.submit(actor, {})
    path = f"/{actor}/messages"
    eventually(lambda: ada.result("GET", path)["messages"] == 1)
    with command() as client:
        assert client.result("GET", path)["messages"] == 1
        assert client.result("DELETE", path)["msg"] == "Actor mailbox purged."
        assert client.result("GET", path)["messages"] == 0
    go.touch()
    assert ada.ended(actor, first)["status"] == "COMPLETE"


# What belongs to an actor


def test_nonces_of_an_actor_are_created_listed_and_deleted(command: Begin, ada: Client) -> None:
    actor = ada.actor()
    with command() as client:
        made = client.result("POST", f"/{actor}/nonces", json={"level": "EXECUTE", "maxUses": 3})
    assert (made["level"], made["remainingUses"], made["lastUseTime"]) == ("EXECUTE", 3, "None")
    with command() as client:
        assert client.result("GET", f"/{actor}/nonces") == [made]
    with command() as client:
        client.result("DELETE", f"/{actor}/nonces/{made['id']}")
        assert client.result("GET", f"/{actor}/nonces") == []


def test_nonces_of_an_alias_are_created_by_a_form(command: Begin, ada: Client) -> None:
    actor = ada.actor()
    ada.result("POST", "/aliases", json={"alias": "taco-bot", "actorId": actor})
    path = "/aliases/taco-bot/nonces"
    with command() as client:
        made = client.result("POST", path, data={"level": "READ", "maxUses": "-1"})
    assert (made["alias"], made["level"], made["maxUses"]) == ("taco-bot", "READ", -1)
    assert "actorId" not in made
    with command() as client:
        assert client.result("GET", path) == [made]
    with command() as client:
        client.result("DELETE", f"{path}/{made['id']}")
        assert client.result("GET", path) == []


def test_aliases_are_created_shown_listed_updated_and_deleted(command: Begin, ada: Client) -> None:
    actors = [ada.actor(), ada.actor()]
    with command() as client:
        made = client.result("POST", "/aliases", json={"alias": "salsa", "actorId": actors[0]})
    assert (made["alias"], made["actorId"], made["owner"]) == ("salsa", actors[0], "ada")
    with command() as client:
        assert client.result("GET", "/aliases/salsa") == made
    with command() as client:
        assert made in client.result("GET", "/aliases")
    with command() as client:
        client.result("DELETE", "/aliases/salsa")
        client.result("POST", "/aliases", json={"alias": "salsa", "actorId": actors[1]})
    assert ada.result("GET", "/salsa")["id"] == actors[1]
    with command() as client:
        client.result("DELETE", "/aliases/salsa")
        assert client.get("/salsa").status_code == 404


def test_permissions_are_listed_granted_and_revoked(
    command: Begin, ada: Client, bob: Client
) -> None:
    actor = ada.actor()
    path = f"/{actor}/permissions"
    with command() as client:
        assert client.result("GET", path) == {"ada": "UPDATE"}
    with command() as client:
        client.result("POST", path, json={"user": "bob", "level": "READ"})
    assert bob.get(f"/{actor}").status_code == 200
    with command() as client:
        found = client.result("POST", path, json={"user": "bob", "level": "NONE"})
    assert found == {"ada": "UPDATE", "bob": "NONE"}
    assert bob.get(f"/{actor}").status_code == 400


def test_workers_are_created_by_their_number(command: Begin, ada: Client) -> None:
    actor = ada.actor()
    with command() as client:
        assert client.result("POST", f"/{actor}/workers", json={"num": 2}) is None
    with command() as client:
        assert len(client.result("GET", f"/{actor}/workers")) == 2


# The CLI itself


@pytest.mark.skipif(
    shutil.which("tapis") is None, reason="tapis-cli is not installed: it needs Python 3.9"
)
def test_the_cli_itself_works_as_documented(
    gateway: RunningGateway, ada: Client, tmp_path: Path
) -> None:
    actor = ada.actor()
    folder = tmp_path / "agave"
    Tapis(gateway, folder / "current", (EVERYONE,))
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "AGAVE_CACHE_DIR": str(folder),
        "HTTPS_PROXY": gateway.url,
    }

    def tapis(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(shutil.which("tapis")), "actors", *arguments],
            env={**environ, **more},
            capture_output=True,
            text=True,
            check=False,
        )

    assert tapis("list").returncode == 1
    off = {"TAPIS_CLI_VERIFY_SSL": "false"}
    assert actor in tapis("list", **off).stdout
    assert tapis("submit", "-m", '{"print": "tacos"}', actor, **off).returncode == 0
    run = tapis("run", "-m", '{"results": ["{}"]}', actor, **off)
    assert run.returncode == 1
    assert "'dict' object has no attribute 'decode'" in run.stdout + run.stderr
    executions = ada.result("GET", f"/{actor}/executions")["executions"]
    assert [ada.ended(actor, each["id"])["exitCode"] for each in executions] == [0, 0]


# Failures


def test_what_is_refused_is_explained_by_the_message_in_the_envelope(command: Begin) -> None:
    with command() as client:
        message = client.refusal("POST", "", json={})
    help_ = "{'image': 'Reference to image on docker hub for this actor.'}"
    assert message == f"Invalid actor description: {help_}"
