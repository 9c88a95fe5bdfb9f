"""What is printed: listings and records as a table, as JSON or as CSV; notes on standard error."""

from __future__ import annotations

import contextlib
import csv
import sys
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from pipelinejobs import formatting, state_colours
from pipelinejobs.exceptions import CommandError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

Row = dict[str, Any]


class Format(str, Enum):
    """How a listing is printed."""

    table = "table"
    json = "json"
    csv = "csv"


Output = Annotated[Format, typer.Option("--output", "-o", help="The output format.")]
WIDE = 150
"""Columns of a terminal that shows UUIDs and dates in full."""
_NARROW = 12
"""Characters of a column that is folded; with fewer, nobody can read it."""
_UNBOUNDED = 10_000


class Column(NamedTuple):
    """A column of a table."""

    key: str
    title: str = ""
    whole: bool = False
    """is never broken into lines"""
    brief: Callable[[Any], str] | None = None
    """how a terminal that is not `WIDE` shows a value; a pipe gets it in full"""
    room: int = 0
    """is left out where a terminal has fewer columns of characters"""


def fitting(columns: Sequence[Column], screen: Console) -> list[Column]:
    """Return the columns that there is room for, as they are shown there."""
    if not screen.is_terminal:
        return [column._replace(brief=None) for column in columns]
    shown = [column for column in columns if screen.width >= column.room]
    is_wide = screen.width >= WIDE
    return [column._replace(brief=None) for column in shown] if is_wide else shown


def grid(columns: Sequence[Column]) -> Table:
    """Return an empty table; what is not whole folds, and nothing is cut as long as it can fold."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        title = column.title or column.key.upper().replace("_", " ")
        made.add_column(title, no_wrap=column.whole, overflow="fold")
    return made


def filled(rows: Iterable[Row], columns: Sequence[Column]) -> Table:
    """Return a table of rows."""
    made = grid(columns)
    for row in rows:
        made.add_row(*cells(row, columns))
    return made


def _have_room(rows: Iterable[Row], columns: Sequence[Column], screen: Console) -> bool:
    """Tell whether a terminal is wide enough for columns, those that fold being narrow."""
    narrow = filled(rows, columns)
    for column in narrow.columns:
        column.max_width = None if column.no_wrap else _NARROW
    unbounded = screen.options.update_width(_UNBOUNDED)
    return Measurement.get(screen, unbounded, narrow).maximum <= screen.width


def cells(row: Mapping[str, Any], columns: Sequence[Column]) -> list[Text]:
    """Return a row as a table shows it."""
    values = ((row.get(column.key), column.brief) for column in columns)
    return [
        cell(value if brief is None or value is None else brief(value)) for value, brief in values
    ]


def console(*, errors: bool = False) -> Console:
    """Return the console; if it is not a terminal, lines are as long as they have to be."""
    made = Console(stderr=errors, highlight=False, markup=False, emoji=False)
    if not made.is_terminal:
        made = Console(stderr=errors, highlight=False, markup=False, emoji=False, width=_UNBOUNDED)
    return made


def result(text: str) -> None:
    """Print what was asked for, in one line."""
    sys.stdout.write(f"{formatting.printable(text)}\n")


def note(text: str) -> None:
    """Tell people something besides what was asked for, below what was printed so far."""
    sys.stdout.flush()
    console(errors=True).print(Text(formatting.printable(text), style="dim"), soft_wrap=True)


def fail(text: str) -> None:
    """Say on standard error, in one line, why it was not done."""
    line = " ".join(formatting.printable(part) for part in text.splitlines())
    console(errors=True).print(Text("ERROR ", style="bold red") + Text(line), soft_wrap=True)


@contextlib.contextmanager
def writing(file: Path, remedy: str = "") -> Iterator[None]:
    """Say of which file it is that it cannot be written: a device that is full names none.

    Args:
        file: that is written in this block.
        remedy: the end of the error.

    Raises:
        CommandError: it cannot be written.
    """
    try:
        yield
    except OSError as error:
        message = f"{file} cannot be written: {error.strerror}{remedy}"
        raise CommandError(message) from error


def listing(
    rows: Iterable[Row], fields: Sequence[str], columns: Sequence[Column], output: Format
) -> None:
    """Print rows.

    Args:
        rows: of the same keys.
        fields: these keys: CSV has them also without a row.
        columns: what a table shows of them.
        output: how.
    """
    if output is Format.json:
        _print_json(rows)
    elif output is Format.csv:
        _print_csv(rows, fields)
    elif found := list(rows):
        screen = console()
        fit = fitting(columns, screen)
        # whatever is left is whole: a number that has lost a digit would be another one
        while len(fit) > 1 and not _have_room(found, fit, screen):
            fit = fit[:-1]
        _print_grid(filled(found, fit))
        if left_out := len(fitting(columns, screen)) - len(fit):
            needs = "column needs" if left_out == 1 else "columns need"
            note(f"{left_out} more {needs} a wider terminal, a pipe, or --output csv")


def record(row: Mapping[str, Any], output: Format) -> None:
    """Print one thing, a line for each of its fields."""
    if output is Format.json:
        sys.stdout.write(formatting.as_json(row, indent=2) + "\n")
    elif output is Format.csv:
        _print_csv([dict(row)], list(row))
    else:
        fields = Table(box=None, pad_edge=False, show_header=False)
        fields.add_column(style="bold", no_wrap=True)
        fields.add_column(overflow="fold")
        for name, value in row.items():
            is_long = isinstance(value, str) and "\n" in value
            fields.add_row(name, lines(value) if is_long else cell(value))
        _print_grid(fields)


def _print_grid(table: Table) -> None:
    screen = console()
    with screen.capture() as captured:
        screen.print(table)
    # a table fills its last column with blanks, which nobody needs in a file
    lines = [line.rstrip(" ") for line in captured.get().splitlines()]
    sys.stdout.write("\n".join(lines) + "\n")


def cell(value: Any) -> Text:
    """Return a value as a table shows it; a state in its colour."""
    text = formatting.printable(formatting.shown(value))
    return Text(text, style=state_colours.terminal_style(text))


def lines(text: str) -> Text:
    """Return a string of several lines as a record shows it: they stay below each other."""
    return Text("\n".join(map(formatting.printable, text.split("\n"))))


def more(cursor: str | None) -> None:
    """Say how a listing goes on."""
    if cursor is not None:
        note(f"there may be more: add --cursor {cursor}")


def progress(total: int | None) -> tuple[Progress, Any]:
    """Return a progress bar on standard error, which only a terminal shows, and its task."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console(errors=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    return bar, bar.add_task("", total=total)


def _print_json(rows: Iterable[Row]) -> None:
    count = 0
    for count, row in enumerate(rows, start=1):
        begin = "[\n" if count == 1 else ",\n"
        sys.stdout.write(begin + formatting.as_json(row))
    sys.stdout.write("\n]\n" if count else "[]\n")


def _print_csv(rows: Iterable[Row], names: Sequence[str]) -> None:
    writer = csv.DictWriter(sys.stdout, names, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        cells = {name: formatting.csv_cell(row.get(name)) for name in names}
        if sys.stdout.isatty():
            cells = {name: formatting.printable(text) for name, text in cells.items()}
        writer.writerow(cells)
