"""Write `docs/reliability.md` from the figures of a long run.

python -m tests.reliability.report build/soak.ndjson
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from tests.conftest import ROOT

PAGE = ROOT / "docs" / "reliability.md"
ROWS = {
    1: "The actor or the gateway is killed with `kill -9`",
    2: "The n-th call to the database fails, for every n",
    3: "The database is killed, stopped or frozen",
    4: "The same event comes many times",
    5: "Events that exclude each other race",
    6: "A model of jobs and the actor are compared, step by step",
    7: "The same with a database server of another maker",
    8: "Requests are generated from the OpenAPI document",
    9: "Bodies that mean harm",
    10: "Large, lying and slow requests",
    11: "Wrong tokens",
    12: "A nonce with a number of uses, or revoked meanwhile",
    13: "Parameters that could change how a process runs",
    14: "Subscribers that fail, and a dispatcher that dies while it tells them",
    15: "Many events, many jobs",
    16: "The gateway is told to stop",
    17: "The power fails",
    18: "One of several machines is cut off or lost, or what they share",
}
"""What is tried, by the number that tests and figures have."""
PAGE_TEXT = """# Reliability

What was done to the running product, how often, and what came of it. `make soak` does all of it and writes
this page; `make test` does the same with smaller counts. This page is of {date}, commit {commit}, on a machine
with {machine}; the whole took {minutes} minutes.

## What must hold

After each test, a record of all that the clients sent and were answered is compared with all that is in the
database, by one program ([checker.py](../tests/reliability/checker.py)), which has tests of its own: that it
finds an event that is lost, doubled, out of order, or applied though it was refused.

| | what must hold |
|---|---|
| I1 | an acknowledged event is in its job's history exactly once |
| I2 | a refused event is not |
| I3 | an event whose sender was not answered is there once or not at all |
| I4 | a history is legal at each step and ends in the stored state; each change has its revision |
| I5 | a history is in order and without a gap, across the document and its buckets |
| I6 | of events that exclude each other one wins; the others are kept among the refused |
| I7 | each applied event reaches the subscriber at least once, in order per job |
| I8 | no secret is in a log, an error, a page, a metric or a forwarded event |

A test that finds anything else fails, and this page is not written.

## What was done, and what came of it

*Acknowledged* are events whose senders were told that they are accepted or applied. *Back* is the longest time
until events were applied again.

| test | what was done | times | acknowledged | lost | doubled | back | measured |
|---|---|--:|--:|--:|--:|--:|---|
{table}

{totals}{missing}

## How it is done

The gateway, the actor and the database are the real ones, in processes of their own. What fails is made to
fail from outside: by signals, and by a proxy between the actor and its database
([wire.py](../tests/reliability/wire.py)) that holds, cuts, swallows or answers a command, so that a process can be
killed just before and just after an event is written. Nothing in the product knows that it is being tested.

The model of tests 6 and 7 runs on two database servers that share no code: SecantusDB on WiredTiger, which
is embedded here, and NX-27017 on SQLite. The second is young, and two of its faults are avoided: it is told not
to translate queries to SQL, which would turn dates into text, and the proxy lets it answer each command,
since it misreads the flag that no answer is wanted. MongoDB itself, which pip cannot install, is not among them.

The power fails in test 17 as far as the gateway can tell: what it has not synchronised is not there afterwards.
A library in its process ([synced.c](../tests/reliability/synced.c)) keeps of each file what was synchronised, and
that is looked at as the next start would find it. The embedded database is not tried in this way; what it
acknowledges, it has synchronised.
"""


def main(arguments: Sequence[str]) -> int:
    """Write the page; return the exit code."""
    if len(arguments) != 1:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    results = Path(arguments[0])
    figures = [json.loads(line) for line in results.read_text().splitlines()]
    seconds = results.stat().st_mtime - min(figure["at"] for figure in figures)
    PAGE.write_text(
        PAGE_TEXT.format(
            date=datetime.datetime.now(datetime.timezone.utc).date(),
            commit=commit(),
            machine=machine(),
            minutes=max(1, round(seconds / 60)),
            table="\n".join(line(figure) for figure in added_up(figures)),
            totals=totals(figures),
            missing=missing(figures),
        )
    )
    return 0


def added_up(figures: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return figures in the order of the tests, those of the same thing as one."""
    found: dict[tuple[int, str], dict[str, Any]] = {}
    for figure in figures:
        known = found.setdefault((figure["row"], figure["what"]), {**figure, "count": 0})
        known["count"] += figure["count"]
    return [found[key] for key in sorted(found)]


def line(figure: dict[str, Any]) -> str:
    """Return a row of the table."""
    kept = figure["acknowledged"]
    none = "" if kept is None else "0"
    cells = (
        f"{figure['row']}. {ROWS[figure['row']]}",
        figure["what"],
        f"{figure['count']:,}",
        "" if kept is None else f"{kept:,}",
        none,
        none,
        "" if figure["back"] is None else f"{figure['back']:.1f} s",
        figure["measured"],
    )
    return f"| {' | '.join(cells)} |"


def totals(figures: Sequence[dict[str, Any]]) -> str:
    """Return a sentence about all events."""
    kept = sum(figure["acknowledged"] or 0 for figure in figures)
    unknown = sum(figure["unknown"] or 0 for figure in figures)
    return (
        f"Of {kept:,} acknowledged events none was lost and none was doubled. "
        f"The senders of {unknown:,} others were not answered: each is there once or not at all."
    )


def missing(figures: Sequence[dict[str, Any]]) -> str:
    """Return a sentence about what was not part of the run, if there is anything."""
    left = sorted(set(ROWS) - {figure["row"] for figure in figures})
    if not left:
        return ""
    return f" This run did not try {'; '.join(f'{row}. {ROWS[row]}' for row in left)}."


def commit() -> str:
    """Return the commit that was tried."""
    command = ["git", "describe", "--always", "--dirty=, changed since", "--exclude=*"]
    return subprocess.check_output(command, cwd=ROOT, text=True).strip()


def machine() -> str:
    """Return what kind of machine this is."""
    gibibytes = round(psutil.virtual_memory().total / 2**30)
    python = platform.python_version()
    return f"{os.cpu_count()} cores and {gibibytes} GiB ({platform.system()}, Python {python})"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
