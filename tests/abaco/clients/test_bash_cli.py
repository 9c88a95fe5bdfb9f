"""What the commands of the bash `abaco` CLI request, sent by curl, and what they read of the replies.

The requests are those that the CLI was recorded to send, down to the bare `?` behind a path.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.abaco.running import (
    ADMIN,
    EVERYONE,
    PROBE,
    Client,
    RunningGateway,
    eventually,
    shell,
)

ECHO = {
    "folder": ".",
    "command": ["sh", "-c", 'printf "%s|%s" "$_abaco_Content_Type" "$MSG"'],
}
"""An image that writes its message into the log."""
IMAGES = {**PROBE, "echo": {**ECHO, "variables": ["SPICE"]}}
BEARER = '-H "Authorization: Bearer $TOKEN"'
AS_JSON = '-H "Content-Type: application/json"'

LIST = f'curl -sk {BEARER} "$BASEURL/actors/v2"'
SHOW = f'curl -sk {BEARER} "$BASEURL/actors/v2/$X"'
CREATE = f'curl -sk {BEARER} -X POST {AS_JSON} -d "$DATA" "$BASEURL/actors/v2"'
UPDATE = f'curl -sk {BEARER} -X PUT {AS_JSON} -d "$DATA" "$BASEURL/actors/v2/$X"'
DELETE = f'curl -sk {BEARER} -X DELETE "$BASEURL/actors/v2/$X"'
SUBMIT_TEXT = (
    f'curl -sk {BEARER} -X POST --data-urlencode "message=$M" "$BASEURL/actors/v2/$X/messages?$Q"'
)
SUBMIT_JSON = f'curl -sk {BEARER} -X POST {AS_JSON} -d "$M" "$BASEURL/actors/v2/$X/messages?$Q"'
SUBMIT_NONCE = f'curl -sk -X POST {AS_JSON} -d "$M" "$BASEURL/actors/v2/$X/messages?$Q"'
EXECUTIONS = f'curl -sk {BEARER} "$BASEURL/actors/v2/$X/executions"'
EXECUTION = f'curl -sk {BEARER} "$BASEURL/actors/v2/$X/executions/$E"'
LOGS = f'curl -sk {BEARER} "$BASEURL/actors/v2/$X/executions/$E/logs"'
MESSAGES = f'curl -sk {BEARER} "$BASEURL/actors/v2/$X/messages"'
PURGE = f'curl -sk {BEARER} -X DELETE "$BASEURL/actors/v2/$X/messages"'
WORKERS = f'curl -sk {BEARER} "$BASEURL/actors/v2/$X/workers"'
WORKER = f'curl -sk {BEARER} "$BASEURL/actors/v2/$X/workers/$W"'
ADD_WORKERS = f'curl -sk {BEARER} -X POST -d "num=$K" "$BASEURL/actors/v2/$X/workers"'
ALIASES = f'curl -sk {BEARER} "$BASEURL/actors/v2/aliases"'
ALIAS = f'curl -sk {BEARER} "$BASEURL/actors/v2/aliases/$A"'
ADD_ALIAS = f'curl -sk {BEARER} -X POST {AS_JSON} -d "$DATA" "$BASEURL/actors/v2/aliases"'
DELETE_ALIAS = f'curl -sk {BEARER} -X DELETE "$BASEURL/actors/v2/aliases/$A"'
NONCES = f'curl -sk {BEARER} "$BASEURL/actors/v2/$X/nonces"'
NONCE = f'curl -sk {BEARER} "$BASEURL/actors/v2/$X/nonces/$N"'
ADD_NONCE = f'curl -sk {BEARER} -X POST {AS_JSON} -d "$DATA" "$BASEURL/actors/v2/$X/nonces"'
DELETE_NONCE = f'curl -sk {BEARER} -X DELETE "$BASEURL/actors/v2/$X/nonces/$N"'
PERMISSIONS = f'curl -sk {BEARER} "https://api.sd2e.org/actors/v2/$X/permissions"'
PERMIT = f'curl -sk {BEARER} -X POST {AS_JSON} -d "$DATA" "https://api.sd2e.org/actors/v2/$X/permissions"'
VERSION = f'curl -sk {BEARER} "$BASEURL/actors/v2?limit=1"'

Cli = Callable[..., Any]


@pytest.fixture(scope="module")
def cli(gateway: RunningGateway) -> Cli:
    """Runs a request of the CLI as ada; returns the reply, parsed."""
    return _cli(gateway, gateway.token("ada"))


@pytest.fixture(scope="module")
def admin_cli(gateway: RunningGateway) -> Cli:
    """The same as an administrator."""
    return _cli(gateway, gateway.token("root", (EVERYONE, ADMIN)))


def _cli(gateway: RunningGateway, token: str) -> Cli:
    def run(script: str, **variables: str) -> Any:
        own = {"BASEURL": gateway.url, "TOKEN": token, "Q": ""}
        return json.loads(shell(script, **{**own, **variables}))

    return run


def description(**changes: Any) -> str:
    """What `create` and `update` send, without any option."""
    plain = {
        "image": "echo",
        "privileged": False,
        "stateless": True,
        "force": False,
        "useContainerUid": False,
        "defaultEnvironment": {},
        "token": False,
    }
    return json.dumps({**plain, **changes})


# Actors


def test_create_reads_name_and_id(cli: Cli) -> None:
    data = description(
        name="tacos", stateless=False, defaultEnvironment={"SPICE": "much"}, hints=["hot"]
    )
    created = cli(CREATE, DATA=data)["result"]
    assert created["name"] == "tacos"
    shown = cli(SHOW, X=created["id"])["result"]
    assert (shown["stateless"], shown["hints"]) == (False, ["hot"])
    assert shown["defaultEnvironment"] == {"SPICE": "much"}


def test_list_reads_name_id_and_status(cli: Cli, ada: Client) -> None:
    actor = ada.actor("echo", name="listed")
    rows = [
        (each["name"], each["id"], each["status"]) for each in cli(LIST)["result"] if "name" in each
    ]
    assert ("listed", actor, "READY") in rows


def test_a_base_url_with_a_slash_at_its_end_is_as_good(
    cli: Cli, gateway: RunningGateway, ada: Client
) -> None:
    actor = ada.actor("echo")
    shown = cli(SHOW, X=actor, BASEURL=f"{gateway.url}/")
    assert shown["result"]["id"] == actor


@pytest.mark.parametrize(("force", "revision"), [(False, 1), (True, 2)])
def test_update_renews_an_actor_of_the_same_image_only_by_force(
    cli: Cli, ada: Client, force: bool, revision: int
) -> None:
    actor = ada.actor("echo", name="kept", stateless=False)
    stateless = cli(SHOW, X=actor)["result"]["stateless"]
    updated = cli(UPDATE, X=actor, DATA=description(stateless=stateless, force=force))["result"]
    assert (updated["name"], updated["id"]) == ("kept", actor)
    assert cli(SHOW, X=actor)["result"]["revision"] == revision


def test_delete_reads_the_message(cli: Cli, ada: Client) -> None:
    actor = ada.actor("echo")
    assert cli(DELETE, X=actor)["message"] == "Actor deleted successfully."
    assert actor not in [each["id"] for each in cli(LIST)["result"]]


# Messages


@pytest.mark.parametrize(
    ("command", "message", "shown", "kind", "given"),
    [
        (
            SUBMIT_TEXT,
            "3 tacos & more=100% ü",
            "3 tacos & more=100% ü",
            "str",
            "3 tacos & more=100% ü",
        ),
        (
            SUBMIT_JSON,
            '{"a": null, "b": [true]}',
            {"a": None, "b": [True]},
            "application/json",
            "{'a': None, 'b': [True]}",
        ),
        (SUBMIT_JSON, "5", 5, "application/json", "5"),
        (SUBMIT_JSON, '"salsa"', "salsa", "str", "salsa"),
        (SUBMIT_JSON, '["a", 1]', ["a", 1], "application/json", "['a', 1]"),
    ],
)
def test_submit_reads_the_execution_and_the_message_that_it_runs_on(
    cli: Cli, ada: Client, command: str, message: str, shown: Any, kind: str, given: str
) -> None:
    actor = ada.actor("echo")
    sent = cli(command, X=actor, M=message)["result"]
    assert sent["msg"] == shown
    ada.ended(actor, sent["executionId"])
    assert cli(LOGS, X=actor, E=sent["executionId"])["result"]["logs"] == f"{kind}|{given}"


def test_submit_of_a_file_sends_what_is_in_it(cli: Cli, ada: Client, tmp_path: Path) -> None:
    file = tmp_path / "message.json"
    file.write_text('{"a": "it\'s",\n "b": 2}\n')
    actor = ada.actor("echo")
    script = SUBMIT_JSON.replace('"$M"', '"$(cat "$F")"')
    assert cli(script, X=actor, F=str(file))["result"]["msg"] == {"a": "it's", "b": 2}


@pytest.mark.parametrize("command", [SUBMIT_TEXT, SUBMIT_JSON])
def test_submit_with_a_query_sets_variables(cli: Cli, ada: Client, command: str) -> None:
    actor = ada.actor("cold")
    message = '{"tell": ["environment"]}'
    query = "uuid=1-007&token=0123456789abcdef&note=two+words%21"
    sent = cli(command, X=actor, M=message, Q=query)["result"]
    ada.ended(actor, sent["executionId"])
    reply = ada.get(f"/{actor}/executions/{sent['executionId']}/results")
    variables = reply.json()["environment"]
    assert [variables[name] for name in ("uuid", "token", "note")] == [
        "1-007",
        "0123456789abcdef",
        "two words!",
    ]


@pytest.mark.parametrize("query", ["x-nonce={}", "uuid=1-007&x-nonce={}"])
def test_submit_with_a_nonce_needs_no_token(cli: Cli, ada: Client, query: str) -> None:
    actor = ada.actor("echo")
    nonce = ada.result("POST", f"/{actor}/nonces", json={})["id"]
    sent = cli(SUBMIT_NONCE, X=actor, M='{"a": 1}', Q=query.format(nonce))["result"]
    assert ada.ended(actor, sent["executionId"])["executor"] == "ada"


@pytest.mark.parametrize("query", ["_abaco_synchronous=true", "a=b&_abaco_synchronous=true"])
def test_submit_that_waits_is_answered_the_bare_output(
    gateway: RunningGateway, ada: Client, query: str
) -> None:
    actor = ada.actor("echo")
    variables = {"BASEURL": gateway.url, "TOKEN": gateway.token(), "X": actor, "Q": query}
    assert shell(SUBMIT_TEXT, **variables, M="hello") == "str|hello"


def test_messages_counts_those_that_wait_and_drops_them(
    cli: Cli, ada: Client, tmp_path: Path
) -> None:
    actor = ada.actor("cold")
    go = tmp_path / "go"
    first = ada.submit(actor, {"wait for": str(go)})
    ada.submit(actor, {})
    eventually(lambda: cli(MESSAGES, X=actor)["result"]["messages"] == 1)
    assert cli(PURGE, X=actor)["result"]["msg"] == "Actor mailbox purged."
    assert cli(MESSAGES, X=actor)["result"]["messages"] == 0
    go.touch()
    assert ada.ended(actor, first)["status"] == "COMPLETE"


# Executions


def test_executions_reads_id_and_status_and_of_one_its_worker(cli: Cli, ada: Client) -> None:
    actor = ada.actor("echo")
    ids = [ada.run(actor, {"n": n})["id"] for n in range(2)]
    found = cli(EXECUTIONS, X=actor)["result"]["executions"]
    assert [(each["id"], each["status"]) for each in found] == [(each, "COMPLETE") for each in ids]
    one = cli(EXECUTION, X=actor, E=ids[0])["result"]
    workers = [each["id"] for each in cli(WORKERS, X=actor)["result"]]
    assert (one["status"], [one["workerId"]]) == ("COMPLETE", workers)


# Workers


def test_workers_reads_id_and_status_and_of_one_everything(cli: Cli, ada: Client) -> None:
    actor = ada.actor("echo")
    (worker,) = cli(WORKERS, X=actor)["result"]
    assert worker["status"] == "READY"
    assert cli(WORKER, X=actor, W=worker["id"])["result"] == worker


def test_more_workers_are_for_administrators(cli: Cli, admin_cli: Cli, ada: Client) -> None:
    actor = ada.actor("echo")
    refused = cli(ADD_WORKERS, X=actor, K="2")["message"]
    assert refused == "Not authorized -- only admins are authorized to update workers."
    started = "Scheduled 1 new worker(s) to start. Previously, there were 1 workers."
    assert admin_cli(ADD_WORKERS, X=actor, K="2")["message"] == started
    again = admin_cli(ADD_WORKERS, X=actor, K="2")["message"]
    assert again == f"Actor {actor} already had 2 worker(s)."
    assert len(cli(WORKERS, X=actor)["result"]) == 2


# Aliases


def test_an_alias_is_created_only_where_there_is_none(cli: Cli, ada: Client) -> None:
    actor = ada.actor("echo")
    assert cli(SHOW, X=actor)["result"]["id"] == actor
    assert cli(ALIAS, A="taco-bot")["result"] is None
    created = cli(ADD_ALIAS, DATA=json.dumps({"actorId": actor, "alias": "taco-bot"}))["result"]
    row = ("taco-bot", actor, "ada")
    assert (created["alias"], created["actorId"], created["owner"]) == row
    shown = cli(ALIAS, A="taco-bot")["result"]
    assert (shown["alias"], shown["actorId"], shown["owner"]) == row
    assert shown in cli(ALIASES)["result"]
    assert cli(SHOW, X="taco-bot")["result"]["id"] == actor
    deleted = cli(DELETE_ALIAS, A="taco-bot")["message"]
    assert deleted == "Alias taco-bot deleted successfully."
    assert shown not in cli(ALIASES)["result"]


# Nonces


@pytest.mark.parametrize(("most", "level"), [("-1", "EXECUTE"), ("3", "READ")])
def test_nonces_are_made_with_a_number_that_is_a_text(
    cli: Cli, ada: Client, most: str, level: str
) -> None:
    actor = ada.actor("echo")
    data = {"maxUses": most, "level": level, "description": "for Bob"}
    made = cli(ADD_NONCE, X=actor, DATA=json.dumps(data))["result"]
    uses = int(most)
    assert (made["maxUses"], made["remainingUses"], made["level"]) == (uses, uses, level)
    for each in (cli(NONCES, X=actor)["result"][0], cli(NONCE, X=actor, N=made["id"])["result"]):
        row = (made["id"], actor, "ada", "for Bob")
        assert (each["id"], each["actorId"], each["owner"], each["description"]) == row
    deleted = cli(DELETE_NONCE, X=actor, N=made["id"])["message"]
    assert deleted == "Actor nonce deleted successfully."
    assert cli(NONCES, X=actor)["result"] == []


# Permissions: the CLI knows one server only


def test_permissions_reaches_the_gateway_by_its_tunnel(
    cli: Cli, ada: Client, bob: Client, gateway: RunningGateway
) -> None:
    actor = ada.actor("echo")
    proxy = {"HTTPS_PROXY": gateway.url}
    assert cli(PERMISSIONS, X=actor, **proxy)["result"] == {"ada": "UPDATE"}
    data = json.dumps({"user": "bob", "level": "READ"})
    assert cli(PERMIT, X=actor, DATA=data, **proxy)["result"] == {"ada": "UPDATE", "bob": "READ"}
    assert bob.result("GET", f"/{actor}")["id"] == actor


# The rest


def test_version_is_read_from_a_search(cli: Cli, ada: Client) -> None:
    found = cli(VERSION)
    assert found["version"] == ada.get("").json()["version"]


def test_what_cannot_be_done_has_no_result_but_a_message(cli: Cli) -> None:
    refused = cli(SUBMIT_TEXT, X="nobody", M="hello")
    assert refused["result"] is None
    assert refused["message"] == "Actor with identifier 'nobody' not found"


def test_a_token_that_does_not_hold_is_a_fault(cli: Cli) -> None:
    assert cli(LIST, TOKEN="wrong")["fault"]["message"] == "Invalid Credentials"
