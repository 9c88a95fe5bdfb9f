"""Messages that wait for one actor are handed to it together, where its image says how."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.abaco.running import Client, RunningGateway, eventually, opened

IMAGES = {
    "batcher": {
        "folder": ".",
        "command": ["python3", "batcher.py"],
        "mode": "warm",
        "handler": "batcher:main",
        "batch": "batcher:together",
        "ordered_by": "key",
        "idempotency": "event_id",
    },
}
BATCHER = """
import ast, os, signal, socket, time
from pathlib import Path

def note(orders, how):
    with open(orders["notes"], "a") as notes:
        notes.write(f"{orders['number']} {how}\\n")

def main():
    orders = ast.literal_eval(os.environ["MSG"])
    if "begun" in orders:
        Path(orders["begun"]).touch()
    while "gate" in orders and not Path(orders["gate"]).exists():
        time.sleep(0.01)
    note(orders, "alone")
    print("alone, first attempt:", os.environ.get("_abaco_first_attempt"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as results:
        results.connect(os.environ["_abaco_results_socket"])
        results.send(os.environ["_abaco_execution_id"].encode())
    return orders.get("code", 0)

def together(environments):
    handled = []
    for environ in environments:
        orders = ast.literal_eval(environ["MSG"])
        match orders.get("order"):
            case "be alone":
                return handled
            case "leave this":
                handled.append(None)
                continue
            case "fail":
                raise ValueError("none of these")
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
            case "hang":
                time.sleep(60)
            case "talk nonsense":
                return [("one", "two", "three")]
            case "say too much":
                return [(0, "", [])] * (len(environments) + 1)
        note(orders, f"of {len(environments)}")
        print("x" * orders.get("output", 0))
        log = orders.get("odd", "") and "\\ud800 "
        log += f"with others: {orders['number']}\\n"
        handled.append((orders.get("code", 0), log, [environ["_abaco_execution_id"]]))
    return handled
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    folder = tmp_path_factory.mktemp("gateway")
    (folder / "batcher.py").write_text(BATCHER)
    with RunningGateway(folder, IMAGES) as running:
        yield running


class Kitchen:
    """An actor whose first message holds up what follows, so that it waits together."""

    def __init__(self, client: Client, folder: Path, **description: Any) -> None:
        self.client = client
        self.actor = client.actor("batcher", **description)
        self._folder = folder
        self._sent = 0

    def send(
        self, key: str = "tacos", parameters: dict[str, str] | None = None, **orders: Any
    ) -> str:
        body = {"key": key, "number": self._sent, "notes": str(self._folder / "notes"), **orders}
        self._sent += 1
        return self.client.submit(self.actor, body, params=parameters or {})

    @contextlib.contextmanager
    def held_up(self, key: str = "tacos") -> Iterator[None]:
        """Let what is sent with a key in the block wait until its end."""
        gate, begun = self._folder / f"gate-{self._sent}", self._folder / f"begun-{self._sent}"
        self.send(key, gate=str(gate), begun=str(begun))
        eventually(begun.exists)
        try:
            yield
        finally:
            gate.touch()

    def ended(self, executions: Sequence[str]) -> list[dict[str, Any]]:
        return [self.client.ended(self.actor, execution) for execution in executions]

    def notes(self) -> list[str]:
        """Return how each message was handled, in the order in which that happened."""
        return (self._folder / "notes").read_text().splitlines()


@pytest.fixture
def kitchen(ada: Client, tmp_path: Path) -> Kitchen:
    return Kitchen(ada, tmp_path)


@pytest.fixture
def small_kitchen(admin: Client, tmp_path: Path) -> Kitchen:
    """One that never has a further worker."""
    return Kitchen(admin, tmp_path, maxWorkers=1)


def test_what_waits_with_one_key_is_handled_together_and_each_has_its_own_end(
    kitchen: Kitchen, ada: Client
) -> None:
    with kitchen.held_up():
        executions = [kitchen.send(code=number) for number in range(3)]
    ends = kitchen.ended(executions)
    assert kitchen.notes() == ["0 alone", "1 of 3", "2 of 3", "3 of 3"]
    assert [end["exitCode"] for end in ends] == [0, 1, 2]
    assert {end["status"] for end in ends} == {"COMPLETE"}
    for number, execution in enumerate(executions, 1):
        assert ada.logs(kitchen.actor, execution) == f"with others: {number}\n"
        assert ada.result_of(kitchen.actor, execution).decode() == execution


def test_messages_with_several_keys_are_handled_together_but_not_one_without(
    small_kitchen: Kitchen,
) -> None:
    with small_kitchen.held_up("salt"):
        keys = ("tacos", "salsa", "tacos", "", "tacos")
        executions = [small_kitchen.send(key) for key in keys]
    small_kitchen.ended(executions)
    notes = ["0 alone", "4 alone"] + [f"{n} of 4" for n in (1, 2, 3, 5)]
    assert sorted(small_kitchen.notes()) == sorted(notes)


def test_what_the_actor_leaves_among_several_keys_runs_by_itself(small_kitchen: Kitchen) -> None:
    with small_kitchen.held_up("salt"):
        sent = [("tacos", ""), ("salsa", "leave this"), ("tacos", ""), ("beans", "")]
        executions = [small_kitchen.send(key, order=order) for key, order in sent]
    assert [end["exitCode"] for end in small_kitchen.ended(executions)] == [0] * 4
    notes = ["0 alone", "2 alone"] + [f"{n} of 4" for n in (1, 3, 4)]
    assert sorted(small_kitchen.notes()) == sorted(notes)


def test_what_the_actor_does_not_take_runs_by_itself_and_the_rest_together_after_it(
    kitchen: Kitchen,
) -> None:
    with kitchen.held_up():
        executions = [
            kitchen.send(order=order) for order in ("", "", "be alone", "", "", "be alone")
        ]
    ends = kitchen.ended(executions)
    assert [end["exitCode"] for end in ends] == [0] * 6
    assert kitchen.notes() == [
        "0 alone",
        "1 of 6",
        "2 of 6",
        "3 alone",
        "4 of 3",
        "5 of 3",
        "6 alone",
    ]


def test_where_the_actor_takes_none_they_are_not_offered_to_it_together_any_more(
    kitchen: Kitchen, ada: Client
) -> None:
    with kitchen.held_up():
        refused = [kitchen.send(order="be alone", code=1) for _ in range(8)]
        taken = [kitchen.send() for _ in range(8)]
    kitchen.ended([*refused, *taken])
    offered = [ada.logs(kitchen.actor, each) for each in refused]
    # whoever was offered once runs alone as one that no worker has tried
    assert offered == ["alone, first attempt: true\n"] * 8
    # and little by little, more again
    assert kitchen.notes()[9:] == [
        "9 alone",
        "10 of 2",
        "11 of 2",
        *(f"{number} of 4" for number in range(12, 16)),
        "16 alone",
    ]


def test_an_actor_with_a_state_takes_one_after_the_other(ada: Client, tmp_path: Path) -> None:
    kitchen = Kitchen(ada, tmp_path, stateless=False)
    with kitchen.held_up():
        executions = [kitchen.send() for _ in range(3)]
    kitchen.ended(executions)
    assert kitchen.notes() == [f"{number} alone" for number in range(4)]


@pytest.mark.parametrize(
    "order",
    ["fail", "die", pytest.param("hang", marks=pytest.mark.long), "talk nonsense", "say too much"],
)
def test_where_it_fails_each_runs_by_itself_as_one_that_may_have_been_handled(
    kitchen: Kitchen, ada: Client, order: str
) -> None:
    with kitchen.held_up():
        executions = [kitchen.send(order=order) for _ in range(3)]
    ends = kitchen.ended(executions)
    assert [(end["status"], end["exitCode"]) for end in ends] == [("COMPLETE", 0)] * 3
    assert kitchen.notes() == [f"{number} alone" for number in range(4)]
    for execution in executions:
        assert ada.logs(kitchen.actor, execution) == "alone, first attempt: None\n"


def test_messages_with_an_id_of_their_own_are_handled_together(kitchen: Kitchen) -> None:
    with kitchen.held_up():
        executions = [kitchen.send(parameters={"event_id": str(n)}) for n in range(3)]
    kitchen.ended(executions)
    assert kitchen.notes() == ["0 alone", "1 of 3", "2 of 3", "3 of 3"]


def test_what_waited_when_the_gateway_was_killed_is_handled_together(tmp_path: Path) -> None:
    (tmp_path / "batcher.py").write_text(BATCHER)
    running = RunningGateway(tmp_path, IMAGES).start()
    with running.client() as ada:
        kitchen = Kitchen(ada, tmp_path)
        with kitchen.held_up():
            executions = [kitchen.send("tacos") for _ in range(40)]
            running.kill()
    with running, running.client() as ada:
        kitchen.client = ada
        assert {each["exitCode"] for each in kitchen.ended(executions)} == {0}
        for execution in executions:
            log = ada.logs(kitchen.actor, execution)
            assert log.startswith("with others") or log == "alone, first attempt: None\n"
    notes = [note.split(" ", 1) for note in kitchen.notes()]
    # the first one, which was running, may have been run again
    assert [*dict.fromkeys(number for number, _ in notes)] == [str(each) for each in range(41)]
    assert [how for _, how in notes].count("alone") <= 2


def test_what_has_no_room_in_memory_is_handled_together(kitchen: Kitchen) -> None:
    with kitchen.held_up():
        executions = [kitchen.send(ballast="x" * 1_500_000) for _ in range(14)]
    kitchen.ended(executions)
    notes = [note.split(" ", 1) for note in kitchen.notes()]
    assert [number for number, _ in notes] == [str(each) for each in range(15)]
    # the first that is read again comes alone, with some of those behind it
    assert [how for _, how in notes].count("alone") <= 2


def test_what_they_print_and_log_holds_nobody_up(kitchen: Kitchen, ada: Client) -> None:
    with kitchen.held_up():
        executions = [kitchen.send(output=100_000, odd=True) for _ in range(2)]
    assert [end["exitCode"] for end in kitchen.ended(executions)] == [0, 0]
    assert kitchen.notes() == ["0 alone", "1 of 2", "2 of 2"]
    logs = [ada.logs(kitchen.actor, each) for each in executions]
    assert logs == ["? with others: 1\n", "? with others: 2\n"]


def test_callers_who_wait_are_answered_each_with_its_own_result(
    kitchen: Kitchen, ada: Client, tmp_path: Path
) -> None:
    def ask(number: int) -> str:
        body = {"key": "tacos", "number": number, "notes": str(tmp_path / "notes")}
        return ada.ask(kitchen.actor, body).text

    callers = 8
    with ThreadPoolExecutor(callers) as threads:
        with kitchen.held_up():
            asked = [threads.submit(ask, number) for number in range(callers)]
            path = f"/{kitchen.actor}/messages"
            eventually(lambda: ada.result("GET", path)["messages"] == callers)
        # each with the id of its execution
        answers = [each.result() for each in asked]
    logs = [ada.logs(kitchen.actor, answer) for answer in answers]
    assert logs == [f"with others: {number}\n" for number in range(callers)]


def test_what_is_purged_is_not_handled(kitchen: Kitchen, ada: Client) -> None:
    with kitchen.held_up():
        executions = [kitchen.send() for _ in range(3)]
        ada.result("DELETE", f"/{kitchen.actor}/messages")
    assert [end["status"] for end in kitchen.ended(executions)] == ["ERROR"] * 3
    # the one that held them up is not purged, and may end after them
    kitchen.ended([kitchen.send()])
    assert kitchen.notes()[0] == "0 alone"
    assert len(kitchen.notes()) == 2


@pytest.mark.parametrize("missing", ["ordered_by", "handler"])
def test_an_image_that_takes_several_messages_says_how_they_are_ordered(
    gateway: RunningGateway, ada: Client, missing: str
) -> None:
    image = {name: value for name, value in IMAGES["batcher"].items() if name != missing}
    file = gateway.folder / "images.yml"
    before = file.read_text()
    file.write_text(yaml.safe_dump(opened({"batcher": {**image, "mode": "cold"}})))
    try:
        ada.refusal("POST", "", 503, json={"image": "batcher"})
    finally:
        file.write_text(before)
    assert f"batcher: '{missing}' is a dependency of 'batch'" in gateway.log.read_text()
