"""Measure what the product costs, print it, and write it to `bench/RESULTS.md`."""

from __future__ import annotations

import datetime
import time
from pathlib import Path

import psutil

from bench import actors, gateway, handle, history, jobs, page, process, start, subscribers
from bench.machine import commit, described, pace
from bench.measuring import Bench, arguments, progress

PARTS = (gateway, handle, process, history, jobs, actors, page, start, subscribers)
RESULTS = Path(__file__).parent / "RESULTS.md"
MAX_OTHERS = 10
"""Percent of the machine that others may use before the times are doubtful."""
_HEAD = """# What it costs

Written by `make bench`; [README.md](README.md) says how to read it. Of {date}, commit {commit}, on {machine}; it took
{minutes:.0f} minutes. {others} {pace}
"""
_QUIET = "The machine was quiet: others used at most {most:.0f} % of it between the measurements."
_BUSY = (
    "**The machine was busy: others used up to {most:.0f} % of it between the measurements. Do not trust"
    " these times;** the ratios, taken in turn, suffer less."
)
_PACE = "The same piece of work took {least:.0f} to {most:.0f} ms between them."
MAX_PACE = 1.2
"""Times the least: with more, what was measured early and late does not compare."""
_UNEVEN = (
    f"{_PACE} **The machine was not equally fast all the time: compare within a table,** not one table"
    " with another."
)


def main() -> None:
    """Take all measurements, one after the other."""
    given = arguments(__doc__)
    began, measured = time.monotonic(), commit(RESULTS)
    others, paces, tables = [_others()], [pace()], []
    with progress() as shown:
        bench = Bench(shown, brief=given.brief)
        for part in bench.track(PARTS, "measurements"):
            tables += part.measure(bench)
            others.append(_others())
            paces.append(pace())
    most, least, longest = max(others), min(paces), max(paces)
    head = _HEAD.format(
        date=datetime.datetime.now(datetime.timezone.utc).date(),
        commit=measured,
        machine=described(),
        minutes=(time.monotonic() - began) / 60,
        others=(_BUSY if most > MAX_OTHERS else _QUIET).format(most=most),
        pace=(_UNEVEN if longest > MAX_PACE * least else _PACE).format(least=least, most=longest),
    )
    text = "\n".join([head, *map(str, tables)])
    print(text)
    if given.brief:
        print(f"{RESULTS.name} is left as it is: this run was brief.")
    else:
        RESULTS.write_text(text)


def _others() -> float:
    """Return how much of the processors is in use while nothing is measured, in percent."""
    return float(psutil.cpu_percent(interval=1))


if __name__ == "__main__":
    main()
