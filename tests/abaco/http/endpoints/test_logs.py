from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.abaco.running import MODES, Client, RunningGateway, eventually

MOST = 1000
SETTINGS = {"limits": {"log_characters": MOST}}
TRUNCATED = " LOG LIMIT EXCEEDED; this execution log was TRUNCATED!"


def test_a_log_has_what_is_written_to_both_outputs(
    gateway: RunningGateway, ada: Client, actor: str
) -> None:
    orders = {"print": "to standard output", "complain": "to standard error", "write": [52, 10]}
    execution_id = ada.run(actor, orders)["id"]
    result = ada.result("GET", f"/{actor}/executions/{execution_id}/logs")
    assert result["logs"] == "to standard output\nto standard error\n4\n"
    path = f"{gateway.url}/actors/v2/{actor}/executions/{execution_id}"
    assert result["_links"] == {
        "self": f"{path}/logs",
        "owner": f"{gateway.url}/profiles/v2/ada",
        "execution": path,
    }


def test_an_execution_that_writes_nothing_has_an_empty_log(ada: Client, actor: str) -> None:
    assert ada.logs(actor, ada.run(actor, {})["id"]) == ""


def test_a_log_can_be_read_while_it_is_written(ada: Client, actor: str, tmp_path: Path) -> None:
    files = [str(tmp_path / name) for name in ("first", "second")]
    orders = {"print": "first", "touch": files[0], "wait for": files[1], "complain": "last"}
    execution_id = ada.submit(actor, orders)
    eventually(lambda: ada.logs(actor, execution_id) == "first\n")
    Path(files[1]).touch()
    ada.ended(actor, execution_id)
    assert ada.logs(actor, execution_id) == "first\nlast\n"


def test_a_log_is_complete_as_soon_as_its_execution_is(ada: Client, actor: str) -> None:
    for number in range(5):
        execution = ada.run(actor, {"many": ["x", 500 + number]})
        assert ada.logs(actor, execution["id"]) == "x" * (500 + number) + "\n"


@pytest.mark.parametrize(
    ("written", "log"),
    [
        (MOST - 1, "ü" * (MOST - 1) + "\n"),
        (MOST, "ü" * MOST + TRUNCATED),
        (200_000, "ü" * MOST + TRUNCATED),
    ],
)
def test_a_log_is_cut_at_its_limit(ada: Client, actor: str, written: int, log: str) -> None:
    execution = ada.run(actor, {"many": ["ü", written], "exit": 2})
    assert execution["exitCode"] == 2, "what is beyond is read, so that the actor can go on"
    assert ada.logs(actor, execution["id"]) == log


@pytest.mark.parametrize(
    ("content", "log"),
    [
        (b"a\xffb\n", "a\ufffdb\n"),
        ("x🌮".encode()[:-1], "x\ufffd"),
        # not every database keeps a NUL
        (b"a\0b\x1b[31m", "a\ufffdb\x1b[31m"),
        (b"a\r\nb\r", "a\r\nb\r"),
    ],
)
def test_what_is_no_text_is_shown_all_the_same(
    ada: Client, actor: str, content: bytes, log: str
) -> None:
    assert ada.logs(actor, ada.run(actor, {"write": list(content)})["id"]) == log


def test_a_character_may_come_in_pieces(ada: Client, actor: str) -> None:
    first, rest = "🌮".encode()[:2], "🌮".encode()[2:]
    orders: dict[str, Any] = {"write": list(first), "sleep": 0.05}
    execution = ada.run(actor, {**orders, "write again": list(rest)})
    assert ada.logs(actor, execution["id"]) == "🌮"


@pytest.mark.parametrize("mode", MODES)
def test_a_text_that_cannot_be_encoded_does_not_end_a_message(ada: Client, mode: str) -> None:
    actor = ada.actor(mode)
    body = '{"print": "before \\udcff after"}'
    headers = {"Content-Type": "application/json"}
    reply = ada.result("POST", f"/{actor}/messages", content=body, headers=headers)
    assert ada.ended(actor, reply["executionId"])["exitCode"] == 0
    log = ada.logs(actor, reply["executionId"])
    assert (log[:7], log[-7:]) == ("before ", " after\n")


def test_a_log_expires_and_its_execution_does_not(ada: Client) -> None:
    actor = ada.actor("cold", logEx=1)
    execution = ada.run(actor, {"print": "soon forgotten"})
    eventually(lambda: ada.logs(actor, execution["id"]) == "")
    assert ada.result("GET", f"/{actor}/executions/{execution['id']}")["status"] == "COMPLETE"


def test_logs_go_with_their_actor(ada: Client, bob: Client) -> None:
    actor = ada.actor("cold")
    execution = ada.run(actor, {"print": "mine"})
    path = f"/{actor}/executions/{execution['id']}/logs"
    assert "do not have access" in bob.refusal("GET", path)
    ada.result("DELETE", f"/{actor}")
    assert actor in ada.refusal("GET", path, 404)
