"""Draw the recording of the tour: frame by frame, as an SVG that moves without a script.

    python -m docs.render_tour    # reads docs/images/tour.cast and writes docs/images/tour.svg

pyte knows what a terminal shows after each part of the recording, and rich draws it. The frames
stand below each other on one film, which moves behind a window. Who wants less motion gets the last.
"""

from __future__ import annotations

import io
import json
import re
from itertools import groupby
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any, NamedTuple
from xml.etree import ElementTree

import pyte
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import SVG_EXPORT_THEME
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyte.screens import Char

IMAGES = Path(__file__).resolve().parent / "images"
CAST, SVG = IMAGES / "tour.cast", IMAGES / "tour.svg"
_LAST_SECONDS = 8.0
_CURSOR = "▌"
_MARGIN, _LINE, _LETTER = 14, 24.4, 12.2
"""In the units of the picture; a line and a letter are as high and wide as rich draws them."""
_TEMPLATE = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 $width $height" role="img" aria-label="$title">
<title>$title</title>
<style>
text { font: 20px Menlo, Consolas, "DejaVu Sans Mono", monospace; white-space: pre }
$styles
.film { animation: ${seconds}s step-end infinite film }
@keyframes film { $keyframes }
@media (prefers-reduced-motion: reduce) { .film { animation: none; $last } }
</style>
<rect width="$width" height="$height" rx="10" fill="$background"/>
<defs xml:space="preserve">
$lines
</defs>
<svg x="$margin" y="$margin" width="$inner_width" height="$inner_height">
<g class="film" style="$last">
$film
</g>
</svg>
</svg>
"""


Line = tuple[tuple[str, Style], ...]
"""What a line of the terminal shows: runs of one style each."""


class Frame(NamedTuple):
    """What the terminal shows, from a moment on."""

    seconds: float
    lines: tuple[Line, ...]


def render(recording: str) -> str:
    """Return the SVG of a recording.

    Args:
        recording: in asciinema's format, version 2.
    """
    head, *events = map(json.loads, recording.splitlines())
    frames = _frames(head["width"], head["height"], events)
    lines = list(dict.fromkeys(line for frame in frames for line in frame.lines if line))
    styles, drawn = _drawn(head["width"], lines)
    names = {line: f"l{number}" for number, line in enumerate(lines)}
    film = (
        f'<use href="#{names[line]}" y="{_LINE * place:.1f}"/>'
        for place, line in enumerate(line for frame in frames for line in frame.lines)
        if line
    )
    return Template(_TEMPLATE).substitute(
        _measures(head, frames),
        styles=styles,
        lines="\n".join(f'<g id="{names[line]}">{drawn[line]}</g>' for line in lines),
        film="\n".join(film),
    )


def _drawn(width: int, lines: Sequence[Line]) -> tuple[str, dict[Line, str]]:
    """Return the styles of lines, and what an SVG draws of each at its top."""
    console = Console(
        width=width, record=True, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    for line in lines:
        console.print(Text.assemble(*line), no_wrap=True, crop=True)

    def part(template: str, *, clear: bool = False) -> str:
        theme = SVG_EXPORT_THEME
        return console.export_svg(code_format=template, theme=theme, unique_id="t", clear=clear)

    drawn = dict.fromkeys(lines, "")
    styles = part("{styles}")
    elements = part("<svg>{backgrounds}{matrix}</svg>", clear=True)
    for element in ElementTree.fromstring(elements):  # noqa: S314 - rich has just made it
        number, top = divmod(float(element.attrib.pop("y")), _LINE)
        element.attrib.pop("clip-path", None)
        element.tail = None
        if element.text:
            element.text = element.text.replace("\N{NO-BREAK SPACE}", " ")
        if element.tag == "rect" or (element.text or "").strip():
            element.set("y", f"{top:.1f}")
            drawn[lines[int(number)]] += ElementTree.tostring(element, encoding="unicode")
    return styles, drawn


def _frames(width: int, height: int, events: list[tuple[float, str, str]]) -> list[Frame]:
    """Return what the terminal shows after each event that changes something."""
    screen = pyte.Screen(width, height)
    stream = pyte.Stream(screen)
    frames: list[Frame] = []
    for seconds, _, text in events:
        stream.feed(text)
        lines = tuple(_line(screen, row) for row in range(height))
        if not frames or lines != frames[-1].lines:
            frames.append(Frame(seconds, lines))
    return frames


def _line(screen: pyte.Screen, row: int) -> Line:
    """Return a line of the terminal, the cursor included."""
    cells = [screen.buffer[row][column] for column in range(screen.columns)]
    runs = [
        ("".join(cell.data for cell in group), style) for style, group in groupby(cells, _style)
    ]
    while runs and not runs[-1][0].strip() and not (runs[-1][1].bgcolor or runs[-1][1].reverse):
        runs.pop()
    if runs:
        runs[-1] = (runs[-1][0].rstrip(), runs[-1][1])
    if screen.cursor.y == row and not screen.cursor.hidden:
        length = sum(len(text) for text, _ in runs)
        runs += [(" " * (screen.cursor.x - length), Style()), (_CURSOR, Style(dim=True))]
    return tuple(runs)


def _style(cell: Char) -> Style:
    return Style(
        color=_colour(cell.fg),
        bold=cell.bold,
        italic=cell.italics,
        underline=cell.underscore,
        reverse=cell.reverse,
    )


def _colour(name: str) -> str | None:
    """Return what rich calls a colour of pyte."""
    if name == "default":
        return None
    if re.fullmatch("[0-9a-f]{6}", name):
        return f"#{name}"
    return name.replace("brown", "yellow").replace("bright", "bright_")


def _measures(head: dict[str, Any], frames: list[Frame]) -> dict[str, object]:
    """Return what the template asks for."""
    inner_width, inner_height = head["width"] * _LETTER, head["height"] * _LINE
    seconds = frames[-1].seconds + _LAST_SECONDS

    def moved(number: int) -> str:
        return f"transform: translateY({-number * inner_height:.1f}px)"

    keyframes = " ".join(
        f"{100 * frame.seconds / seconds:.2f}% {{ {moved(number)} }}"
        for number, frame in enumerate(frames)
    )
    return {
        "title": head["title"],
        "width": round(inner_width + 2 * _MARGIN),
        "height": round(inner_height + 2 * _MARGIN),
        "inner_width": round(inner_width, 1),
        "inner_height": round(inner_height, 1),
        "margin": _MARGIN,
        "background": SVG_EXPORT_THEME.background_color.hex,
        "seconds": round(seconds, 1),
        "keyframes": keyframes,
        "last": moved(len(frames) - 1),
    }


if __name__ == "__main__":
    SVG.write_text(render(CAST.read_text()))
