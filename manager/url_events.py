"""Events whose name is in the URL: what they are, and what of them is kept."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import strictjson
from datacatalog.linkedstores.pipelinejob import AgaveEvents
from datacatalog.linkedstores.pipelinejob.fsm import MESSAGE_EVENTS
from manager.exceptions import InvalidMessage
from manager.schemas import masked, parameter, show

if TYPE_CHECKING:
    from reactors.message import Parsed
    from reactors.runtime import Reactor

NO_PAYLOAD = "The message had no payload"
BODY_LOST = "The platform passed on only the field 'message' of the post: its body is lost"
PLATFORM_JOB = "job_id"
"""The URL parameter by which a platform calls its own job; it is in the callbacks for Agave."""
_TEMPLATE = re.compile(r"\$\{[^}]*\}|\{\{.*\}\}|\$[A-Z][A-Z_]+|%[A-Z][A-Z_]+%|<[A-Za-z_ ]+>")


class URLEvent(NamedTuple):
    """An event that is named in the URL."""

    name: str
    data: dict[str, Any]
    """what the history is to keep"""
    token: Any
    """of the body, which wins, else of the URL; None where there is none"""


def read(rx: Reactor, parsed: Parsed | None) -> URLEvent:
    """Return the event that the URL names; where a body says which event it is, the body counts.

    Args:
        rx: of the message.
        parsed: the body; None if it is not to be read, then it is kept as it came.

    Raises:
        InvalidMessage: there is no such event.
    """
    body = parsed.value if parsed is not None and isinstance(parsed.value, dict) else {}
    status = parameter(rx, "status") or parameter(rx, "state")
    name = _name(rx, body, status)
    data = _data(rx, parsed, status)
    if status and not AgaveEvents.knows(status):
        rx.logger.warning("%s event: the status %s is not known", name, show(status))
        data.setdefault("status", status)
    said = data.get("status")
    if status and said is not None and str(said).strip().upper() != status.upper():
        # the body has a status that no platform has, or one that says which event this is
        data.setdefault("url_status", status)
    # a token is a credential wherever it stands: it counts, and is not kept
    return URLEvent(name, data, body.get("token", rx.environ.get("token")))


def refuse_template(rx: Reactor, name: str) -> None:
    """Refuse a parameter of the URL whose sender was to put a value into it, and did not.

    Raises:
        InvalidMessage: its value is a template, such as `${JOB_STATUS}`.
    """
    value = parameter(rx, name)
    if _TEMPLATE.fullmatch(value):
        text = (
            f"event: the URL parameter {name!r} is {show(value)}, a template that was not filled in"
        )
        raise InvalidMessage(text)


def _name(rx: Reactor, body: dict[str, Any], status: str) -> str:
    for key in ("event", "name"):
        told = body.get(key)
        if isinstance(told, str) and told.strip().lower() in MESSAGE_EVENTS:
            return told.strip().lower()
    given = parameter(rx, "name") or parameter(rx, "event")
    if given:
        for key in ("name", "event"):
            refuse_template(rx, key)
        event = given.lower()
        if event not in MESSAGE_EVENTS:
            text = f"event: the URL names {show(event)}, not one of {', '.join(MESSAGE_EVENTS)}"
            raise InvalidMessage(text)
        return event
    told = body.get("status")
    if isinstance(told, str) and AgaveEvents.knows(told):
        return AgaveEvents.process(told)
    for key in ("status", "state"):
        refuse_template(rx, key)
    return AgaveEvents.process(status)


def _data(rx: Reactor, parsed: Parsed | None, status: str) -> dict[str, Any]:
    if parsed is None:
        return _unread(rx)
    if parsed.value in ("", None) or parsed.value == {}:
        return {"note": rx.environ.get("note") or NO_PAYLOAD}
    if isinstance(parsed.value, dict):
        data = {name: value for name, value in parsed.value.items() if name != "token"}
        return data or {"note": rx.environ.get("note") or NO_PAYLOAD}
    if parsed.structured:
        return {"value": parsed.value}
    text = masked(parsed.value)
    job_id = parameter(rx, PLATFORM_JOB)
    if status and (job_id or text.strip().upper() == status.upper()):
        known = {PLATFORM_JOB: job_id} if job_id and not _TEMPLATE.fullmatch(job_id) else {}
        return {"message": text, "status": status, **known, "note": BODY_LOST}
    return {"value": text}


def _unread(rx: Reactor) -> dict[str, Any]:
    """Return a body that cannot be read as it came."""
    text = rx.context.raw_message.removeprefix(strictjson.MARK)
    if text:
        return {"value": masked(text)}
    return {"data_base64": base64.b64encode(rx.get_binary_message()).decode()}
