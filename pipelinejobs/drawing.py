"""What rich draws: tables, notes and progress bars. It is loaded where one of them is shown."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from pipelinejobs import formatting, state_colours
from pipelinejobs.columns import WIDE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rich.progress import Progress

    from pipelinejobs.columns import Column, Row

_NARROW = 12
"""Characters of a column that is folded; with fewer, nobody can read it."""
_UNBOUNDED = 10_000
_POSITION, _EVENT, _STATE = 7, 10, 11
"""How wide the columns of a history are."""


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


def listing(rows: Sequence[Row], columns: Sequence[Column]) -> int:
    """Print rows; return how many columns there was no room for."""
    screen = console()
    fit = fitting(columns, screen)
    # whatever is left is whole: a number that has lost a digit would be another one
    while len(fit) > 1 and not _have_room(rows, fit, screen):
        fit = fit[:-1]
    _print_grid(filled(rows, fit))
    return len(fitting(columns, screen)) - len(fit)


def record(row: Mapping[str, Any]) -> None:
    """Print one thing, a line for each of its fields."""
    fields = Table(box=None, pad_edge=False, show_header=False)
    fields.add_column(style="bold", no_wrap=True)
    fields.add_column(overflow="fold")
    for name, value in row.items():
        is_long = isinstance(value, str) and "\n" in value
        fields.add_row(name, lines(value) if is_long else cell(value))
    _print_grid(fields)


def history_line(entry: Mapping[str, Any]) -> None:
    """Print an entry of a job's history."""
    screen = console()
    is_narrow = screen.is_terminal and screen.width < WIDE
    date = formatting.shown(entry["date"]) if is_narrow else formatting.plain(entry["date"])
    state = formatting.printable(str(entry["state"] or ""))
    line = Text(f"{entry['position']:>{_POSITION}}  {date}  ")
    line.append(f"{formatting.printable(entry['name']):<{_EVENT}}", style="bold")
    line.append(f"{state:<{_STATE}}", style=state_colours.terminal_style(state))
    data = Text(formatting.printable(formatting.shown(entry["data"])))
    if is_narrow:
        row = Table.grid()
        row.add_column(width=len(line), no_wrap=True)
        row.add_column(overflow="fold")
        row.add_row(line, data)
        screen.print(row)
    else:
        screen.print(line + data, soft_wrap=True)


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


def note(text: str) -> None:
    """Write a dim line on standard error."""
    console(errors=True).print(Text(text, style="dim"), soft_wrap=True)


def fail(text: str) -> None:
    """Write an error on standard error."""
    console(errors=True).print(Text("ERROR ", style="bold red") + Text(text), soft_wrap=True)


def progress(total: int | None) -> tuple[Progress, Any]:
    """Return a progress bar on standard error, which only a terminal shows, and its task."""
    from rich import progress as bars  # noqa: PLC0415 - few commands have one

    bar = bars.Progress(
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TimeRemainingColumn(),
        console=console(errors=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    return bar, bar.add_task("", total=total)
