"""Large data on a page: its beginning is shown, the whole of it is at an address of its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from markupsafe import escape

from pipelinejobs import formatting

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_BYTES = 4 * 1024
"""Of some data in a page, as HTML."""
MAX_OF_LOG = 64 * 1024
MAX_OF_DOCUMENT = 256 * 1024
MAX_OF_TEXT = 200
"""Characters of a name or another short text, in a list."""
_MAX_OF_PREVIEW = 100
"""Characters of data, on one line."""
_UNITS = ("bytes", "KiB", "MiB")
_THOUSAND = 1024


class Folded(NamedTuple):
    """Data as it stands in a page."""

    text: str
    size: str = ""
    """of all of it, where `text` is only a part"""


def folded(value: Any) -> Folded:
    """Return data as indented JSON, or the beginning of that."""
    encoder = json.JSONEncoder(indent=2, ensure_ascii=False, default=formatting.plain)
    text = beginning(encoder.iterencode(value), MAX_BYTES)
    if text.whole:
        return Folded(text.part)
    compact = json.dumps(value, ensure_ascii=False, default=formatting.plain)
    return Folded(text.part, size(compact))


def preview(value: Any) -> str:
    """Return data as one short line."""
    encoder = json.JSONEncoder(ensure_ascii=False, default=formatting.plain)
    text = ""
    for chunk in encoder.iterencode(value):
        text += chunk[:_MAX_OF_PREVIEW]
        if len(text) > _MAX_OF_PREVIEW:
            return f"{text[:_MAX_OF_PREVIEW]}…"
    return text


def end_of(log: str) -> Folded:
    """Return a log, or the end of it, which begins with a line."""
    text = beginning([log[::-1]], MAX_OF_LOG)
    if text.whole:
        return Folded(log)
    part = text.part[::-1]
    return Folded(part.partition("\n")[2] or part, size(log))


def short(value: object) -> str:
    """Return a short text, which somebody else may have made a long one."""
    text = "" if value is None else str(value)
    return text if len(text) <= MAX_OF_TEXT else f"{text[:MAX_OF_TEXT]}…"


def size(text: str) -> str:
    """Return the size of a string in words."""
    count: float = len(text.encode(errors="replace"))
    unit = 0
    while count >= _THOUSAND and unit < len(_UNITS) - 1:
        count, unit = count / _THOUSAND, unit + 1
    return f"{count:.{int(unit > 0)}f} {_UNITS[unit]}"


class Beginning(NamedTuple):
    """The beginning of a string."""

    part: str
    whole: bool


def beginning(chunks: Iterable[str], most: int) -> Beginning:
    """Return the beginning of a string that makes no more than some bytes of HTML."""
    text = ""
    for chunk in chunks:
        text += chunk
        if len(text) > most:
            break
    part = text[:most]
    while (found := _bytes(part)) > most:
        part = part[: len(part) * most // found]
    return Beginning(part, part == text)


def _bytes(text: str) -> int:
    return len(escape(text).encode(errors="replace"))


def document(fields: dict[str, Any], name: str, items: Iterable[Any]) -> Iterator[str]:
    """Yield a document as indented JSON, with a last field whose items may be many."""
    head = pretty(fields)
    yield head.removesuffix("}").rstrip()
    yield f"{',' if fields else ''}\n  {json.dumps(name)}: ["
    separator = "\n"
    for item in items:
        yield separator + "    " + pretty(item).replace("\n", "\n    ")
        separator = ",\n"
    yield "\n  ]\n}\n"


def pretty(value: Any) -> str:
    """Return data as indented JSON."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=formatting.plain)
