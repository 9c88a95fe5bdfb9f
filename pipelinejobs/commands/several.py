"""One thing done to each of several jobs or events: its progress, and what became of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from manager.exceptions import Unavailable
from pipelinejobs import formatting, output
from pipelinejobs.columns import Column
from pipelinejobs.exceptions import FAILED, Unreachable, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipelinejobs.columns import Row
    from pipelinejobs.output import Format

REFUSED = "refused"
SAME_FOR_ALL = (Unreachable, UsageError, Unavailable)
"""What goes wrong with one, and would with the others."""
_COLUMNS = (
    Column("uuid", "JOB", whole=True, brief=formatting.short),
    Column("event", whole=True),
    Column("outcome", whole=True),
    Column("detail"),
)
FIELDS = ("uuid", "event", "outcome", "detail")
"""What is said of each."""


def for_each(
    names: Sequence[str],
    act: Callable[[str], Row],
    output_format: Format,
    fields: Sequence[str] = FIELDS,
) -> None:
    """Do something with each of several, and list what became of each, also if it ends early.

    Args:
        names: what each is called.
        act: returns its `uuid` and `event`, its `outcome`, `refused` where it has not succeeded, and
            its `detail`.
        output_format: of the list.
        fields: all that it returns.

    Raises:
        typer.Exit: one was refused; the exit code is 1.
    """
    rows: list[Row] = []
    bar, task = output.progress(len(names))
    try:
        with bar:
            for name in names:
                rows.append(act(name))
                bar.advance(task)
    finally:
        output.listing(rows, fields, _COLUMNS, output_format)
    if any(row["outcome"] == REFUSED for row in rows):
        raise typer.Exit(FAILED)
