"""What a job on Tapis v3 reports (spec: tapis-v3)."""

from __future__ import annotations

from typing import Any, NamedTuple

from datacatalog.linkedstores.pipelinejob import TapisEvents
from manager.exceptions import InvalidMessage
from reactors import message
from reactors.exceptions import MessageError


class Notification(NamedTuple):
    """An event of a job on Tapis."""

    event: str
    """the event of the job here"""
    data: dict[str, Any]
    """what the history is to keep"""
    key: str
    """what a second delivery is known by"""


def read(body: dict[str, Any], title: str) -> Notification:
    """Return the event of a notification, or of a plain CloudEvent.

    Where it was delivered to is left out, since the URL has the job's token in it.

    Args:
        body: fits the schema.
        title: what the kind is called in errors.

    Raises:
        InvalidMessage: its data cannot be read.
    """
    plain = "specversion" in body
    inner = body if plain else body["event"]
    event = TapisEvents.process(inner["type"])
    try:
        data = _data(inner.get("data"))
    except MessageError as error:
        place = "data" if plain else "event.data"
        text = f"{event} event ({title}): '{place}' cannot be read: {error}"
        raise InvalidMessage(text) from error
    facts = {
        "type": inner["type"],
        "timestamp": inner.get("timestamp", inner.get("time")),
        "seriesSeqCount": inner.get("seriesSeqCount"),
    }
    data |= {name: value for name, value in facts.items() if value is not None}
    return Notification(event, data, body["id"] if plain else body["eventUuid"])


def _data(given: Any) -> dict[str, Any]:
    if given is None or (isinstance(given, str) and not given.strip()):
        return {}
    value = message.parse(given).value if isinstance(given, str) else given
    if not isinstance(value, dict):
        return {"value": value}
    # a token is a credential wherever it stands
    return {name: member for name, member in value.items() if name != "token"}
