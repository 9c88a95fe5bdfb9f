"""Row 18: three gateways and four nodes on machines of their own, which are disturbed under load."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pymongo
import pytest

from datacatalog.mongo import Document
from local.database import Server
from tests.abaco.running import eventually, gone
from tests.conftest import NO_SERVICES, SERVICES
from tests.network import NetworkError
from tests.reliability.checker import Outcome
from tests.reliability.drill import Drill, Load, after
from tests.reliability.soak import note

pytestmark = [
    pytest.mark.skipif(not SERVICES, reason=NO_SERVICES),
    pytest.mark.long,
    pytest.mark.alone,
]
MESSAGES = 20_000
MAX_QUEUE_SECONDS = 600.0
"""Until so many messages are accepted and rung for, or run, also while others use the processors."""


@pytest.fixture(scope="module")
def drill(
    server: Server,
    mongo_client: pymongo.MongoClient[Document],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Drill]:
    """The fleet, which the tests disturb in turn."""
    folder = tmp_path_factory.mktemp("drill")
    with contextlib.ExitStack() as stack:
        try:
            running = stack.enter_context(Drill(folder, server, mongo_client[folder.name]))
        except NetworkError as error:
            pytest.skip(str(error))
        yield running


class Report:
    """Prints what was measured, also where the output of tests is kept from people."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, what: str, load: Load, back: float, **others: float) -> None:
        """Print how long everything took, and note it for the page of the long run.

        Args:
            what: was done.
            load: meanwhile.
            back: how many seconds it took until an event was accepted and applied.
            others: how many seconds it took until something else, by what that is.
        """
        times = [f"{name.replace('_', ' ')} {took:.1f} s" for name, took in others.items()]
        accepted = load.record.count(Outcome.ACKNOWLEDGED)
        with self._capsys.disabled():
            print(f"\n{what}: {accepted} events acknowledged, none lost, none doubled")  # noqa: T201 - for people
            print(f"  back {back:.1f} s, {', '.join(times)}")  # noqa: T201 - for people
        note(18, what, 1, record=load.record, back=[back], measured=", ".join(times))


@pytest.fixture
def report(capsys: pytest.CaptureFixture[str]) -> Report:
    return Report(capsys)


class Held:
    """A message that runs until it is let go, and the node that runs it.

    Args:
        drill: whose fleet runs it.
        folder: for two files.
    """

    def __init__(self, drill: Drill, folder: Path) -> None:
        self._drill, self._go, self._notes = drill, folder / "go", folder / "notes"
        orders = {"note": str(self._notes), "wait for": str(self._go), "results": ["tacos"]}
        self._execution = drill.client.submit(drill.probe, orders)
        (self.pid,) = eventually(self._runs)
        (self.machine,) = (at for at, node in drill.nodes.items() if self.pid in node.pids)
        self.node = drill.nodes[self.machine]

    def _runs(self) -> list[int]:
        """Return the processes that it was given to."""
        written = self._notes.read_text() if self._notes.exists() else ""
        return [int(pid) for pid in written.split()]

    def is_taken_over(self) -> bool:
        """Tell whether another process runs it, too."""
        return len(self._runs()) == 2

    def ends_once(self) -> None:
        """Let it go; find that it has ended as if nothing had happened."""
        client, actor = self._drill.client, self._drill.probe
        self._go.touch()
        assert client.ended(actor, self._execution)["exitCode"] == 0
        assert client.result_of(actor, self._execution) == b"tacos"
        assert client.result_of(actor, self._execution) == b""
        assert len(self._runs()) == 2


def test_a_node_is_cut_off(drill: Drill, report: Report, tmp_path: Path) -> None:
    with drill.load() as load, ThreadPoolExecutor() as thread:
        held = Held(drill, tmp_path)
        earlier = drill.waiting_before()
        held.machine.cut_off()
        began = time.monotonic()
        try:
            back = thread.submit(load.back, began)
            killed = after(began, lambda: gone(held.pid))
            assert not held.is_taken_over()
            taken_over = after(began, held.is_taken_over)
            held.ends_once()
            ended = after(began, lambda: earlier() == 0)
        finally:
            held.machine.reconnect()
        reconnected = time.monotonic()
        rejoined = after(reconnected, drill.taken_by(held.node))
    report(
        "a node is cut off",
        load,
        back.result(),
        what_it_runs_killed=killed,
        taken_over=taken_over,
        all_that_waited_ended=ended,
        the_node_back_after_its_network=rejoined,
    )


def test_a_node_is_killed(drill: Drill, report: Report, tmp_path: Path) -> None:
    with drill.load() as load:
        held = Held(drill, tmp_path)
        earlier = drill.waiting_before()
        held.node.kill()
        began = time.monotonic()
        back = load.back(began)
        taken_over = after(began, held.is_taken_over)
        held.ends_once()
        ended = after(began, lambda: earlier() == 0)
        again = drill.node(held.machine)
        started = time.monotonic()
        rejoined = after(started, drill.taken_by(again))
    report(
        "a node is killed",
        load,
        back,
        what_it_ran_taken_over=taken_over,
        all_that_waited_ended=ended,
        a_new_node_after_its_start=rejoined,
    )


def test_rabbitmq_is_stopped(drill: Drill, report: Report) -> None:
    with drill.load() as load:
        with drill.rabbitmq.away():
            load.accept_more(20)
            earlier = drill.waiting_before()
        began, all_nodes = time.monotonic(), drill.taken_by_each()
        back = load.back(began)
        ended = after(began, lambda: earlier() == 0)
        rejoined = after(began, all_nodes)
    report(
        "RabbitMQ is stopped, and started again",
        load,
        back,
        all_that_waited_ended=ended,
        every_node_back=rejoined,
    )


def test_connections_to_postgresql_are_broken(drill: Drill, report: Report) -> None:
    with drill.load() as load:
        earlier = drill.waiting_before()
        for _ in range(5):
            load.accept_more(10)
            assert drill.postgres.break_connections() > 0
        began, all_nodes = time.monotonic(), drill.taken_by_each()
        back = load.back(began)
        ended = after(began, lambda: earlier() == 0)
        rejoined = after(began, all_nodes)
    report(
        "all connections to PostgreSQL are broken, five times",
        load,
        back,
        all_that_waited_ended=ended,
        every_node_back=rejoined,
    )


def test_a_queue_is_filled(drill: Drill, report: Report, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    with drill.load(pause_seconds=0.5) as load:
        described = {"image": "warm", "queue": "special"}
        actor = drill.client.result("POST", "", json=described)["id"]
        began = time.monotonic()
        drill.fill(actor, [{"append": [str(notes), f"{number} "]} for number in range(MESSAGES)])
        filled = time.monotonic() - began
        back = load.back(time.monotonic())
        assert drill.client.result("GET", f"/{actor}/messages")["messages"] == MESSAGES
        rung = after(began, lambda: drill.rings(actor) >= MESSAGES, MAX_QUEUE_SECONDS)
    drill.serve("default,special")
    began = time.monotonic()
    first = after(began, notes.exists)
    drained = after(began, lambda: len(notes.read_text().split()) >= MESSAGES, MAX_QUEUE_SECONDS)
    eventually(lambda: drill.ended(actor) == (MESSAGES, 0))
    assert sorted(map(int, notes.read_text().split())) == list(range(MESSAGES))
    report(
        f"a queue that no node serves is filled with {MESSAGES:,} messages",
        load,
        back,
        filled=filled,
        all_rung_for=rung,
        first_run_after_nodes_serve_it=first,
        all_run=drained,
    )
