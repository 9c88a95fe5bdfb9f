"""What an actor depends on is away: what was accepted waits, and nobody else waits for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.abaco.oven import PATIENT, Oven
from tests.abaco.running import Client, RunningGateway, eventually

IMAGES = PATIENT


def test_what_was_accepted_waits_until_it_can_be_handled_in_order(ada: Client, oven: Oven) -> None:
    actor = ada.actor("patient")
    oven.cold.touch()
    sent = [ada.submit(actor, oven.orders(str(number))) for number in range(6)]
    mailbox = eventually(
        lambda: (found := ada.result("GET", f"/{actor}/messages"))["postponed"] and found
    )
    assert mailbox["messages"] == 6
    (postponed,) = mailbox["postponed"]
    assert (postponed["executionId"], postponed["reason"]) == (sent[0], "the oven is cold")
    assert ada.result("GET", f"/{actor}/executions/{sent[0]}")["status"] == "SUBMITTED"
    oven.cold.unlink()
    assert [ada.ended(actor, each)["exitCode"] for each in sent] == [0] * 6
    assert oven.done() == [str(number) for number in range(6)]
    assert ada.result("GET", f"/{actor}/messages")["postponed"] == []


@pytest.mark.long
def test_a_gateway_that_is_killed_meanwhile_goes_on_with_it(tmp_path: Path) -> None:
    oven = Oven(tmp_path)
    with RunningGateway(tmp_path, IMAGES) as gateway, gateway.client() as ada:
        actor = ada.actor("patient")
        oven.cold.touch()
        sent = [ada.submit(actor, oven.orders(str(number))) for number in range(3)]
        eventually(lambda: ada.result("GET", f"/{actor}/messages")["postponed"])
        gateway.kill()
        oven.cold.unlink()
        gateway.start()
        assert [ada.ended(actor, each)["exitCode"] for each in sent] == [0] * 3
    assert oven.done() == ["0", "1", "2"]


def by_key(order: str) -> dict[str, object]:
    return {"order": order}


def elsewhere(order: str) -> dict[str, object]:
    return {"about": {"order": order}}


@pytest.mark.parametrize("form", [by_key, elsewhere])
def test_what_waits_keeps_only_what_has_its_order_waiting(
    ada: Client, oven: Oven, form: Callable[[str], dict[str, object]]
) -> None:
    actor = ada.actor("patient")
    oven.cold.touch()
    waiting = ada.submit(actor, oven.orders("late", order="1"))
    eventually(lambda: ada.result("GET", f"/{actor}/messages")["postponed"])
    later = {name: value for name, value in oven.orders("later").items() if name != "order"}
    behind = ada.submit(actor, {**later, **form("1")})
    for number in range(3):
        assert ada.run(actor, form(f"other {number}"))["exitCode"] == 0
    oven.cold.unlink()
    assert [ada.ended(actor, each)["exitCode"] for each in (waiting, behind)] == [0, 0]
    assert oven.done() == ["late", "later"]


def test_only_what_no_worker_ever_had_is_called_a_first_attempt(
    ada: Client, oven: Oven, tmp_path: Path
) -> None:
    actor, told = ada.actor("patient"), tmp_path / "told"
    oven.cold.touch()
    message = {"order": "1", "save": str(told), "away while": str(oven.cold)}
    execution = ada.submit(actor, message)

    def first() -> str | None:
        text = told.read_text() if told.exists() else ""
        environment = json.loads(text)["environment"] if text else {}
        return str(environment.get("_abaco_first_attempt")) if environment else None

    assert eventually(first) == "true"
    eventually(lambda: ada.result("GET", f"/{actor}/messages")["postponed"])
    oven.cold.unlink()
    ada.ended(actor, execution)
    assert first() == "None"


def test_who_waits_for_the_answer_is_told_and_the_message_is_not_run_later(
    ada: Client, oven: Oven
) -> None:
    actor = ada.actor("patient")
    oven.cold.touch()
    reply = ada.ask(actor, oven.orders("never"))
    assert reply.status_code == 503
    assert int(reply.headers["Retry-After"]) >= 1
    assert reply.json()["message"] == (
        "The message could not be handled, and is not tried again: the oven is cold"
    )
    oven.cold.unlink()
    assert ada.run(actor, oven.orders("after"))["exitCode"] == 0
    assert oven.done() == ["after"]


def test_a_message_that_counts_once_is_queued_and_the_answer_says_so(
    ada: Client, oven: Oven
) -> None:
    actor = ada.actor("patient")
    oven.cold.touch()
    reply = ada.ask(actor, oven.orders("once"), event_id="1")
    assert reply.status_code == 503
    assert int(reply.headers["Retry-After"]) >= 1
    (execution,) = ada.result("GET", f"/{actor}/executions")["executions"]
    assert reply.json()["message"] == (
        f"The message is queued as execution {execution['id']}, and is tried again until it can be "
        "handled: the oven is cold"
    )
    oven.cold.unlink()
    assert ada.ended(actor, execution["id"])["exitCode"] == 0
    assert oven.done() == ["once"]


def test_who_waits_behind_a_message_that_is_tried_again_is_told_at_once(
    ada: Client, oven: Oven
) -> None:
    actor = ada.actor("patient")
    oven.cold.touch()
    ada.submit(actor, oven.orders("first"))
    eventually(lambda: ada.result("GET", f"/{actor}/messages")["postponed"])
    replies = [
        ada.ask(actor, oven.orders("never")),
        ada.ask(actor, oven.orders("once"), event_id="1"),
    ]
    assert [reply.status_code for reply in replies] == [503, 503]
    assert "is not tried again: the oven is cold" in replies[0].json()["message"]
    assert "is queued as execution" in replies[1].json()["message"]
    oven.cold.unlink()
    eventually(lambda: oven.done() == ["first", "once"])


def test_a_message_that_waits_can_be_dropped(ada: Client, oven: Oven) -> None:
    actor = ada.actor("patient")
    oven.cold.touch()
    dropped, following = (ada.submit(actor, oven.orders(what)) for what in ("one", "two"))
    eventually(lambda: ada.result("GET", f"/{actor}/messages")["postponed"])
    path = f"/{actor}/executions/{dropped}"
    messages: list[str] = []

    def drop() -> bool:
        messages.append(str(ada.delete(path).json()["message"]))
        return messages[-1].startswith(("Dropped the message", "Issued force quit"))

    eventually(drop)
    # one that is just being tried is stopped instead
    expected = "ERROR" if messages[-1].startswith("Dropped") else "COMPLETE"
    assert ada.ended(actor, dropped)["status"] == expected
    oven.cold.unlink()
    assert ada.ended(actor, following)["exitCode"] == 0
    assert oven.done() == ["two"]


def test_without_a_word_in_the_image_an_exit_code_is_an_end(ada: Client, oven: Oven) -> None:
    oven.cold.touch()
    execution = ada.run(ada.actor("warm"), oven.orders("never"))
    assert (execution["status"], execution["exitCode"]) == ("COMPLETE", 75)


def test_messages_of_one_order_run_in_turn_though_several_workers_are_there(
    ada: Client, oven: Oven
) -> None:
    actor = ada.actor("patient")
    for _ in range(10):
        ada.submit(actor, oven.orders("start"))
        ada.submit(actor, {**oven.orders("end"), "order": "1"})
    last = ada.submit(actor, oven.orders("last"))
    ada.ended(actor, last)
    assert oven.done() == ["start", "end"] * 10 + ["last"]


def test_the_url_says_the_order_though_each_body_says_another(ada: Client, oven: Oven) -> None:
    actor = ada.actor("patient")
    for number in range(5):
        first = {"sleep": 0.1, **oven.orders("start", order=f"{number} a")}
        ada.submit(actor, first, params={"order": "1"})
        last = ada.submit(actor, oven.orders("end", order=f"{number} b"), params={"order": "1"})
    ada.ended(actor, last)
    assert oven.done() == ["start", "end"] * 5


def test_one_message_does_not_wait_for_the_many_of_somebody_else(
    gateway: RunningGateway, ada: Client, tmp_path: Path
) -> None:
    actor = ada.actor("cold")
    ada.result("POST", f"/{actor}/permissions", json={"user": "bob", "level": "EXECUTE"})
    gate, record = tmp_path / "gate", tmp_path / "record"
    ada.submit(actor, {"wait for": str(gate)})
    for _ in range(40):
        ada.submit(actor, {"append": [str(record), "ada\n"]})
    with gateway.client("bob") as bob:
        mine = bob.submit(actor, {"append": [str(record), "bob\n"]})
        gate.touch()
        bob.ended(actor, mine)
    assert "bob" in record.read_text().split()[:3]
    ada.result("DELETE", f"/{actor}/messages")
