"""What all measurements have in common: how long they take, and what they tell meanwhile and in the end."""

from __future__ import annotations

import argparse
import statistics
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    Measure = Callable[["Bench"], list["Table"]]

T = TypeVar("T")


class Table(NamedTuple):
    """Some figures."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    """how they were taken, in a few sentences"""

    def __str__(self) -> str:
        """Return it as Markdown, with columns that are aligned."""
        lines = [list(self.columns), *map(list, self.rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        head, *rest = [f"| {' | '.join(map(str.ljust, cells, widths))} |" for cells in lines]
        rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
        note = f"{self.note}\n\n" if self.note else ""
        return f"## {self.title}\n\n{note}" + "\n".join([head, rule, *rest]) + "\n"


class Bench:
    """One run.

    Args:
        progress: what tells how far it is.
        brief: whether all is done as briefly as it can be: to see that it works, not to measure.
    """

    def __init__(self, progress: Progress, *, brief: bool) -> None:
        self._progress = progress
        self._brief = brief

    def many(self, full: T, brief: T) -> T:
        """Return how many, or how long; something else in a brief run."""
        return brief if self._brief else full

    def track(self, things: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
        """Yield things, and show a bar that fills meanwhile."""
        task = self._progress.add_task(description, total=total)
        yield from self._progress.track(things, total=total, task_id=task)
        self._progress.remove_task(task)


def progress() -> Progress:
    """Return what shows how far a run is."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    )


def arguments(text: str | None) -> argparse.Namespace:
    """Read the command line of a program with this text for its help."""
    parser = argparse.ArgumentParser(description=text)
    parser.add_argument(
        "--brief", action="store_true", help="only see whether all works: the figures are worthless"
    )
    return parser.parse_args()


def alone(measure: Measure) -> None:
    """Take one measurement, and print what it finds."""
    given = arguments(None)
    with progress() as shown:
        tables = measure(Bench(shown, brief=given.brief))
    for table in tables:
        print(table)


def percentile(values: Sequence[float], share: float) -> float:
    """Return a quantile of the values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(len(ordered) * share))]


def milliseconds(seconds: float) -> str:
    """Return a time as it is shown."""
    return f"{seconds * 1000:.2f}" if seconds < 0.01 else f"{seconds * 1000:,.0f}"  # noqa: PLR2004 - below it, whole milliseconds say too little


def median_p99(seconds: Sequence[float]) -> tuple[str, str]:
    """Return both of some times, as they are shown."""
    return milliseconds(statistics.median(seconds)), milliseconds(percentile(seconds, 0.99))


def at_least(value: float, wanted: float) -> str:
    """Say what is wanted, and whether it holds."""
    return f">= {wanted:,g}: {_verdict(value >= wanted)}"


def at_most(value: float, wanted: float) -> str:
    """Say what is wanted, and whether it holds."""
    return f"<= {wanted:,g}: {_verdict(value <= wanted)}"


def _verdict(reached: bool) -> str:
    return "yes" if reached else "**no**"
