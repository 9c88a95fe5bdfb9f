"""What kind of message it is (spec: actor, section 2)."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from datacatalog.identifiers import typeduuid
from datacatalog.linkedstores.pipelinejob import AgaveEvents
from datacatalog.linkedstores.pipelinejob.fsm import MESSAGE_EVENTS
from manager import tapis
from manager.exceptions import InvalidMessage
from manager.explanations import explain, show
from manager.kinds import (
    AGAVE,
    ALOE,
    CLOUD,
    CREATE,
    DELETE,
    EVENT,
    EVENT_PARAMETERS,
    KINDS,
    LINEAGE,
    TAPIS,
    URL,
    fits,
    parameter,
    title,
)
from manager.settings import section_of
from reactors.exceptions import MessageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reactors.message import Parsed
    from reactors.runtime import Reactor

NO_PAYLOAD = "The message had no payload"
_DROPPED = ("_links", "retries", "localId", "token")


class Message(NamedTuple):
    """One message, whichever way it came."""

    kind: str
    uuid: str = ""
    """the job's; none yet for a create"""
    token: str | None = None
    event: str = ""
    data: Any = None
    """of an event: what the history is to keep"""
    key: str | None = None
    """of an event: what a second delivery is known by, if the message says so itself"""
    force: bool = False
    body: Mapping[str, Any] = MappingProxyType({})
    """of a create: the fields of the job; of a callback of Agave or Aloe: the post as it came"""

    def __repr__(self) -> str:
        return f"Message({self.kind!r}, uuid={self.uuid!r}, event={self.event!r})"

    @property
    def subject(self) -> str:
        """What the message is about, for the log and for errors."""
        return f"{self.event} event" if self.event else f"{self.kind} action"

    @property
    def is_callback(self) -> bool:
        """Whether Agave or Aloe reports about one of its jobs, and can be asked for more."""
        return self.kind in (ALOE, AGAVE)


def classify(rx: Reactor) -> Message:
    """Return the message that a Reactor was started for.

    Raises:
        InvalidMessage: it is of no kind; the text says what is missing or wrong for the nearest.
    """
    try:
        parsed = rx.message
    except MessageError as error:
        raise InvalidMessage(str(error)) from error
    body = parsed.value if parsed is not None and parsed.structured else None
    if isinstance(body, dict):
        rx.redact.add(body.get("token"))
        for kind in KINDS:
            if fits(kind, body):
                return _BUILDERS[kind](rx, kind, body)
    if "uuid" in rx.environ and any(parameter(rx, name) for name in EVENT_PARAMETERS):
        return _from_url(rx, parsed)
    raise InvalidMessage(explain(rx, None if parsed is None else parsed.value))


# From a body that fits a schema to a message


def _from_event(rx: Reactor, kind: str, body: dict[str, Any]) -> Message:
    return Message(
        kind,
        uuid=body["uuid"].lower(),
        token=body.get("token", rx.environ.get("token")),
        event=body["name"].lower(),
        data=body.get("data", {}),
    )


def _from_delete(rx: Reactor, kind: str, body: dict[str, Any]) -> Message:
    return Message(
        kind,
        uuid=body["uuid"].lower(),
        token=body.get("token", rx.environ.get("token")),
        force=body.get("force", False),
    )


def _from_create(rx: Reactor, kind: str, body: dict[str, Any]) -> Message:
    fields = {name: value for name, value in body.items() if name not in ("__options", "token")}
    return Message(kind, token=body.get("token", rx.environ.get("token")), body=fields)


def _from_callback(rx: Reactor, kind: str, body: dict[str, Any]) -> Message:
    event = AgaveEvents.process(body["status"])
    return Message(
        kind,
        uuid=_job_uuid(rx, f"{event} event ({title(kind)})"),
        token=rx.environ.get("token"),
        event=event,
        data={name: value for name, value in body.items() if name not in _DROPPED},
        body=body,
    )


def _from_tapis(rx: Reactor, kind: str, body: dict[str, Any]) -> Message:
    event, data, key = tapis.read(body, title(kind))
    return Message(
        kind,
        uuid=_job_uuid(rx, f"{event} event ({title(kind)})"),
        token=rx.environ.get("token"),
        event=event,
        data=data,
        key=key,
    )


def _from_cloud_event(rx: Reactor, kind: str, body: dict[str, Any]) -> Message:
    from manager import cloudevents  # noqa: PLC0415 - for such a message only

    read = cloudevents.read(body)
    token = rx.environ.get("token") if read.token is None else read.token
    return Message(kind, read.uuid, _text(token), read.event, read.data, read.key)


def _from_run_event(rx: Reactor, kind: str, body: dict[str, Any]) -> Message:
    from manager import openlineage  # noqa: PLC0415 - for such a message only

    read = openlineage.read(body, section_of(rx.settings, "openlineage").get("namespace") or "")
    token = rx.environ.get("token") if read.token is None else read.token
    uuid = read.uuid or _job_uuid(rx, f"{read.event} event ({title(kind)})")
    return Message(kind, uuid, token, read.event, read.data, read.key)


_BUILDERS = {
    EVENT: _from_event,
    DELETE: _from_delete,
    CREATE: _from_create,
    ALOE: _from_callback,
    AGAVE: _from_callback,
    CLOUD: _from_cloud_event,
    TAPIS: _from_tapis,
    LINEAGE: _from_run_event,
}


def _from_url(rx: Reactor, parsed: Parsed | None) -> Message:
    given = parameter(rx, "name") or parameter(rx, "event")
    if given:
        event = given.lower()
    else:
        event = AgaveEvents.process(parameter(rx, "status") or parameter(rx, "state"))
    if event not in MESSAGE_EVENTS:
        text = f"event: the URL names {show(event)}, which is none of {', '.join(MESSAGE_EVENTS)}"
        raise InvalidMessage(text)
    uuid = _job_uuid(rx, f"{event} event")
    token = rx.environ.get("token")
    data: Any
    if parsed is None or parsed.value == "":
        data = {}
    elif isinstance(parsed.value, dict):
        # a token is a credential wherever it stands: it counts, and is not kept
        token = parsed.value.get("token", token)
        data = {name: value for name, value in parsed.value.items() if name != "token"}
    else:
        data = {"value": parsed.value}
    data = data or {"note": rx.environ.get("note") or NO_PAYLOAD}
    return Message(URL, uuid=uuid, token=_text(token), event=event, data=data)


def _text(token: object) -> str | None:
    return token if token is None or isinstance(token, str) else ""


def _job_uuid(rx: Reactor, subject: str) -> str:
    uuid = parameter(rx, "uuid").lower()
    if not uuid:
        text = f"{subject}: the URL parameter 'uuid' is missing: add the job's uuid"
        raise InvalidMessage(text)
    if not typeduuid.validate(uuid, permissive=True) or uuid[:3] != "107":
        text = f"{subject}: the URL parameter 'uuid' is {show(uuid)}, not the uuid of a job (107…)"
        raise InvalidMessage(text)
    return uuid
