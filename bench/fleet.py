"""What further worker processes of a fleet bring, and what a message costs each of its parts.

    python -m bench.fleet

It needs PostgreSQL and RabbitMQ (`make services`), which it starts for itself, and takes two minutes. It prints its
figures and writes them to fleet.json, which `bench.simulation` and docs/scaling.md go on with.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import bson
import psutil
import psycopg

from bench.catalog import catalog
from bench.load import closed_loop, post
from bench.machine import commit, described
from bench.measuring import Bench, Table, arguments, at_least, progress
from bench.usage import memory, tree_time
from tests.abaco.fleet import RunningFleet
from tests.abaco.running import ACTORS, RunningGateway
from tests.conftest import NO_SERVICES, SERVICES
from tests.services import Postgres, RabbitMQ

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.abaco.fleet import RunningNode

MEASURED = Path(__file__).parent / "fleet.json"
WORKERS = (1, 2, 4, 8)
WANTED = {2: 1.8, 4: 3.5, 8: 6.5}
"""How many times as much as one worker."""
WAIT_SECONDS = 0.02
"""Of the actor, which does nothing else: so two cores are not the limit at once."""
GATEWAY, WORKER, DATABASE, BROKER = PARTS = ("gateway", "worker", "database", "broker")
_SENDERS = 8
_ROUNDS = 2
_MESSAGES, _MESSAGES_OF_A_WORKER = 400, 130
_MAX_SECONDS = 120.0
_LOOK_SECONDS = 0.25
_EDGE = 0.1
"""Of the messages at the beginning and at the end, when not all workers have something to do."""
_ENDED = "SELECT count(*) FROM executions WHERE finish_time IS NOT NULL"
_INSERT = "INSERT INTO probe VALUES (1)"
_IMAGES = {
    "waiting": {
        "folder": str(ACTORS),
        "command": ["python3", "probe.py"],
        "mode": "warm",
        "handler": "probe:main",
    }
}
_RATE_NOTE = (
    f"An actor waits {WAIT_SECONDS * 1000:.0f} ms for each message and does nothing else. The messages are sent while"
    " the workers stand still; then they run what waits. Committed is what has ended in PostgreSQL, between the first"
    " and the last tenth. Others is how much of the machine other programs used meanwhile; of two rounds, it is the one"
    " with less of that."
)
_COST_NOTE = (
    "Processor time per message, of all processes of each part. Accepted: the message is sent and on disk, and the"
    " bell is rung. Run: a worker takes it, runs it, and writes its end."
)
_DATABASE_NOTE = (
    "What PostgreSQL does for a message, accepted and run, and what is left of it: the row of the execution, which is"
    " kept, and that of its log, which is kept for hours. Connections are those of one gateway and one node."
)
_COMMITS_NOTE = (
    f"What {_SENDERS} connections commit that insert a row each time, without and with a notice (NOTIFY) in the"
    " transaction, as the end of each message has one. PostgreSQL commits those with a notice one after the other."
)


class Spent(NamedTuple):
    """Processor time in seconds by part, and of all programs of the machine."""

    parts: dict[str, float]
    machine: float

    def since(self, earlier: Spent) -> Spent:
        """Return what was spent between two moments."""
        parts = {name: self.parts[name] - earlier.parts[name] for name in self.parts}
        return Spent(parts, self.machine - earlier.machine)


class Site:
    """The servers that are measured.

    Args:
        postgres: has the database of the platform.
        rabbitmq: rings.
        fleet: of one gateway so far.
    """

    def __init__(self, postgres: Postgres, rabbitmq: RabbitMQ, fleet: RunningFleet) -> None:
        self.fleet = fleet
        self.gateway: RunningGateway = fleet.gateway()
        self.client = self.gateway.client()
        self._services = {DATABASE: postgres.pid, BROKER: rabbitmq.pid}
        self.address = fleet.database.replace("postgresql+psycopg", "postgresql")
        self._sql = psycopg.connect(self.address, autocommit=True)

    def close(self) -> None:
        """Close what it asks with."""
        self.client.close()
        self._sql.close()

    def spent(self, node: RunningNode) -> Spent:
        """Return the processor time of all parts."""
        pids = {GATEWAY: self.gateway.pid, WORKER: node.pid, **self._services}
        times = psutil.cpu_times()
        busy = sum(times) - times.idle - times.iowait - times.guest - times.guest_nice
        return Spent({name: tree_time(pids[name]) for name in PARTS}, busy)

    def asked(self, query: str) -> float:
        """Return a number from the database."""
        ((number,),) = self._sql.execute(query.encode()).fetchall()
        return float(number or 0)

    def execute(self, statement: str) -> None:
        """Let the database do something."""
        self._sql.execute(statement.encode())

    def did(self) -> dict[str, float]:
        """Return what PostgreSQL has done so far."""
        of_database = "FROM pg_stat_database WHERE datname = current_database()"
        return {
            "transactions": self.asked(f"SELECT xact_commit + xact_rollback {of_database}"),
            "rows": self.asked(f"SELECT tup_inserted + tup_updated + tup_deleted {of_database}"),
            "wal_bytes": self.asked("SELECT pg_current_wal_lsn() - '0/0'"),
        }

    def connections(self) -> float:
        """Return how many connections the gateway and the nodes have."""
        return self.asked(
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' "
            "AND datname = current_database() AND pid <> pg_backend_pid()"
        )

    def ended(self) -> list[datetime.datetime]:
        """Return when executions ended, in this order."""
        found = self._sql.execute("SELECT finish_time FROM executions ORDER BY finish_time")
        return [each for (each,) in found if each is not None]

    def bytes_of_a_row(self, table: str) -> float:
        """Return what a row takes up, with its part of the indexes."""
        self.execute(f"VACUUM FULL {table}")
        count = "SELECT count(*) FROM"  # of one of two tables
        return self.asked(f"SELECT pg_total_relation_size('{table}')") / self.asked(
            f"{count} {table}"
        )


def _commits(found: Site, statements: str, seconds: float) -> float:
    """Return how many transactions a second are committed by connections that do nothing else."""

    def repeat() -> int:
        count = 0
        with psycopg.connect(found.address, autocommit=True) as connection:
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                connection.execute(f"BEGIN; {statements}; COMMIT".encode())
                count += 1
        return count

    with ThreadPoolExecutor(_SENDERS) as threads:
        counts = [threads.submit(repeat) for _ in range(_SENDERS)]
        return sum(each.result() for each in counts) / seconds


def _commit_rates(bench: Bench, found: Site) -> dict[str, int]:
    """Return what PostgreSQL commits, without and with a notice in each transaction."""
    found.execute("CREATE TABLE probe (number integer)")
    ways = {"without": _INSERT, "with": f"{_INSERT}; SELECT pg_notify('probe', 'of an execution')"}
    rounds = range(bench.many(5, 1))
    rates = [{way: _commits(found, sql, 0.5) for way, sql in ways.items()} for _ in rounds]
    return {way: round(statistics.median(each[way] for each in rates)) for way in ways}


def _event_bytes(bench: Bench) -> int:
    """Return what an event leaves in the database of jobs, before it is compressed."""
    count = bench.many(100, 10)
    with catalog() as jobs:
        job = jobs.running_job()

        def stored() -> int:
            of_job = {"uuid": job["uuid"]}
            found = [
                jobs.jobs.db[name].find(of_job) for name in ("jobs", "jobs_history", "updates")
            ]
            return sum(len(bson.encode(each)) for documents in found for each in documents)

        before = stored()
        for number in range(count):
            jobs.update(job, number)
        return (stored() - before) // count


@contextlib.contextmanager
def site() -> Iterator[Site]:
    """Run a database that keeps its promises, a broker, and a gateway."""
    with contextlib.ExitStack() as stack:
        postgres = stack.enter_context(contextlib.closing(Postgres(fsync=True)))
        rabbitmq = stack.enter_context(contextlib.closing(RabbitMQ()))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "fleet"
        folder.mkdir()
        fleet = stack.enter_context(RunningFleet(folder, postgres, rabbitmq, _IMAGES))
        yield stack.enter_context(contextlib.closing(Site(postgres, rabbitmq, fleet)))


def measure(bench: Bench) -> dict[str, Any]:
    """Measure with more and more workers; return what is found, as fleet.json has it."""
    counts = bench.many(WORKERS, WORKERS[:1])
    with site() as found:
        alone = found.connections()
        rows = [_with_workers(bench, found, count) for count in bench.track(counts, "workers")]
        kept = {name: round(found.bytes_of_a_row(name)) for name in ("executions", "logs")}
        commits = _commit_rates(bench, found)
    return {
        "date": str(datetime.datetime.now(datetime.timezone.utc).date()),
        "commit": commit(MEASURED),
        "machine": described(),
        "cores": psutil.cpu_count(),
        "wait_ms": WAIT_SECONDS * 1000,
        "gateway_connections": alone,
        "kept_bytes": {**kept, "event": _event_bytes(bench)},
        "commits": commits,
        "rows": rows,
    }


def _with_workers(bench: Bench, found: Site, count: int) -> dict[str, Any]:
    """Let some workers run what waits; return the row of the round that others disturbed least."""
    node = found.fleet.node(concurrency=count)
    path = f"/actors/v2/{found.client.actor('waiting')}/messages"
    body = {"sleep": WAIT_SECONDS, "print": "a line, as most actors write it"}
    token = found.gateway.token()
    waited = post(f"{path}?_abaco_synchronous=true", body, token)
    # each process makes a worker for this actor, and connects
    closed_loop(found.gateway.port, [[waited]] * 2 * count, bench.many(2.0, 0.2))
    message = post(path, body, token)
    wanted = bench.many(min(_MESSAGES, _MESSAGES_OF_A_WORKER * count), 10)
    rounds = [_round(found, node, message, wanted) for _ in range(bench.many(_ROUNDS, 1))]
    row = {
        "workers": count,
        **min(rounds, key=lambda each: float(each["others"])),
        "connections": found.connections(),
        "node_mebibytes": round(memory(node.pid)),
    }
    node.stop()
    return row


def _round(found: Site, node: RunningNode, message: bytes, wanted: int) -> dict[str, Any]:
    """Send messages while a node stands still, then let it run them."""
    before, then, did = int(found.asked(_ENDED)), found.spent(node), found.did()
    node.pause()
    sent = 0
    while sent < wanted:
        sent += closed_loop(found.gateway.port, [[message]] * _SENDERS, _LOOK_SECONDS).answered
    accepted = found.spent(node)
    began = time.monotonic()
    node.go_on()
    while (done := found.asked(_ENDED) - before) < sent:
        if time.monotonic() - began > _MAX_SECONDS:
            sys.exit(f"only {done:.0f} of {sent} messages have ended")
        time.sleep(_LOOK_SECONDS)
    seconds = time.monotonic() - began
    run = found.spent(node).since(accepted)
    moments = found.ended()[before:]
    begin, end = int(sent * _EDGE), int(sent * (1 - _EDGE)) - 1
    committed = (end - begin) / (moments[end] - moments[begin]).total_seconds()
    now = found.did()
    return {
        "messages": sent,
        "committed": round(committed, 1),
        "others": round(_others(run, seconds), 3),
        "accept_ms": _each(accepted.since(then), sent),
        "run_ms": _each(run, sent),
        **{name: round((now[name] - did[name]) / sent, 1) for name in now},
    }


def _each(spent: Spent, count: int) -> dict[str, float]:
    return {name: round(seconds / count * 1000, 2) for name, seconds in spent.parts.items()}


def _others(spent: Spent, seconds: float) -> float:
    """Return which part of the machine was used by others."""
    cores = psutil.cpu_count() or 1
    return max(0.0, (spent.machine - sum(spent.parts.values())) / (seconds * cores))


def tables(measured: dict[str, Any]) -> list[Table]:
    """Return what was found, as it is shown."""
    rows = measured["rows"]
    one = rows[0]["committed"]
    rates, costs, writes = [], [], []
    for row in rows:
        count, ratio = row["workers"], row["committed"] / one
        wanted = at_least(ratio, WANTED[count]) if count in WANTED else ""
        others = f"{row['others']:.0%}"
        rates.append([f"{count}", f"{row['committed']:.0f}", f"{ratio:.2f}", wanted, others])
        for when in ("accept", "run"):
            parts = row[f"{when}_ms"]
            cells = [f"{parts[name]:.1f}" for name in PARTS]
            verb = {"accept": "accepted", "run": "run"}[when]
            costs.append([f"{count}", verb, *cells, f"{sum(parts.values()):.1f}"])
        figures = [row[name] for name in ("transactions", "rows", "wal_bytes", "connections")]
        writes.append([f"{count}", *(f"{each:,.0f}" for each in figures)])
    kept = measured["kept_bytes"]
    commits = [[f"{way} a notice", f"{rate:,}"] for way, rate in measured["commits"].items()]
    note = f"{_DATABASE_NOTE} They take {kept['executions']} and {kept['logs']} bytes."
    columns = ["transactions", "rows written", "bytes of its journal", "connections"]
    return [
        Table(
            "Workers of a fleet",
            ["workers", "committed/s", "/ one worker", "wanted", "others"],
            rates,
            _RATE_NOTE,
        ),
        Table(
            "Processor time of a message",
            ["workers", "", *(f"{name} ms" for name in PARTS), "together ms"],
            costs,
            _COST_NOTE,
        ),
        Table("The platform's database", ["workers", *columns], writes, note),
        Table("Notices", ["", "commits/s"], commits, _COMMITS_NOTE),
    ]


def main() -> None:
    """Measure, print what was found, and keep it."""
    given = arguments(__doc__)
    if not SERVICES:
        sys.exit(NO_SERVICES)
    with progress() as shown:
        measured = measure(Bench(shown, brief=given.brief))
    for table in tables(measured):
        print(table)
    if given.brief:
        print(f"{MEASURED.name} is left as it is: this run was brief.")
    else:
        MEASURED.write_text(json.dumps(measured, indent=2) + "\n")


if __name__ == "__main__":
    main()
