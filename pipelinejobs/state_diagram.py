"""The state machine as SVG: the path of a job and the state that it is in stand out.

The drawing is placed by hand, so that a reader finds each state where it was before. Its parts have
classes; a page that has rules of its own for them, or may hold none, takes the drawing without style.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

from datacatalog.linkedstores.pipelinejob import fsm
from pipelinejobs import graph, state_colours
from pipelinejobs.graph import Edge, Path

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTH, HEIGHT = 1020, 430
_HALF_WIDTH, _HALF_HEIGHT = 54, 18
_PLACES = {
    "CREATED": (80, 180),
    "RUNNING": (240, 180),
    "FAILED": (240, 310),
    "FINISHED": (410, 180),
    "INDEXING": (410, 70),
    "VALIDATING": (590, 180),
    "VALIDATED": (770, 180),
    "REJECTED": (700, 275),
    "FINALIZED": (950, 180),
    "RETIRED": (950, 400),
    "RESET": (80, 70),
}
# Each edge: the line, and where its name stands
_ROUTES = {
    Edge("CREATED", "run", "RUNNING"): ("M134 180 H186", (160, 173)),
    Edge("RUNNING", "finish", "FINISHED"): ("M294 180 H356", (320, 173)),
    Edge("FINISHED", "validate", "VALIDATING"): ("M464 180 H536", (509, 173)),
    Edge("VALIDATING", "validated", "VALIDATED"): ("M644 180 H716", (686, 173)),
    Edge("VALIDATED", "finalize", "FINALIZED"): ("M824 180 H896", (859, 173)),
    Edge("VALIDATED", "validate", "VALIDATING"): ("M740 162 V130 H620 V162", (680, 124)),
    Edge("FINISHED", "index", "INDEXING"): ("M390 162 V88", (362, 129)),
    Edge("INDEXING", "indexed", "FINISHED"): ("M430 88 V162", (455, 129)),
    Edge("CREATED", "fail", "FAILED"): ("M80 198 V310 H186", (133, 304)),
    Edge("RUNNING", "fail", "FAILED"): ("M240 198 V292", (252, 249)),
    Edge("INDEXING", "fail", "FAILED"): ("M356 70 H336 V302 H294", (348, 249)),
    Edge("VALIDATING", "fail", "FAILED"): ("M566 198 V320 H294", (500, 314)),
    Edge("VALIDATING", "reject", "REJECTED"): ("M616 198 V275 H646", (632, 240)),
    Edge("FAILED", "retire", "RETIRED"): ("M240 328 V400 H896", (260, 394)),
    Edge("FINISHED", "retire", "RETIRED"): ("M410 198 V400 H896", (430, 394)),
    Edge("VALIDATING", "retire", "RETIRED"): ("M590 198 V400 H896", (610, 394)),
    Edge("REJECTED", "retire", "RETIRED"): ("M700 293 V400 H896", (720, 394)),
    Edge("VALIDATED", "retire", "RETIRED"): ("M790 198 V400 H896", (810, 394)),
    Edge("FINALIZED", "retire", "RETIRED"): ("M950 198 V382", (970, 294)),
    Edge("RESET", "ready", "CREATED"): ("M96 88 V162", (116, 129)),
    Edge("CREATED", "reset", "RESET"): ("M64 162 V88", (48, 129)),
    Edge("RUNNING", "reset", "RESET"): ("M206 162 V24 H80 V52", (206, 18)),
    Edge("FAILED", "reset", "RESET"): ("M186 322 H12 V70 H26", (34, 334)),
    Edge("INDEXING", "reset", "RESET"): ("M410 52 V24 H80 V52", (410, 18)),
    Edge("FINISHED", "reset", "RESET"): ("M464 168 H486 V24 H80 V52", (486, 18)),
    Edge("VALIDATING", "reset", "RESET"): ("M560 162 V24 H80 V52", (560, 18)),
    Edge("REJECTED", "reset", "RESET"): ("M656 257 V24 H80 V52", (656, 18)),
    Edge("VALIDATED", "reset", "RESET"): ("M800 162 V24 H80 V52", (800, 18)),
    Edge("FINALIZED", "reset", "RESET"): ("M950 162 V24 H80 V52", (940, 18)),
    Edge("RETIRED", "reset", "RESET"): ("M1004 400 H1012 V24 H80 V52", (1000, 18)),
}
_STYLE = """\
.machine { font: 12px system-ui, sans-serif; color: #57606a }
.machine .node rect { fill: #ffffff; stroke: #8c959f }
.machine .node text { fill: #24292f; text-anchor: middle }
.machine .edge path { fill: none; stroke: #b7bec6; stroke-linejoin: round }
.machine .edge[data-event=reset]:not(.visited) path { stroke-dasharray: 3 3 }
.machine .edge text { fill: #6e7781; text-anchor: middle; font-size: 10px;
  paint-order: stroke; stroke: #ffffff; stroke-width: 3px }
.machine .visited path { stroke: #1769aa; stroke-width: 2px }
.machine .edge.visited text { fill: #0b2e4f; font-weight: 600 }
.machine .visited rect { stroke-width: 2px }
.machine .current rect { stroke-width: 4px }
.machine .current text { font-weight: 700 }
"""
STYLE = _STYLE + "".join(
    f".machine :is(.visited, .current).{state_colours.css_class(state)} rect {{ stroke: {colour.light} }}\n"
    for state, colour in state_colours.COLOURS.items()
)
"""What the parts look like where nobody else says so."""
_MAX_NAMED = 12


def svg(path: Path, *, style: bool = True) -> str:
    """Return the drawing.

    Args:
        path: of a job; an empty one for the machine alone.
        style: whether to put `STYLE` in.
    """
    return "\n".join(_lines(path, style=style)) + "\n"


def describe(path: Path) -> str:
    """Return in words what the drawing shows."""
    if path.current is None:
        return "The states of a job and the events that lead from one to another"
    ways = " → ".join(spell.state for spell in path.spells[-_MAX_NAMED:])
    before = "… → " if len(path.spells) > _MAX_NAMED else ""
    return f"The job is {path.current}, after {before}{ways}"


def _lines(path: Path, *, style: bool) -> Iterator[str]:
    title = escape(describe(path))
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="machine" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'role="img" aria-label={quoteattr(describe(path))}>'
    )
    yield f"<title>{title}</title>"
    if style:
        yield f"<style>{STYLE}</style>"
    yield (
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="9" '
        'markerHeight="9" markerUnits="userSpaceOnUse" orient="auto">'
        '<path d="M0 0 L8 4 L0 8 z" fill="context-stroke"/></marker></defs>'
    )
    # what was passed through is drawn over what was not
    edges = [edge for edge in graph.machine() if edge.source != edge.target]
    for edge in sorted(edges, key=lambda edge: path.edges[edge] > 0):
        yield from _edge(edge, path.edges[edge])
    loops: dict[str, int] = {}
    for edge, count in path.edges.items():
        if edge.source == edge.target:
            loops[edge.source] = loops.get(edge.source, 0) + count
    for state in fsm.STATES:
        yield from _node(state, path, loops.get(state, 0))
    yield "</svg>"


def _node(state: str, path: Path, loops: int) -> Iterator[str]:
    x, y = _PLACES[state]
    kind = "current" if state == path.current else "visited" if state in path.visited else ""
    classes = " ".join(filter(None, ("node", state_colours.css_class(state), kind)))
    yield f'<g class="{classes}" data-state="{state}">'
    repeated = f"; {loops:,} events left it so" if loops else ""
    yield f"<title>{state}: {escape(fsm.STATES[state])}{repeated}</title>"
    yield (
        f'<rect x="{x - _HALF_WIDTH}" y="{y - _HALF_HEIGHT}" width="{2 * _HALF_WIDTH}" '
        f'height="{2 * _HALF_HEIGHT}" rx="8"/>'
    )
    yield f'<text x="{x}" y="{y + 4}">{state}</text></g>'


def _edge(edge: Edge, count: int) -> Iterator[str]:
    line, (x, y) = _ROUTES[edge]
    kind = "edge visited" if count else "edge"
    times = f" {count:,}x" if count > 1 else ""
    yield f'<g class="{kind}" data-event="{edge.event}"><path d="{line}" marker-end="url(#arrow)"/>'
    yield f'<text x="{x}" y="{y}">{edge.event}{times}</text></g>'
