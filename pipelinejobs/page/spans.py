"""Jobs as bars over one time, in SVG: parents above their children, and a line from one to the other.

The drawing is a pile of pieces, one below the other without a gap: a browser that prints moves a drawing
that is higher than the rest of the sheet to the next one, and cuts one that is higher than a sheet anywhere.
"""

from __future__ import annotations

import datetime
import unicodedata
from typing import TYPE_CHECKING, NamedTuple
from xml.sax.saxutils import escape, quoteattr

from pipelinejobs import formatting, state_colours
from pipelinejobs.page import ticks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

WIDTH = 1000
_LABELS, _ROW, _BAR, _TOP, _BOTTOM = 220, 18, 12, 22, 4
_PIECE = 10
"""Rows that no sheet of paper parts."""
_FONT, _GAP, _END = 11, 6, 8
_INDENT, _MAX_DEPTH = 10, 4
_SHORTEST = 3.0
_RIGHT = 20
_WIDTHS = {
    **dict.fromkeys("ijl", 0.28),
    **dict.fromkeys(" IJfrt.,:;'|/\\-()[]", 0.42),
    **dict.fromkeys("csz_", 0.56),
    **dict.fromkeys("MQOw#&+<=>^~", 0.87),
    **dict.fromkeys("Wm%@…—", 1.0),
}
"""How broad letters are, in sizes of the font: in DejaVu Sans, the broadest of the usual ones."""
_CAPITAL, _OTHER, _BROAD = 0.78, 0.64, 1.25
"""The same of other letters; broad are those of East Asia, and pictures."""


class Span(NamedTuple):
    """How long a job has lasted.

    Attributes:
        uuid: of the job.
        title: of the job.
        pipeline: its name.
        state: the last one.
        created: when it was.
        until: its last event, or now, if it is to go on.
        ended: when its last run ended; None before that.
        seconds: that this run took.
        parents: those that are drawn as well.
        depth: how many parents are above it.
    """

    uuid: str
    title: str
    pipeline: str
    state: str
    created: datetime.datetime
    until: datetime.datetime
    ended: datetime.datetime | None = None
    seconds: float | None = None
    parents: tuple[str, ...] = ()
    depth: int = 0

    @property
    def path(self) -> str:
        """The address of the job."""
        return f"/jobs/{self.uuid}"

    @property
    def run(self) -> tuple[datetime.datetime, datetime.datetime]:
        """From when until when it ran; all of its time where no run has ended."""
        if self.ended is None or self.seconds is None:
            return self.created, self.until
        began = self.ended - datetime.timedelta(seconds=self.seconds)
        return max(began, self.created), max(self.ended, self.created)


def arranged(found: Sequence[Span]) -> list[Span]:
    """Return jobs in the order of their creation, but for children, which follow their first parent."""
    ordered = sorted(found, key=lambda span: span.created)
    children: dict[str, list[Span]] = {}
    for span in ordered:
        children.setdefault(span.parents[0] if span.parents else "", []).append(span)
    placed: dict[str, Span] = {}
    # jobs that are each other's parents have no first one
    waiting = [(span, 0) for span in reversed([*children.get("", ()), *ordered])]
    while waiting:
        span, depth = waiting.pop()
        if span.uuid not in placed:
            placed[span.uuid] = span._replace(depth=depth)
            waiting += [(each, depth + 1) for each in reversed(children.get(span.uuid, ()))]
    return [*placed.values()]


def axis(found: Sequence[Span]) -> tuple[datetime.datetime, datetime.datetime]:
    """Return the moments at the left and at the right edge of the bars."""
    return min(span.created for span in found), max(span.until for span in found)


def svg(found: Sequence[Span]) -> str:
    """Return the drawing in its pieces, in which each job has a row; nothing without jobs."""
    return "\n".join(_lines(found)) if found else ""


def _lines(found: Sequence[Span]) -> Iterator[str]:
    begin, end = axis(found)
    length = max((end - begin).total_seconds(), 0.001)

    def x(moment: datetime.datetime) -> float:
        share = (moment - begin).total_seconds() / length
        return _LABELS + (WIDTH - _LABELS - _RIGHT) * share

    marks = ticks.between(begin, end)
    rows = {span.uuid: number for number, span in enumerate(found)}
    joins = [
        (rows[parent], row, _joined(found[rows[parent]], rows[parent], span, row, x))
        for row, span in enumerate(found)
        for parent in span.parents
    ]
    for first in range(0, len(found), _PIECE):
        last = min(first + _PIECE, len(found)) - 1
        top = _TOP + _ROW * first if first else 0
        bottom = _TOP + _ROW * (last + 1) + (0 if last + 1 < len(found) else _BOTTOM)
        yield (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="gantt" '
            f'viewBox="0 {top} {WIDTH} {bottom - top}" aria-hidden="true">'
        )
        yield (
            f'<g class="plot"><rect class="background" x="{_LABELS}" y="{top}" '
            f'width="{WIDTH - _LABELS - _RIGHT}" height="{bottom - top}"/></g>'
        )
        yield f'<g class="ticks" data-step="{marks.step}">'
        for mark in marks.marks:
            text = "" if first else f'<text class="axis" y="12">{mark.text}</text>'
            yield f'<g transform="translate({x(mark.date):.1f} 0)">'
            yield f'<path class="lane" d="M0 {top or _TOP - 6} V{bottom}"/>{text}</g>'
        yield "</g>"
        # what leads out of a piece goes on in the next
        yield from (
            join
            for one, other, join in joins
            if min(one, other) <= last and max(one, other) >= first
        )
        for row, span in enumerate(found[first : last + 1], first):
            yield from _bar(span, _TOP + _ROW * row, x)
        yield "</svg>"


def _joined(parent: Span, above: int, child: Span, row: int, x: Callable[..., float]) -> str:
    """Return the line from a parent to a child."""
    side = min(x(parent.run[1]), x(child.created))
    middle = _TOP + _BAR / 2
    return (
        f'<path class="join" d="M{side:.1f} {middle + _ROW * above:.1f} '
        f'V{middle + _ROW * row:.1f} H{x(child.created):.1f}"/>'
    )


def _cut(title: str, room: float) -> str:
    """Return a title, without its middle if it is broader than the room, in sizes of the font."""
    if sum(map(_width, title)) <= room:
        return title
    end = title[-_END:]
    left = room - sum(map(_width, f"…{end}"))
    begin = ""
    for letter in title:
        left -= _width(letter)
        if left < 0:
            break
        begin += letter
    return f"{begin}…{end}"


def _width(letter: str) -> float:
    """Return how broad a letter is at most."""
    if unicodedata.combining(letter):
        return 0
    if unicodedata.east_asian_width(letter) in "WF":
        return _BROAD
    return _WIDTHS.get(letter, _CAPITAL if letter.isupper() else _OTHER)


def _bar(span: Span, y: int, x: Callable[..., float]) -> Iterator[str]:
    """Yield the row of a job: its title, all of its time as a line, its run as a bar."""
    began, ended = map(x, span.run)
    indent = _INDENT * min(span.depth, _MAX_DEPTH)
    label = _cut(span.title, (_LABELS - _GAP - indent) / _FONT)
    told = (
        f"{span.title}, {span.state}: {formatting.shown(span.created)} to {formatting.shown(span.until)} UTC, "
        f"{formatting.duration((span.until - span.created).total_seconds())}"
    )
    if span.seconds is not None:
        told += f", ran for {formatting.duration(span.seconds)}"
    yield f'<a href={quoteattr(span.path)} tabindex="-1" class="span {state_colours.css_class(span.state)}">'
    yield f"<title>{escape(told)}</title>"
    yield f'<text x="{indent}" y="{y + 10}">{escape(label)}</text>'
    yield (
        f'<rect class="whole" x="{x(span.created):.1f}" y="{y + _BAR / 2 - 1}" '
        f'width="{max(_SHORTEST, x(span.until) - x(span.created)):.1f}" height="2"/>'
    )
    yield (
        f'<rect x="{began:.1f}" y="{y}" width="{max(_SHORTEST, ended - began):.1f}" '
        f'height="{_BAR}" rx="2"/>'
    )
    yield "</a>"
