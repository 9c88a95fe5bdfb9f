"""What is printed: listings and records as a table, as JSON or as CSV; notes on standard error."""

from __future__ import annotations

import contextlib
import csv
import sys
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelinejobs import formatting
from pipelinejobs.exceptions import CommandError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from rich.progress import Progress

    from pipelinejobs.columns import Column, Row


class Format(str, Enum):
    """How a listing is printed."""

    table = "table"
    json = "json"
    csv = "csv"


Output = Annotated[Format, typer.Option("--output", "-o", help="The output format.")]


def result(text: str) -> None:
    """Print what was asked for, in one line."""
    sys.stdout.write(f"{formatting.printable(text)}\n")


def note(text: str) -> None:
    """Tell people something besides what was asked for, below what was printed so far."""
    from pipelinejobs import drawing  # noqa: PLC0415 - most commands say nothing

    sys.stdout.flush()
    drawing.note(formatting.printable(text))


def fail(text: str) -> None:
    """Say on standard error, in one line, why it was not done."""
    from pipelinejobs import drawing  # noqa: PLC0415 - most commands do not fail

    drawing.fail(" ".join(formatting.printable(part) for part in text.splitlines()))


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
        from pipelinejobs import drawing  # noqa: PLC0415 - JSON and CSV do without

        if left_out := drawing.listing(found, columns):
            needs = "column needs" if left_out == 1 else "columns need"
            note(f"{left_out} more {needs} a wider terminal, a pipe, or --output csv")


def record(row: Mapping[str, Any], output: Format) -> None:
    """Print one thing, a line for each of its fields."""
    if output is Format.json:
        sys.stdout.write(formatting.as_json(row, indent=2) + "\n")
    elif output is Format.csv:
        _print_csv([dict(row)], list(row))
    else:
        from pipelinejobs import drawing  # noqa: PLC0415 - JSON and CSV do without

        drawing.record(row)


def more(cursor: str | None) -> None:
    """Say how a listing goes on."""
    if cursor is not None:
        note(f"there may be more: add --cursor {cursor}")


def progress(total: int | None) -> tuple[Progress, Any]:
    """Return a progress bar on standard error, which only a terminal shows, and its task."""
    from pipelinejobs import drawing  # noqa: PLC0415 - most commands do not take long

    return drawing.progress(total)


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
