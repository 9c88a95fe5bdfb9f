"""What a fleet would do that is larger than the machine here, worked out from what a message costs.

    python -m bench.simulation

It takes the figures that `bench.fleet` has kept in fleet.json, checks itself against what was measured with one to eight
workers, and goes on to 1,000 and 10,000 events a second. The tables are those of docs/scaling.md. It is the same each time.
"""

from __future__ import annotations

import json
import math
import random
import statistics
from typing import TYPE_CHECKING, Any, NamedTuple

import simpy

from bench.fleet import BROKER, DATABASE, GATEWAY, MEASURED, PARTS, WORKER
from bench.measuring import Table, percentile

if TYPE_CHECKING:
    from collections.abc import Generator

    Steps = Generator[simpy.Event, Any, Any]

RATES = (1_000, 10_000)
TOLERANCE = 0.15
"""By how much the simulation may be off what was measured."""
MAX_BUSY = 0.7
"""Of a processor, a gateway or a worker: beyond, what waits grows fast."""
WORKERS_OF_A_NODE = 8
NODE_CORES = 4
DATABASE_CORES = 64
GATEWAY_CONNECTIONS = 67
"""At most: those of `abaco.store.database`, one that listens and one that keeps the lock of whoever leads."""
_QUANTUM = 0.001
"""After which a processor goes on with another process."""
_PROGRAMS = 8
"""The others, each with its part of what they use together."""
_SEED = 20_261_128
_WARM, _SECONDS = 0.5, 4.0
_MESSAGES = 4_000
_YEAR = 365 * 86_400
_LOG_SECONDS = 43_200


class Costs(NamedTuple):
    """What a message costs, in seconds of processor time by part, and what its actor waits."""

    accept: dict[str, float]
    run: dict[str, float]
    wait: float

    @property
    def together(self) -> dict[str, float]:
        """Both, by part."""
        return {name: self.accept[name] + self.run[name] for name in PARTS}


def costs_of(*rows: dict[str, Any], wait: float) -> Costs:
    """Return the costs of what was measured; of several rows, the median."""

    def median(when: str) -> dict[str, float]:
        found = [row[f"{when}_ms"] for row in rows]
        return {name: statistics.median(row[name] for row in found) / 1000 for name in PARTS}

    return Costs(median("accept"), median("run"), wait)


# One machine, as it was measured


class Machine:
    """A machine whose processors are shared by all that runs, a quantum after the other.

    Args:
        env: of the simulation.
        cores: how many processors.
        others: which part of them other programs use.
    """

    def __init__(self, env: simpy.Environment, cores: int, others: float) -> None:
        self._env = env
        self._cores = simpy.Resource(env, cores)
        for number in range(_PROGRAMS):
            env.process(self._disturb(others * cores / _PROGRAMS, number / _PROGRAMS))

    def compute(self, seconds: float) -> Steps:
        """Use a processor for so long."""
        while seconds > 0:
            with self._cores.request() as turn:
                yield turn
                yield self._env.timeout(min(seconds, _QUANTUM))
            seconds -= _QUANTUM

    def _disturb(self, part: float, phase: float) -> Steps:
        """Use a part of a processor: so much was measured, so what comes late is made up for."""
        if not part:
            return
        period = _QUANTUM / part
        due = period * phase
        while True:
            yield self._env.timeout(max(0.0, due - self._env.now))
            yield from self.compute(_QUANTUM)
            due += period


def committed(costs: Costs, workers: int, *, cores: int, others: float, delay: float) -> float:
    """Return how many messages a second some workers end on one machine, while enough wait.

    Args:
        costs: of a message.
        workers: how many.
        cores: of the machine.
        others: which part of it other programs use.
        delay: what a message takes besides processor time and the actor: to be woken, to write to the disk.
    """
    env = simpy.Environment()
    machine = Machine(env, cores, others)
    done = 0

    def work() -> Steps:
        nonlocal done
        while True:
            # rung for and taken; run by the actor; its end written
            for before in (costs.wait + delay, 0.0):
                yield from machine.compute(costs.run[BROKER] / 2)
                yield from machine.compute(costs.run[WORKER] / 2)
                yield from machine.compute(costs.run[DATABASE] / 2)
                yield env.timeout(before)
            # the gateways hear of it, and nobody waits for that
            env.process(machine.compute(costs.run[GATEWAY]))
            done += env.now > _WARM

    for _ in range(workers):
        env.process(work())
    env.run(until=_WARM + _SECONDS)
    return done / _SECONDS


def check(measured: dict[str, Any]) -> tuple[float, list[tuple[int, float, float]]]:
    """Compare the simulation with what was measured.

    Returns:
        The delay with which one worker does what it did when measured; and the numbers of workers, each with
        what was measured and what the simulation says, with the costs and the other programs of that moment.
    """
    wait = measured["wait_ms"] / 1000

    def simulated(row: dict[str, Any], delay: float) -> float:
        return committed(
            costs_of(row, wait=wait),
            row["workers"],
            cores=measured["cores"],
            others=row["others"],
            delay=delay,
        )

    rows = measured["rows"]
    delay = max(0.0, 1 / rows[0]["committed"] - 1 / simulated(rows[0], 0.0))
    return delay, [(row["workers"], row["committed"], simulated(row, delay)) for row in rows]


# Many machines


class Size(NamedTuple):
    """What it takes for a number of messages a second, each part on machines of its own.

    Attributes:
        rate: of messages, of one shard.
        gateways: each uses one processor.
        workers: processes of nodes.
        database: processors.
        broker: processors.
        notices: how many transactions with a notice PostgreSQL commits in a second.
    """

    rate: float
    gateways: int
    workers: int
    database: int
    broker: int
    notices: float

    @property
    def nodes(self) -> int:
        """The machines with workers."""
        return math.ceil(self.workers / WORKERS_OF_A_NODE)

    @property
    def processors(self) -> int:
        """Of all machines."""
        return self.gateways + self.nodes * NODE_CORES + self.database + self.broker


def walls(costs: Costs, notices: float) -> dict[str, float]:
    """Return how many messages a second are the most that a part can do, however many machines there are."""
    return {
        "notices of ends, which PostgreSQL commits one after the other": MAX_BUSY * notices,
        "a gateway hears of all ends, whoever waits for them": MAX_BUSY / costs.run[GATEWAY],
        f"PostgreSQL on {DATABASE_CORES} processors": MAX_BUSY
        * DATABASE_CORES
        / costs.together[DATABASE],
    }


def size_of(costs: Costs, rate: float, *, notices: float, delay: float) -> Size:
    """Return the smallest fleet for a rate in which nothing is busier than `MAX_BUSY`."""
    spare = MAX_BUSY - rate * costs.run[GATEWAY]
    seconds = costs.wait + delay + sum(costs.run[name] for name in (WORKER, DATABASE, BROKER))
    return Size(
        rate=rate,
        gateways=max(2, math.ceil(rate * costs.accept[GATEWAY] / spare)),
        workers=math.ceil(rate * seconds / MAX_BUSY),
        database=math.ceil(rate * costs.together[DATABASE] / MAX_BUSY),
        broker=math.ceil(rate * costs.together[BROKER] / MAX_BUSY),
        notices=notices,
    )


def times_of(costs: Costs, size: Size, *, delay: float) -> tuple[float, float]:
    """Return within how many seconds half, and 99 of 100, of the messages have ended that come at random."""
    env = simpy.Environment()
    chance = random.Random(_SEED)  # noqa: S311 - no secret; the same each time
    parts = {
        GATEWAY: simpy.Resource(env, size.gateways),
        WORKER: simpy.Resource(env, size.workers),
        DATABASE: simpy.Resource(env, size.database),
        BROKER: simpy.Resource(env, size.broker),
        "notice": simpy.Resource(env, 1),
    }
    times: list[float] = []

    def use(part: str, seconds: float) -> Steps:
        with parts[part].request() as turn:
            yield turn
            yield env.timeout(chance.expovariate(1 / seconds))

    def message() -> Steps:
        began = env.now
        for part in (GATEWAY, DATABASE, BROKER):
            yield from use(part, costs.accept[part])
        with parts[WORKER].request() as worker:
            yield worker
            yield from use(BROKER, costs.run[BROKER])
            yield env.timeout(chance.expovariate(1 / costs.run[WORKER]))
            yield from use(DATABASE, costs.run[DATABASE])
            yield env.timeout(costs.wait + delay)
            yield from use("notice", 1 / size.notices)
        times.append(env.now - began)

    def arrive() -> Steps:
        for _ in range(_MESSAGES):
            env.process(message())
            yield env.timeout(chance.expovariate(size.rate))

    env.process(arrive())
    env.run()
    return percentile(times, 0.5), percentile(times, 0.99)


# What is shown


def tables(measured: dict[str, Any]) -> list[Table]:
    """Return what docs/scaling.md shows."""
    costs = costs_of(*measured["rows"], wait=measured["wait_ms"] / 1000)
    delay, compared = check(measured)
    notices = float(measured["commits"]["with"])
    limits = walls(costs, notices)
    shown = [
        [f"{workers}", f"{real:.0f}", f"{found:.0f}", f"{found / real - 1:+.0%}"]
        for workers, real, found in compared
    ]
    first = min(limits.values())
    found = [_figures(measured, costs, rate, first, delay) for rate in RATES]
    return [
        Table("Simulated and measured", ["workers", "measured/s", "simulated/s", "off"], shown),
        Table(
            "Walls",
            ["what", "events/s"],
            [[name, f"{limit:,.0f}"] for name, limit in sorted(limits.items(), key=lambda x: x[1])],
        ),
        Table(
            "For so many events a second",
            ["", *(f"{rate:,}/s" for rate in RATES)],
            [[name, *(each[name] for each in found)] for name in found[0]],
        ),
    ]


def _figures(
    measured: dict[str, Any], costs: Costs, rate: int, wall: float, delay: float
) -> dict[str, str]:
    """Return the lines of a rate, by what they are about."""
    notices = float(measured["commits"]["with"])
    least = math.ceil(rate / wall)
    # more of them than are needed may take less, since each gateway hears of less
    sizes = {
        shards: size_of(costs, rate / shards, notices=notices, delay=delay)
        for shards in range(least, 3 * least + 1)
    }
    shards, size = min(sizes.items(), key=lambda each: each[0] * each[1].processors)
    half, most = times_of(costs, size, delay=delay)
    rows = measured["rows"]
    kept = measured["kept_bytes"]
    process = (rows[-1]["connections"] - rows[0]["connections"]) / (
        rows[-1]["workers"] - rows[0]["workers"]
    )
    node = rows[0]["connections"] - measured["gateway_connections"] - process
    connections = size.gateways * GATEWAY_CONNECTIONS
    connections += size.nodes * (node + process * WORKERS_OF_A_NODE)
    memory = rows[-1]["node_mebibytes"] / 1024

    def median(name: str) -> float:
        return float(statistics.median(row[name] for row in rows))

    return {
        "shards, each with the following": f"{shards}",
        "gateways, a processor each": f"{size.gateways}",
        f"nodes of {NODE_CORES} processors and {WORKERS_OF_A_NODE} workers": f"{size.nodes}",
        "memory of a node, GiB": f"{memory:.1f}",
        "processors of PostgreSQL": f"{size.database}",
        "processors of RabbitMQ": f"{size.broker}",
        "connections to PostgreSQL, at most": f"{connections:,.0f}",
        "transactions/s": f"{size.rate * median('transactions'):,.0f}",
        "rows written/s": f"{size.rate * median('rows'):,.0f}",
        "journal of PostgreSQL, MB/s": f"{size.rate * median('wal_bytes') / 1e6:.1f}",
        "half of the messages end within": f"{half * 1000:.0f} ms",
        "99 of 100 end within": f"{most * 1000:.0f} ms",
        "processors in all shards": f"{shards * size.processors:,}",
        "executions in all shards, TB a year": f"{rate * _YEAR * kept['executions'] / 1e12:,.1f}",
        "logs in all shards, GB": f"{rate * _LOG_SECONDS * kept['logs'] / 1e9:,.0f}",
        "events in MongoDB, TB a year": f"{rate * _YEAR * kept['event'] / 1e12:,.1f}",
    }


def main() -> None:
    """Print the tables."""
    measured = json.loads(MEASURED.read_text())
    print(f"Of {measured['date']}, {measured['machine']}.\n")
    for table in tables(measured):
        print(table)
    if any(abs(found / real - 1) > TOLERANCE for _, real, found in check(measured)[1]):
        print(f"The simulation is off by more than {TOLERANCE:.0%}: do not trust it.")


if __name__ == "__main__":
    main()
