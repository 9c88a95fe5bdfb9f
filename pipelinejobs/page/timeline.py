"""The times that a job was in its states, as bars in SVG, and how dense its events were."""

from __future__ import annotations

import datetime
from collections import Counter
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from datacatalog.linkedstores.pipelinejob import fsm
from pipelinejobs import output, state_colours

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipelinejobs.graph import Path, Spell

WIDTH = 1000
_LABELS, _TIMES, _ROW, _BAR = 100, 110, 26, 16
_SHORTEST = 3
_MAX_SPELLS = 500
"""Spells that are drawn: the newest."""
_SLICES = 120
"""Equal parts of the time, of each of which the events are counted."""
AT_WORK = ("RUNNING", "INDEXING", "VALIDATING", "RESET")
"""States that a job is about to leave: their bar goes on until now."""
_MAX_NAMED = 12


def svg(path: Path, now: datetime.datetime | None = None) -> str:
    """Return the drawing, in which each state has a row.

    Args:
        path: of a job.
        now: by default the present.
    """
    return "\n".join(_lines(path, now or datetime.datetime.now(datetime.timezone.utc)))


def _lines(path: Path, now: datetime.datetime) -> Iterator[str]:
    spells = path.spells[-_MAX_SPELLS:]
    if not spells:
        return
    begin = spells[0].since
    end = max(now, begin) if path.current in AT_WORK else spells[-1].since
    length = max((end - begin).total_seconds(), 0.001)
    states = [state for state in fsm.STATES if any(spell.state == state for spell in spells)]
    dates = [date for date in path.dates if date >= begin]
    # where every event has led to another state, the bars have said it all
    is_dense = len(dates) > len(spells)
    height = _ROW * (len(states) + is_dense) + 24
    width = WIDTH - _LABELS - _TIMES
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="timeline" '
        f'viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="timeline-title">'
    )
    yield f'<title id="timeline-title">{escape(describe(path, now))}</title>'
    for row, state in enumerate(states):
        y = row * _ROW
        mine = [spell for spell in spells if spell.state == state]
        current = " current" if state == path.current else ""
        kind = f"row {state_colours.css_class(state)}{current}"
        yield f'<g class="{kind}" data-state="{state}">'
        yield f'<text class="state" x="{_LABELS - 10}" y="{y + 15}">{state}</text>'
        yield f'<path class="lane" d="M{_LABELS} {y + 11} H{_LABELS + width}"/>'
        for spell in mine:
            x = _LABELS + width * (spell.since - begin).total_seconds() / length
            wide = max(_SHORTEST, width * _seconds(spell, end) / length)
            x = min(x, _LABELS + width - _SHORTEST)
            yield (
                f'<rect x="{x:.1f}" y="{y + 3}" width="{wide:.1f}" height="{_BAR}" rx="3">'
                f"<title>{_describe(spell, end)}</title></rect>"
            )
        total = sum(_seconds(spell, end) for spell in mine)
        if total or state != path.current:
            x = _LABELS + width + 10
            yield f'<text class="time" x="{x}" y="{y + 15}">{output.duration(total)}</text>'
        yield "</g>"
    if is_dense:
        yield from _density(dates, begin, length, _ROW * len(states))
    base = height - 6
    yield f'<text class="axis" x="{_LABELS}" y="{base}">{output.shown(begin)}</text>'
    yield (
        f'<text class="axis end" x="{_LABELS + width}" y="{base}">'
        f"{'now' if path.current in AT_WORK else output.shown(end)}</text>"
    )
    yield "</svg>"


def _density(
    dates: Sequence[datetime.datetime], begin: datetime.datetime, length: float, y: int
) -> Iterator[str]:
    """Yield a row with a bar for each slice of the time, as high as the events in it are many."""
    width = (WIDTH - _LABELS - _TIMES) / _SLICES
    counts = Counter(
        min(_SLICES - 1, int((date - begin).total_seconds() / length * _SLICES)) for date in dates
    )
    most, seconds = max(counts.values()), length / _SLICES
    yield '<g class="density">'
    yield f'<text class="state" x="{_LABELS - 10}" y="{y + 15}">events</text>'
    yield f'<path class="lane" d="M{_LABELS} {y + _BAR + 3} H{_LABELS + width * _SLICES:.0f}"/>'
    for number, count in sorted(counts.items()):
        high = max(2.0, _BAR * count / most)
        since = begin + datetime.timedelta(seconds=number * seconds)
        told = f"{count} event{'s' if count > 1 else ''} within {output.duration(seconds)} of {output.shown(since)}"
        yield (
            f'<rect x="{_LABELS + number * width:.1f}" y="{y + 3 + _BAR - high:.1f}" '
            f'width="{width - 0.5:.1f}" height="{high:.1f}"><title>{escape(told)}</title></rect>'
        )
    x = WIDTH - _TIMES + 10
    yield f'<text class="time" x="{x}" y="{y + 15}">{len(dates):,}</text>'
    yield "</g>"


def describe(path: Path, now: datetime.datetime) -> str:
    """Return in words what the drawing shows."""
    spells = path.spells[-_MAX_NAMED:]
    end = now if path.current in AT_WORK else spells[-1].since
    parts = [f"{spell.state} for {output.duration(_seconds(spell, end))}" for spell in spells]
    if path.current not in AT_WORK:
        parts[-1] = f"{path.current} since {output.shown(end)} UTC"
    return "The job was " + ", then ".join(parts)


def _describe(spell: Spell, end: datetime.datetime) -> str:
    until = spell.until or end
    time = output.duration(_seconds(spell, end))
    return escape(f"{spell.state}: {output.shown(spell.since)} to {output.shown(until)}, {time}")


def _seconds(spell: Spell, end: datetime.datetime) -> float:
    return max(0.0, ((spell.until or end) - spell.since).total_seconds())
