from __future__ import annotations

import asyncio
import shutil
import threading
from pathlib import Path

import pytest

from abaco.store.executions import TEXT, Message
from abaco.workers import workspace
from abaco.workers.workspace import RESULT_BYTES
from tests.abaco.running import Client, RunningGateway, eventually

MOST = 5
SETTINGS = {"limits": {"results": MOST}}


def test_results_are_taken_one_by_one_in_order(ada: Client, actor: str) -> None:
    execution_id = ada.run(actor, {"results": ["first", "", "ä third"]})["id"]
    taken = [ada.result_of(actor, execution_id) for _ in range(4)]
    assert taken == [b"first", b"", "ä third".encode(), b""]


def test_an_execution_without_results_has_an_empty_one(ada: Client, actor: str) -> None:
    execution_id = ada.run(actor, {})["id"]
    assert ada.result_of(actor, execution_id) == b""
    assert ada.result_of(actor, "unknown") == b""


def test_results_belong_to_their_execution(ada: Client, actor: str) -> None:
    other = ada.actor("cold")
    ids = [ada.run(actor, {"results": [text]})["id"] for text in ("first", "second")]
    assert ada.result_of(other, ids[0]) == b""
    assert [ada.result_of(actor, each) for each in reversed(ids)] == [b"second", b"first"]


def test_a_worker_goes_on_when_its_temporary_files_were_cleaned_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workspace, "UNUSED_SECONDS", -1.0)

    async def clean_up_between() -> None:
        space = workspace.Workspace(tmp_path)
        for _ in range(2):
            await space.open(Message(b"", TEXT, {}))
            assert space.results_path is not None
            assert space.results_path.is_socket()
            shutil.rmtree(space.folder)
        await space.close()

    asyncio.run(clean_up_between())


def test_to_ask_for_the_head_of_a_result_does_not_take_it(ada: Client, actor: str) -> None:
    execution_id = ada.run(actor, {"results": ["only"]})["id"]
    refused = ada.head(f"/{actor}/executions/{execution_id}/results")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET")
    assert ada.head(f"/{actor}/executions/{execution_id}").status_code == 200
    assert ada.result_of(actor, execution_id) == b"only"


def test_a_result_can_be_taken_while_the_execution_goes_on(
    ada: Client, actor: str, tmp_path: Path
) -> None:
    execution_id = ada.submit(actor, {"results": ["early"], "wait for": str(tmp_path / "go")})
    eventually(lambda: ada.result_of(actor, execution_id) == b"early")
    path = f"/{actor}/executions/{execution_id}"
    eventually(lambda: ada.result("GET", path)["status"] == "RUNNING")
    (tmp_path / "go").touch()
    ada.ended(actor, execution_id)
    assert ada.result_of(actor, execution_id) == b""


def test_a_result_may_have_this_many_bytes(ada: Client, actor: str) -> None:
    execution_id = ada.run(actor, {"large result": RESULT_BYTES})["id"]
    assert ada.result_of(actor, execution_id) == b"." * RESULT_BYTES


def test_of_too_many_results_the_first_are_kept(ada: Client, actor: str) -> None:
    texts = [str(number) for number in range(3 * MOST)]
    execution = ada.run(actor, {"results": texts})
    assert execution["exitCode"] == 0
    taken = [ada.result_of(actor, execution["id"]).decode() for _ in range(MOST + 1)]
    assert taken == [*texts[:MOST], ""]


def test_who_sends_results_without_end_keeps_nobody_from_being_answered(ada: Client) -> None:
    actor = ada.actor("cold")
    execution_id = ada.submit(actor, {"results without end": "flood"})
    eventually(lambda: ada.result_of(actor, execution_id) == b"flood")
    ada.result("DELETE", f"/{actor}/executions/{execution_id}")
    assert ada.ended(actor, execution_id)["status"] == "COMPLETE"


def test_results_that_were_sent_before_the_end_are_there_at_the_end(ada: Client) -> None:
    actor = ada.actor("warm")
    for code in (0, 1):
        execution_id = ada.run(actor, {"results": ["kept"], "exit": code})["id"]
        assert ada.result_of(actor, execution_id) == b"kept"
    execution_id = ada.run(actor, {"results": ["kept"], "leave": 0})["id"]
    assert ada.result_of(actor, execution_id) == b"kept"


def test_each_result_is_taken_by_one_reader(ada: Client) -> None:
    actor = ada.actor("cold")
    execution_id = ada.run(actor, {"results": [str(number) for number in range(MOST)]})["id"]
    taken: list[bytes] = []
    readers = [
        threading.Thread(target=lambda: taken.append(ada.result_of(actor, execution_id)))
        for _ in range(2 * MOST)
    ]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert sorted(taken) == [b""] * MOST + [str(number).encode() for number in range(MOST)]


@pytest.mark.long
def test_results_are_kept_for_a_time(tmp_path: Path) -> None:
    settings = {"limits": {"result_seconds": 1}}
    with RunningGateway(tmp_path, settings=settings) as running, running.client() as client:
        actor = client.actor("warm")
        execution_id = client.run(actor, {"results": ["forgotten"]})["id"]
        client.run(actor, {"sleep": 1.1})
        assert client.result_of(actor, execution_id) == b""


def test_results_are_for_who_sent_the_message(
    gateway: RunningGateway, ada: Client, bob: Client
) -> None:
    actor = ada.actor("cold")
    for user in ("bob", "eve"):
        ada.result("POST", f"/{actor}/permissions", json={"user": user, "level": "EXECUTE"})
    with gateway.client("eve") as eve:
        execution_id = bob.run(actor, {"results": ["of bob", "for ada"]})["id"]
        path = f"/{actor}/executions/{execution_id}/results"
        assert "the sender of its message" in eve.refusal("GET", path)
        assert bob.result_of(actor, execution_id) == b"of bob"
        # who may change the actor
        assert ada.result_of(actor, execution_id) == b"for ada"


def test_results_of_a_message_that_a_nonce_sent_are_for_that_nonce(
    ada: Client, stranger: Client
) -> None:
    actor = ada.actor("cold")
    mine, other = (
        {"x-nonce": ada.result("POST", f"/{actor}/nonces", json={"level": level})["id"]}
        for level in ("EXECUTE", "UPDATE")
    )
    of_ada = ada.run(actor, {"results": ["secret"]})["id"]
    of_nonce = stranger.submit(actor, {"results": ["told"]}, params=mine)
    ada.ended(actor, of_nonce)
    for nonce, execution_id in ((mine, of_ada), (other, of_ada), (other, of_nonce)):
        stranger.refusal("GET", f"/{actor}/executions/{execution_id}/results", params=nonce)
    taken = stranger.get(f"/{actor}/executions/{of_nonce}/results", params=mine)
    assert (taken.status_code, taken.content) == (200, b"told")
    assert ada.result_of(actor, of_ada) == b"secret"
