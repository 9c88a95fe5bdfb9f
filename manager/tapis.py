"""What a job on Tapis v3 reports."""

from __future__ import annotations

import datetime
import re
from typing import Any, NamedTuple

from datacatalog.linkedstores.pipelinejob import TapisEvents
from manager import payloads

_UNDERSTOOD = {
    *("specversion", "id", "source", "type", "subject", "time", "timestamp", "data"),
    *("data_base64", "datacontenttype", "uuid", "seriesId", "seriesSeqCount", "endSeries"),
    *("deleteSubscriptionsMatchingSubject", "tenant", "user", "received", "token"),
}
"""Members of an event that mean the same for all events of a job, or are kept by another name."""
_MOMENT = re.compile(
    r"(?P<seconds>\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d)(\.(?P<fraction>\d+))?(?P<offset>[Zz]|[-+]\d\d:\d\d)"
)


class Notification(NamedTuple):
    """An event of a job on Tapis."""

    event: str
    """the event of the job here"""
    data: dict[str, Any]
    """what the history is to keep"""
    key: str
    """what a second delivery is known by"""
    happened: datetime.datetime | None
    """None where nobody can tell"""


def read(body: dict[str, Any]) -> Notification:
    """Return the event of a notification, or of a plain CloudEvent.

    Where it was delivered to is left out, since the URL has the job's token in it. Data that cannot
    be read is kept as it came.

    Args:
        body: fits the schema.
    """
    plain = "specversion" in body
    inner = body if plain else body["event"]
    data = _data(inner)
    facts = {
        "type": inner["type"],
        "timestamp": inner.get("timestamp", inner.get("time")),
        "seriesSeqCount": inner.get("seriesSeqCount"),
    }
    data |= {name: value for name, value in facts.items() if value is not None}
    for name in inner.keys() - _UNDERSTOOD:
        data.setdefault(name, inner[name])
    name = body["id"] if plain else body["eventUuid"]
    source = inner.get("source")
    key = f"{source} {name}" if isinstance(source, str) and source else name
    event = TapisEvents.process(inner["type"])
    return Notification(event, data, key, _moment(data.get("timestamp")))


def _moment(text: Any) -> datetime.datetime | None:
    """Return the moment that is written as RFC 3339 has it, or None."""
    match = _MOMENT.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        return None
    fraction = (match["fraction"] or "")[:6].ljust(6, "0")
    offset = match["offset"].upper().replace("Z", "+00:00")
    try:
        return datetime.datetime.fromisoformat(f"{match['seconds']}.{fraction}{offset}")
    except ValueError:
        return None


def _data(event: dict[str, Any]) -> dict[str, Any]:
    given = event.get("data")
    if given is None:
        data = payloads.in_base64(event)
    elif isinstance(given, str):
        data = payloads.in_text(given)
    else:
        data = payloads.as_object(given)
    # a token is a credential wherever it stands
    return {name: member for name, member in data.items() if name != "token"}
