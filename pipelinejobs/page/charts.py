"""Charts as SVG that a page can hold: drawn by pygal, coloured by the style sheet of the page.

Pygal is small, has no dependency that counts, and needs no browser to draw; Vega's renderer is 33 MB. It
is used as it comes, under the LGPL. What it writes for viewers of its own is taken out: a style sheet
and a script, which the content policy of the page forbids, and positions for its tooltips. A chart is
for the eye and the mouse; each has a table beside it, which everybody can read and follow with the keyboard.
"""

from __future__ import annotations

import json
import sys
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from markupsafe import Markup

if TYPE_CHECKING:
    import datetime
    from collections.abc import Mapping, Sequence

WIDTH, HEIGHT = 640, 240
_DROPPED = ("style", "script", "desc", "title", "defs")
_CURVE_WIDTH, _CURVE_HEIGHT = 440, 150
_SPARK_WIDTH, _SPARK_HEIGHT = 120, 24
_MAX_LABELS = 8
_AT = "@"
_MAX_KEPT = 64
"""Charts that were drawn, of some ten thousand bytes each."""


def label(date: datetime.datetime, text: str, step: int) -> str:
    """Return a label of an axis that names a moment, so that a script can say it in another zone.

    Args:
        date: the moment.
        text: how it is written in UTC.
        step: seconds from one moment that is named to the next.
    """
    return f"{_AT}{date.isoformat()}{_AT}{step}{_AT}{text}"


def bars(labels: Sequence[str], series: Mapping[str, Sequence[Any]]) -> Markup:
    """Return bars that are stacked.

    Args:
        labels: of the bars.
        series: by their names: a number for each bar, or `value`, `label` and `xlink` of each.
    """
    return _drawn("StackedBar", labels, series)


def lines(labels: Sequence[str], series: Mapping[str, Sequence[Any]]) -> Markup:
    """Return lines; arguments as for `bars`."""
    return _drawn("Line", labels, series, dots_size=2)


def scatter(
    series: Mapping[str, Sequence[Any]],
    width: float,
    x_labels: Mapping[float, str],
    y_labels: Mapping[float, str],
) -> Markup:
    """Return points.

    Args:
        series: by their names: `value` (x and y), `label` and `xlink` of each.
        width: the greatest x; the least is 0.
        x_labels: what to write at which x.
        y_labels: what to write at which y, from the least to the most.
    """
    xs, ys = (
        [{"value": place, "label": label} for place, label in labels.items()]
        for labels in (x_labels, y_labels)
    )
    yrange = (min(y_labels), max(y_labels))
    more = {"xrange": (0, width), "range": yrange, "y_labels": ys}
    return _drawn("XY", xs, series, stroke=False, dots_size=3, **more)


def curve(name: str, points: Sequence[Mapping[str, Any]], x_labels: Mapping[float, str]) -> Markup:
    """Return a line through points.

    Args:
        name: of what it shows.
        points: `value` (x and y) and `label` of each.
        x_labels: what to write at which x, from the least to the most.
    """
    xs = [{"value": place, "label": label} for place, label in x_labels.items()]
    heights = [point["value"][1] for point in points]
    yrange = (min(heights), max(heights))
    more = {
        "width": _CURVE_WIDTH,
        "height": _CURVE_HEIGHT,
        "xrange": (min(x_labels), max(x_labels)),
        "range": yrange,
        "y_labels": [{"value": height, "label": f"{height:.4g}"} for height in yrange],
        "show_legend": False,
        # a label is as long on both sides of its place
        "margin_left": 20,
        "margin_right": 40,
    }
    return _drawn("XY", xs, {name: points}, dots_size=2, **more)


@cache
def _pygal() -> Any:
    """Return the library, which a gateway whose page nobody opens need not load."""
    import pygal  # noqa: PLC0415 - 25 ms and 2 MiB

    # it looks for maps among the plugins at each import of anything, in a way that Python has given up
    fixer = pygal.PluginImportFixer
    sys.meta_path[:] = [each for each in sys.meta_path if not isinstance(each, fixer)]
    return pygal


def _drawn(
    kind: str, labels: Sequence[Any], series: Mapping[str, Sequence[Any]], **more: Any
) -> Markup:
    return _draw(kind, json.dumps([labels, series, more]))


@lru_cache(_MAX_KEPT)
def _draw(kind: str, shown: str) -> Markup:
    """Draw a chart; one that shows what a former one has shown is not drawn again.

    Args:
        kind: of chart, as pygal calls it.
        shown: labels, series and settings, as JSON.
    """
    labels, series, more = json.loads(shown)
    chart = getattr(_pygal(), kind)(
        css=[],
        js=[],
        disable_xml_declaration=True,
        show_minor_x_labels=False,
        legend_at_bottom=True,
        legend_box_size=10,
        truncate_label=-1,
        max_scale=8,
        order_min=0,
        margin=6,
        no_data_text="Nothing has happened",
        **{"width": WIDTH, "height": HEIGHT, **more},
    )
    chart.x_labels = labels
    chart.x_labels_major_every = max(1, -(-len(labels) // _MAX_LABELS))
    for name, values in series.items():
        chart.add(name, values)
    root = chart.render_tree()
    _clean(root)
    root.set("class", "chart")
    root.set("aria-hidden", "true")
    root.attrib.pop("id", None)
    # pygal has escaped what it was given
    return Markup(ET.tostring(root, encoding="unicode"))  # noqa: S704 - it is XML that was made here


def _clean(element: Any) -> None:
    """Leave what is drawn, its links, and the text to show for each thing that is pointed at."""
    shown = [child.text or "" for child in element if child.get("class") in ("label", "value")]
    if (text := element.text or "").startswith(_AT):
        _, at, step, element.text = text.split(_AT, 3)
        element.set("data-at", at)
        element.set("data-step", step)
    for child in [*element]:
        if _is_dropped(child):
            element.remove(child)
            continue
        for name in ("style", "id"):
            child.attrib.pop(name, None)
        _clean(child)
    if element.get("xlink:href"):
        element.attrib.pop("target", None)
        element.set("tabindex", "-1")
    if shown:
        ET.SubElement(element, "title").text = shown[0]


def _is_dropped(element: Any) -> bool:
    is_comment = not isinstance(element.tag, str)
    if is_comment or element.tag.rpartition("}")[2] in _DROPPED:
        return True
    return "tooltip-overlay" in (element.get("class") or "")


def sparkline(numbers: Sequence[float]) -> Markup:
    """Return a line without axes; the highest number reaches the top."""
    most, last = max(numbers, default=0) or 1, max(1, len(numbers) - 1)
    points = " ".join(
        f"{number * _SPARK_WIDTH / last:.1f},{_SPARK_HEIGHT - 1 - value * (_SPARK_HEIGHT - 3) / most:.1f}"
        for number, value in enumerate(numbers)
    )
    return Markup(
        '<svg class="spark" viewBox="0 0 {} {}" width="{}" height="{}" aria-hidden="true">'
        '<polyline points="{}"/></svg>'
    ).format(_SPARK_WIDTH, _SPARK_HEIGHT, _SPARK_WIDTH, _SPARK_HEIGHT, points)
