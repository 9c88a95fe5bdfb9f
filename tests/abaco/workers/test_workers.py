from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.abaco.running import (
    MODES,
    NOWHERE,
    PROBE,
    Client,
    RunningGateway,
    eventually,
    is_in_status,
)

MOST = 60
SETTINGS = {"limits": {"workers": MOST}}
IMAGES = {
    **PROBE,
    "sleeper": {"folder": ".", "command": ["sleep", "60"]},
    "ordered": {**PROBE["warm"], "ordered_by": "order"},
}


def workers(client: Client, actor: str, status: str | None = None) -> list[dict[str, Any]]:
    """The workers of an actor, all or those of a status."""
    found: list[dict[str, Any]] = client.result("GET", f"/{actor}/workers")
    return [worker for worker in found if status in (None, worker["status"])]


def lines(file: Path) -> list[str]:
    """What messages have written into a file."""
    return file.read_text().splitlines() if file.exists() else []


def note(file: Path, line: str) -> dict[str, Any]:
    """Let a message write a line into a file."""
    return {"append": [str(file), f"{line}\n"]}


@pytest.mark.parametrize("mode", MODES)
def test_one_worker_runs_the_messages_in_their_order(
    ada: Client, tmp_path: Path, mode: str
) -> None:
    actor = ada.actor(mode)
    file, count = tmp_path / "order", 8
    ada.submit(actor, {"wait for": str(tmp_path / "go")})
    ids = [ada.submit(actor, note(file, str(number))) for number in range(count)]
    assert ada.result("GET", f"/{actor}/messages")["messages"] >= count
    (tmp_path / "go").touch()
    for each in ids:
        ada.ended(actor, each)
    assert lines(file) == [str(number) for number in range(count)]


def test_a_worker_is_described(ada: Client) -> None:
    actor = ada.actor("cold")
    reply = ada.get(f"/{actor}/workers").json()
    assert reply["message"] == "Workers retrieved successfully."
    (worker,) = reply["result"]
    assert worker == {
        "id": worker["id"],
        "status": "READY",
        "tenant": "SD2E",
        "createTime": worker["createTime"],
        "lastExecutionTime": "None",
        "lastHealthCheckTime": "None",
        "image": "cold",
        "chName": f"worker_{worker['id']}",
    }
    path = f"/{actor}/workers/{worker['id']}"
    reply = ada.get(path).json()
    assert (reply["message"], reply["result"]) == ("Worker retrieved successfully.", worker)
    execution = ada.run(actor, {})
    assert execution["workerId"] == worker["id"]
    eventually(lambda: ada.result("GET", path)["lastExecutionTime"] >= execution["startTime"])


def test_the_worker_of_another_actor_is_not_found(ada: Client) -> None:
    actor, other = ada.actor("cold"), ada.actor("cold")
    (worker,) = workers(ada, other)
    for method in ("GET", "DELETE"):
        path = f"/{actor}/workers/{worker['id']}"
        assert ada.refusal(method, path, 404) == "Worker not found."
    assert len(workers(ada, other, "READY")) == 1


def test_a_worker_is_busy_while_it_runs_a_message(ada: Client, tmp_path: Path) -> None:
    actor = ada.actor("cold")
    execution_id = ada.submit(actor, {"wait for": str(tmp_path / "go")})
    eventually(lambda: workers(ada, actor, "BUSY"))
    (tmp_path / "go").touch()
    ada.ended(actor, execution_id)
    eventually(lambda: workers(ada, actor, "READY"))


@pytest.mark.parametrize("form", [False, True])
def test_workers_are_added_and_run_in_parallel(
    ada: Client, admin: Client, tmp_path: Path, form: bool
) -> None:
    actor = ada.actor("cold")
    number = {"data": {"num": "3"}} if form else {"json": {"num": 3}}
    reply = admin.post(f"/{actor}/workers", **number).json()
    assert (reply["message"], reply["result"]) == (
        "Scheduled 2 new worker(s) to start. Previously, there were 1 workers.",
        None,
    )
    for had, body in ((2, {"num": 2}), (1, {})):
        reply = admin.post(f"/{actor}/workers", json=body).json()
        assert reply["message"] == f"Actor {actor} already had {had} worker(s)."
    eventually(lambda: len(workers(ada, actor, "READY")) == 3)
    # none of these ends before all have begun
    files = [str(tmp_path / str(number)) for number in range(3)]
    ids = [ada.submit(actor, {"touch": file, "wait for all": files}) for file in files]
    ended = [ada.ended(actor, each) for each in ids]
    assert [each["exitCode"] for each in ended] == [0, 0, 0]
    assert len({each["workerId"] for each in ended}) == 3


def test_a_message_that_waits_for_long_brings_a_further_worker(ada: Client, tmp_path: Path) -> None:
    actor, begun, gate = ada.actor("ordered"), tmp_path / "begun", tmp_path / "gate"
    hold = {"touch": str(begun), "wait for": str(gate)}
    held = ada.submit(actor, {"order": "taco", **hold})
    eventually(begun.exists)
    assert len(workers(ada, actor)) == 1
    behind = ada.submit(actor, {"order": "taco"})
    if (os.cpu_count() or 1) > 1:
        assert ada.run(actor, {"order": "salsa"})["exitCode"] == 0
        assert len(workers(ada, actor)) == 2
    gate.touch()
    first, second = (ada.ended(actor, each) for each in (held, behind))
    assert first["finishTime"] <= second["startTime"]


def test_only_administrators_add_workers(ada: Client) -> None:
    refusal = ada.refusal("POST", f"/{ada.actor('cold')}/workers", json={"num": 2})
    assert refusal == "Not authorized -- only admins are authorized to update workers."


@pytest.mark.parametrize("number", [0, -1, MOST + 1])
def test_the_number_of_workers_is_bounded(ada: Client, admin: Client, number: int) -> None:
    path = f"/{ada.actor(NOWHERE)}/workers"
    message = f"Invalid worker description: num must be from 1 to {MOST} for this actor."
    assert admin.refusal("POST", path, json={"num": number}) == message


def test_an_actor_may_have_a_bound_of_its_own(admin: Client) -> None:
    actor = admin.actor("cold", maxWorkers=2)
    assert "num must be from 1 to 2" in admin.refusal("POST", f"/{actor}/workers", json={"num": 3})
    admin.result("POST", f"/{actor}/workers", json={"num": 2})
    admin.result("PUT", f"/{actor}", json={"image": "cold", "maxWorkers": 1})
    eventually(lambda: len(workers(admin, actor)) == 1)


def test_workers_added_are_there_after_a_restart(
    gateway: RunningGateway, ada: Client, admin: Client
) -> None:
    actor = ada.actor("cold")
    admin.result("POST", f"/{actor}/workers", json={"num": 3})
    assert gateway.stop() == 0
    gateway.start()
    eventually(lambda: len(workers(ada, actor, "READY")) == 3)


def test_a_worker_is_stopped_after_its_message(ada: Client, admin: Client, tmp_path: Path) -> None:
    actor = ada.actor("cold")
    admin.result("POST", f"/{actor}/workers", json={"num": 2})
    execution_id = ada.submit(actor, {"wait for": str(tmp_path / "go"), "exit": 3})
    (busy,) = eventually(lambda: workers(ada, actor, "BUSY"))
    reply = ada.delete(f"/{actor}/workers/{busy['id']}").json()
    assert (reply["message"], reply["result"]) == ("Worker scheduled to be stopped.", None)
    assert ada.result("GET", f"/{actor}/workers/{busy['id']}")["status"] == "SHUTTING_DOWN"
    other = ada.run(actor, {})
    assert other["workerId"] != busy["id"]
    (tmp_path / "go").touch()
    assert ada.ended(actor, execution_id)["exitCode"] == 3
    eventually(lambda: len(workers(ada, actor)) == 1)
    assert "Worker not found." in ada.refusal("GET", f"/{actor}/workers/{busy['id']}", 404)


@pytest.mark.parametrize("mode", MODES)
def test_the_last_worker_comes_back_with_the_next_message(ada: Client, mode: str) -> None:
    actor = ada.actor(mode)
    (worker,) = workers(ada, actor)
    ada.result("DELETE", f"/{actor}/workers/{worker['id']}")
    eventually(lambda: workers(ada, actor) == [])
    execution = ada.run(actor, {"exit": 4})
    assert execution["exitCode"] == 4
    assert execution["workerId"] != worker["id"]


def test_messages_that_wait_are_run_though_the_last_worker_is_stopped(
    ada: Client, tmp_path: Path
) -> None:
    actor = ada.actor("cold")
    first = ada.submit(actor, {"wait for": str(tmp_path / "go")})
    second = ada.submit(actor, {"exit": 5})
    (busy,) = eventually(lambda: workers(ada, actor, "BUSY"))
    ada.result("DELETE", f"/{actor}/workers/{busy['id']}")
    (tmp_path / "go").touch()
    ada.ended(actor, first)
    assert ada.ended(actor, second)["exitCode"] == 5


def test_a_message_is_run_beside_a_last_worker_that_is_to_stop(ada: Client, tmp_path: Path) -> None:
    actor = ada.actor("cold")
    first = ada.submit(actor, {"wait for": str(tmp_path / "go"), "print": "to its end"})
    (busy,) = eventually(lambda: workers(ada, actor, "BUSY"))
    ada.result("DELETE", f"/{actor}/workers/{busy['id']}")
    beside = ada.run(actor, {})
    (tmp_path / "go").touch()
    assert ada.ended(actor, first)["workerId"] == busy["id"] != beside["workerId"]
    assert ada.logs(actor, first) == "to its end\n"
    eventually(lambda: [each["id"] for each in workers(ada, actor)] == [beside["workerId"]])


def test_an_actor_with_a_state_has_one_worker(ada: Client, admin: Client) -> None:
    actor = ada.actor("cold", stateless=False)
    path = f"/{actor}/workers"
    assert "num must be from 1 to 1" in admin.refusal("POST", path, json={"num": 2})
    assert len(workers(ada, actor)) == 1
    several = ada.actor("cold")
    admin.result("POST", f"/{several}/workers", json={"num": 3})
    ada.result("PUT", f"/{several}", json={"image": "cold", "stateless": False})
    eventually(lambda: len(workers(ada, several)) == 1)


@pytest.mark.parametrize("force", [True, False])
def test_a_new_revision_has_new_workers_once_the_old_have_done_their_message(
    ada: Client, tmp_path: Path, force: bool
) -> None:
    actor = ada.actor("cold", stateless=False)
    file = tmp_path / "order"
    orders = {**note(file, "old begins"), "wait for": str(tmp_path / "go")}
    first = ada.submit(actor, orders | {"append again": [str(file), "old ends\n"]})
    eventually(lambda: lines(file))
    (busy,) = workers(ada, actor)
    image = "cold" if force else "warm"
    described = {"image": image, "stateless": False, "force": force}
    assert ada.result("PUT", f"/{actor}", json=described)["revision"] == 2
    second = ada.submit(actor, note(file, "new"))
    statuses = {each["id"]: each["status"] for each in workers(ada, actor)}
    assert statuses.pop(busy["id"]) == "SHUTTING_DOWN"
    assert list(statuses.values()) == ["CREATING CONTAINER"]
    eventually(lambda: ada.result("GET", f"/{actor}/messages")["messages"] == 1)
    (tmp_path / "go").touch()
    old, new = ada.ended(actor, first), ada.ended(actor, second)
    assert (old["exitCode"], new["exitCode"]) == (0, 0)
    assert old["workerId"] != new["workerId"]
    assert lines(file) == ["old begins", "old ends", "new"]
    eventually(lambda: [each["image"] for each in workers(ada, actor)] == [image])
    assert ada.result("GET", f"/{actor}")["status"] == "READY"


def test_the_same_image_keeps_its_workers(ada: Client) -> None:
    actor = ada.actor("warm")
    before = workers(ada, actor)
    changed = ada.result("PUT", f"/{actor}", json={"image": "warm", "description": "new"})
    assert (changed["revision"], changed["status"]) == (1, "READY")
    assert workers(ada, actor) == before


def test_an_actor_whose_image_is_known_again_is_ready_with_the_workers_it_had(
    ada: Client, gateway: RunningGateway
) -> None:
    actor, file = ada.actor("cold"), gateway.folder / "images.yml"
    before, images = workers(ada, actor), file.read_text()
    file.write_text("{}")
    try:
        assert ada.result("PUT", f"/{actor}", json={"image": "cold"})["status"] == "READY"
        eventually(is_in_status(ada, actor, "ERROR"))
    finally:
        file.write_text(images)
    assert ada.result("PUT", f"/{actor}", json={"image": "cold"})["status"] == "SUBMITTED"
    eventually(is_in_status(ada, actor, "READY"))
    assert workers(ada, actor) == before


def test_no_two_images_have_one_revision_though_they_come_at_once(ada: Client) -> None:
    actor = ada.actor("cold")

    def change(number: int) -> dict[str, Any]:
        image = ("cold", "warm")[number % 2]
        updated: dict[str, Any] = ada.result("PUT", f"/{actor}", json={"image": image})
        return updated

    with ThreadPoolExecutor() as senders:
        updated = list(senders.map(change, range(16)))
    images = {(each["revision"], each["image"]) for each in updated}
    assert len(images) == len({revision for revision, _ in images})
    eventually(is_in_status(ada, actor, "READY"))
    last = max(updated, key=lambda each: int(each["revision"]))
    eventually(lambda: {each["image"] for each in workers(ada, actor)} == {last["image"]})


def test_deleting_an_actor_waits_for_its_message_and_drops_the_rest(
    ada: Client, tmp_path: Path
) -> None:
    actor = ada.actor("cold")
    file = tmp_path / "order"
    orders = {**note(file, "begins"), "wait for": str(tmp_path / "go")}
    ada.submit(actor, orders | {"append again": [str(file), "ends\n"]})
    eventually(lambda: lines(file))
    # it is shown as running a little later
    eventually(lambda: ada.result("GET", f"/{actor}/messages")["messages"] == 0)
    replies: list[httpx.Response] = []
    waiting = threading.Thread(target=lambda: replies.append(ada.ask(actor, note(file, "never"))))
    waiting.start()
    eventually(lambda: ada.result("GET", f"/{actor}/messages")["messages"] == 1)
    deleting = threading.Thread(target=lambda: ada.result("DELETE", f"/{actor}"))
    deleting.start()
    eventually(is_in_status(ada, actor, "SHUTTING_DOWN"))
    for method, path in (("PUT", ""), ("POST", "/messages")):
        assert "being" in ada.refusal(method, f"/{actor}{path}", 404, json={"image": "warm"})
    (tmp_path / "go").touch()
    deleting.join()
    waiting.join()
    assert lines(file) == ["begins", "ends"]
    assert [reply.status_code for reply in replies] == [410]
    assert actor in ada.refusal("GET", f"/{actor}", 404)


def test_many_busy_workers_keep_nobody_from_being_answered(
    gateway: RunningGateway, ada: Client, admin: Client
) -> None:
    actor = ada.actor("sleeper")
    admin.result("POST", f"/{actor}/workers", json={"num": MOST})
    for _ in range(MOST):
        ada.submit(actor, {})
    eventually(lambda: len(workers(ada, actor, "BUSY")) == MOST)
    other = ada.actor("cold")
    assert ada.run(other, {"exit": 6})["exitCode"] == 6
    for execution in ada.result("GET", f"/{actor}/executions")["executions"]:
        ada.result("DELETE", f"/{actor}/executions/{execution['id']}")
    eventually(lambda: workers(ada, actor, "BUSY") == [])
