"""From what a handler has found to HTML: templates, and how they write moments and data."""

from __future__ import annotations

import datetime
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import ChainableUndefined, Environment, FileSystemLoader
from markupsafe import Markup, escape

from datacatalog import documents
from datacatalog.linkedstores.pipelinejob import fsm
from pipelinejobs import formatting, state_colours
from pipelinejobs.page import folding
from pipelinejobs.page.links import Link

_WITH_COLOURS = "page.css"
_END = 8
"""Characters at the end of a name that are never left out."""
FOLDER = Path(__file__).parent
STATIC = {
    "page.css": "text/css",
    "page.js": "text/javascript",
    "theme.js": "text/javascript",
    "keys.js": "text/javascript",
    "zoom.js": "text/javascript",
    "axis.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}


@cache
def environment() -> Environment:
    """Return what renders the templates: everything is escaped."""
    made = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        # documents are what their writers have made of them: what one lacks is left blank
        undefined=ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        value_at=documents.value_at,
        moment=moment,
        ago=ago,
        cell=cell,
        duration=formatting.duration,
        folded=folding.folded,
        preview=folding.preview,
        both_ends=both_ends,
        short=folding.short,
        css_class=state_colours.css_class,
    )
    made.globals.update(static=static_url, states=fsm.STATES)
    return made


@cache
def static_file(name: str) -> tuple[bytes, str]:
    """Return a file that all pages have, and the digest of what is in it."""
    content = (FOLDER / "static" / name).read_bytes()
    if name == _WITH_COLOURS:
        content += state_colours.style_sheet().encode()
    return content, hashlib.sha256(content).hexdigest()[:16]


def static_url(name: str) -> str:
    """Return the address of a file, which changes with what is in it."""
    return f"/static/{name}?v={static_file(name)[1]}"


def moment(value: object) -> Markup:
    """Return a moment, in UTC, as an element that a script can read as well."""
    if isinstance(value, str):
        value = _parsed(value)
    if not isinstance(value, datetime.datetime):
        return Markup("")
    # hundreds of them are on a page, and Markup.format takes its time; neither string has anything to escape
    return Markup(f'<time datetime="{formatting.plain(value)}">{formatting.shown(value)}</time>')  # noqa: S704 - see above


def ago(value: object) -> Markup:
    """Return a moment as the time since then, with the exact one to be shown on demand."""
    if not isinstance(value, datetime.datetime):
        return Markup("")
    return Markup('<time class="ago" datetime="{}" title="{} UTC">{}</time>').format(
        formatting.plain(value), formatting.shown(value), formatting.ago(value)
    )


def cell(value: Any) -> Markup:
    """Return a value in a table: a link, a moment, or text."""
    if isinstance(value, Link):
        text = escape(formatting.shown(value.text))
        # many of them are on a page, and Markup.format takes its time
        return Markup(f'<a href="{escape(value.path)}">{text}</a>')  # noqa: S704 - escaped here
    if isinstance(value, datetime.datetime):
        return moment(value)
    return escape(formatting.shown(value))


def both_ends(value: object) -> Markup:
    """Return a short text, on one line, of which the middle is left out where it finds no room.

    Names that are made by a rule often differ at their end only.
    """
    text = " ".join(str("" if value is None else value).split())
    if len(text) <= 2 * _END:
        return escape(text)
    return Markup("<span>{}</span><span>{}</span>").format(
        folding.short(text[:-_END]), text[-_END:]
    )


def digest(value: Any) -> str:
    """Return what tells one state of some data from another."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def svg(drawing: str) -> Markup:
    """Return a drawing that this program has made, whose strings are escaped already."""
    return Markup(drawing)  # noqa: S704 - state_diagram and spans escape what they write


def _parsed(text: str) -> datetime.datetime | None:
    try:
        found = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=datetime.timezone.utc)
