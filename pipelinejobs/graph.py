"""The state machine and a job's path through it, as text and for Mermaid."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from datacatalog.linkedstores.pipelinejob import fsm
from pipelinejobs import formatting, state_colours

if TYPE_CHECKING:
    import datetime
    from collections.abc import Iterable, Iterator

RESET = "reset"
_INDENT = "   "


class Edge(NamedTuple):
    """An event that leads from one state to another."""

    source: str
    event: str
    target: str


@dataclass
class Spell:
    """A time that a job was in one state."""

    state: str
    since: datetime.datetime
    event: str
    """by which it came into it"""
    events: Counter[str] = field(default_factory=Counter)
    """that left it there"""
    until: datetime.datetime | None = None


@dataclass
class Path:
    """The way of a job through the state machine; empty for the machine alone."""

    spells: list[Spell] = field(default_factory=list)
    edges: Counter[Edge] = field(default_factory=Counter)
    """how often it went along each, those that lead back to the same state too"""
    dates: list[datetime.datetime] = field(default_factory=list)
    """when each of its events happened"""

    @classmethod
    def of(cls, steps: Iterable[tuple[str, str, dict[str, Any]]]) -> Path:
        """Return the path that the steps of a history make: state before, state after, entry."""
        path = cls()
        for before, after, entry in steps:
            spells, event, date = path.spells, entry["name"], entry["date"]
            path.dates.append(date)
            if spells and event != fsm.FIRST_EVENT:
                path.edges[Edge(before, event, after)] += 1
            if spells and spells[-1].state == after:
                spells[-1].events[event] += 1
                continue
            if spells:
                spells[-1].until = date
            spells.append(Spell(after, date, event))
        return path

    @property
    def current(self) -> str | None:
        """The state that it has come to."""
        return self.spells[-1].state if self.spells else None

    @property
    def visited(self) -> set[str]:
        """The states that it was in."""
        return {spell.state for spell in self.spells}

    def all_edges(self) -> list[Edge]:
        """Return the edges between different states; a reset only where it happened."""
        return [
            edge
            for edge in machine()
            if edge.source != edge.target and (edge.event != RESET or edge in self.edges)
        ]


def machine() -> Iterator[Edge]:
    """Yield all edges of the state machine, in the order of its events and states."""
    for event in fsm.MESSAGE_EVENTS:
        transition = fsm.TRANSITIONS[event]
        for source in fsm.STATES:
            if source in transition.sources:
                yield Edge(source, event, transition.target or source)


def text(path: Path) -> str:
    """Return the path of a job, state by state; without one, the states and where they lead."""
    lines = list(_path_lines(path) if path.spells else _machine_lines())
    return "\n".join(lines) + "\n"


def _path_lines(path: Path) -> Iterator[str]:
    for number, spell in enumerate(path.spells):
        if number:
            yield f"{_INDENT}│ {formatting.printable(spell.event)}"
        is_current = spell is path.spells[-1]
        repeated = ", ".join(
            f"{formatting.printable(event)} x{count:,}" for event, count in spell.events.items()
        )
        tail = f"  {repeated}" if repeated else ""
        yield f"{_INDENT}{'◉' if is_current else '○'} {spell.state:<11}{formatting.plain(spell.since)}{tail}"
    state = str(path.current)
    leads = [edge for edge in machine() if edge.source == state]
    for edge in leads:
        administrative = fsm.TRANSITIONS[edge.event].administrative
        mark = "  (administrative)" if administrative else ""
        yield f"{_INDENT}┊ {edge.event:<10}→ {edge.target}{mark}"


def _machine_lines() -> Iterator[str]:
    for state, meaning in fsm.STATES.items():
        yield f"{state:<11}{meaning}"
        for edge in machine():
            if edge.source == state and edge.event != RESET:
                yield f"{_INDENT}{edge.event:<10}→ {edge.target}"
    yield f"any state\n{_INDENT}{RESET:<10}→ {fsm.TRANSITIONS[RESET].target}"


def mermaid(path: Path) -> str:
    """Return a Mermaid state diagram; what the job has passed through is marked."""
    lines = ["stateDiagram-v2", f"    [*] --> {fsm.FIRST_STATE}: {fsm.FIRST_EVENT}"]
    for edge in path.all_edges():
        count = path.edges[edge]
        passed = f" ({count}x)" if count else ""
        lines.append(f"    {edge.source} --> {edge.target}: {edge.event}{passed}")
    if path.spells:
        ink = state_colours.COLOURS[str(path.current)].light
        lines.append("    classDef visited stroke-width:2px")
        lines.append(f"    classDef current stroke:{ink},stroke-width:4px,font-weight:bold")
        if visited := sorted(path.visited - {path.current}):
            lines.append(f"    class {','.join(visited)} visited")
        lines.append(f"    class {path.current} current")
    return "\n".join(lines) + "\n"
