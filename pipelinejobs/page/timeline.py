"""The times that a job was in its states, as a bar for each time, and how dense its events were."""

from __future__ import annotations

import datetime
from collections import Counter
from typing import TYPE_CHECKING

from markupsafe import Markup

from datacatalog.linkedstores.pipelinejob import fsm
from pipelinejobs import formatting, state_colours
from pipelinejobs.page import rendering

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipelinejobs.graph import Path, Spell

_WHOLE, _SHORTEST = 100.0, 0.3
"""Per cent of the width of all times, and of a bar: the drawing is as wide as the window lets it be."""
_BAR = 16
"""Pixels, the height of a bar."""
_MAX_SPELLS = 500
"""Spells that are drawn: the newest."""
_SLICES = 120
"""Equal parts of the time, of each of which the events are counted."""
AT_WORK = ("RUNNING", "INDEXING", "VALIDATING", "RESET")
"""States that a job is about to leave: their bar goes on until now."""
_ROW = Markup(
    '<div class="{}" data-state="{}"><span class="name">{}</span>'
    '<svg aria-hidden="true">{}</svg><span class="time">{}</span></div>'
)
_SLICE = Markup(
    '<rect x="{:.2f}%" y="{:.1f}" width="{:.2f}%" height="{:.1f}"><title>{}</title></rect>'
)


def drawn(path: Path, now: datetime.datetime | None = None) -> Markup:
    """Return the drawing, in which each state has a row; nothing of a job without history.

    Args:
        path: of a job.
        now: by default the present.
    """
    if not path.spells:
        return Markup("")
    now = now or datetime.datetime.now(datetime.timezone.utc)
    return Markup('<div class="timeline" role="img" aria-label="{}">{}</div>').format(
        describe(path, now), Markup("\n").join(_rows(path, now))
    )


def _rows(path: Path, now: datetime.datetime) -> Iterator[Markup]:
    spells = path.spells[-_MAX_SPELLS:]
    begin = spells[0].since
    end = max(now, begin) if path.current in AT_WORK else spells[-1].since
    length = max((end - begin).total_seconds(), 0.001)
    for state in fsm.STATES:
        mine = [spell for spell in spells if spell.state == state]
        if not mine:
            continue
        is_current = state == path.current
        total = sum(_seconds(spell, end) for spell in mine)
        yield _ROW.format(
            f"row {state_colours.css_class(state)}{' current' if is_current else ''}",
            state,
            state,
            Markup("").join(_bar(spell, begin, end, length) for spell in mine),
            formatting.duration(total) if total or not is_current else "",
        )
    dates = [date for date in path.dates if date >= begin]
    # where every event has led to another state, the bars have said it all
    if len(dates) > len(spells):
        yield _density(dates, begin, length)
    last = "now" if path.current in AT_WORK else rendering.moment(end)
    yield Markup('<div class="axis"><span>{}</span><span>{}</span></div>').format(
        rendering.moment(begin), last
    )


def _bar(spell: Spell, begin: datetime.datetime, end: datetime.datetime, length: float) -> Markup:
    x = _WHOLE * (spell.since - begin).total_seconds() / length
    wide = max(_SHORTEST, _WHOLE * _seconds(spell, end) / length)
    return Markup(
        '<rect x="{:.2f}%" width="{:.2f}%" height="{}" rx="3"><title>{}</title></rect>'
    ).format(min(x, _WHOLE - _SHORTEST), wide, _BAR, _describe(spell, end))


def _density(dates: Sequence[datetime.datetime], begin: datetime.datetime, length: float) -> Markup:
    """Return a row with a bar for each slice of the time, as high as the events in it are many."""
    width = _WHOLE / _SLICES
    counts = Counter(
        min(_SLICES - 1, int((date - begin).total_seconds() / length * _SLICES)) for date in dates
    )
    most, seconds = max(counts.values()), length / _SLICES
    slices = []
    for number, count in sorted(counts.items()):
        high = max(2.0, _BAR * count / most)
        since = formatting.shown(begin + datetime.timedelta(seconds=number * seconds))
        told = (
            f"{count} event{'s' if count > 1 else ''} within {formatting.duration(seconds)} "
            f"of {since} UTC"
        )
        slices.append(_SLICE.format(number * width, _BAR - high, width * 0.9, high, told))
    return _ROW.format("density", "", "events", Markup("").join(slices), f"{len(dates):,}")


def describe(path: Path, now: datetime.datetime) -> str:
    """Return in words what the drawing shows."""
    spells = path.spells[-_MAX_NAMED:]
    end = now if path.current in AT_WORK else spells[-1].since
    parts = [f"{spell.state} for {formatting.duration(_seconds(spell, end))}" for spell in spells]
    if path.current not in AT_WORK:
        parts[-1] = f"{path.current} since {formatting.shown(end)} UTC"
    return "The job was " + ", then ".join(parts)


_MAX_NAMED = 12


def _describe(spell: Spell, end: datetime.datetime) -> str:
    until = spell.until or end
    time = formatting.duration(_seconds(spell, end))
    return (
        f"{spell.state}: {formatting.shown(spell.since)} to {formatting.shown(until)} UTC, {time}"
    )


def _seconds(spell: Spell, end: datetime.datetime) -> float:
    return max(0.0, ((spell.until or end) - spell.since).total_seconds())
