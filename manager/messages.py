"""From what the platform has passed to a message of one kind."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from datacatalog.identifiers import typeduuid
from datacatalog.linkedstores.pipelinejob import AgaveEvents
from manager.exceptions import InvalidMessage, UnreadableReport
from manager.schemas import (
    AGAVE,
    ALOE,
    CLOUD,
    CREATE,
    DELETE,
    EVENT,
    KINDS,
    LINEAGE,
    TAPIS,
    URL,
    credentials,
    fits,
    is_named_in_url,
    lower,
    parameter,
    show,
    title,
    without,
)
from manager.settings import section_of
from reactors.exceptions import MessageError
from reactors.message import NOTHING

if TYPE_CHECKING:
    import datetime
    from collections.abc import Mapping

    from reactors.message import Parsed
    from reactors.runtime import Reactor

NEVER_KEPT = ("token", "deliveryTarget")
"""Of what a platform reports: credentials, and the URL that has them in it."""
_DROPPED = ("_links", "retries", "localId", *NEVER_KEPT)


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
    happened: datetime.datetime | None = None
    """of an event: when, if the message says so itself"""
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
    """Return the message that a Reactor was started for; of its token and nonce, its data keeps nothing.

    Raises:
        InvalidMessage: it is of no kind; the text says what is missing or wrong for the nearest.
    """
    message = _read(rx)
    return message._replace(data=without(credentials(rx, message.token), message.data))


def _read(rx: Reactor) -> Message:
    try:
        parsed = rx.message
    except MessageError as error:
        if is_named_in_url(rx):
            return _from_url(rx, None, readable=False)
        raise InvalidMessage(str(error)) from error
    body = parsed.value if parsed is not None and parsed.structured else None
    if isinstance(body, dict):
        rx.redact.add(body.get("token"))
        for kind in KINDS:
            if fits(kind, body):
                # of what others have defined, the history keeps what they wrote
                ours = kind in (EVENT, DELETE, CREATE)
                return _BUILDERS[kind](rx, kind, lower(kind, body) if ours else body)
    if is_named_in_url(rx):
        return _from_url(rx, parsed)
    from manager.validation_errors import explain, is_report  # noqa: PLC0415 - for a refusal only

    text = explain(rx, None if parsed is None else parsed.value)
    if isinstance(body, dict) and is_report(body):
        raise UnreadableReport(text, body)
    raise InvalidMessage(text)


# From a body that fits a schema to a message


def _from_event(rx: Reactor, kind: str, body: dict[str, Any]) -> Message:
    return Message(
        kind,
        uuid=body["uuid"],
        token=body.get("token", rx.environ.get("token")),
        event=body["name"],
        data=body.get("data", {}),
    )


def _from_delete(rx: Reactor, kind: str, body: dict[str, Any]) -> Message:
    return Message(
        kind,
        uuid=body["uuid"],
        token=body.get("token", rx.environ.get("token")),
        force=body.get("force", False),
    )


def _from_create(rx: Reactor, kind: str, body: dict[str, Any]) -> Message:
    fields = {name: value for name, value in body.items() if name not in ("__options", "token")}
    return Message(kind, token=body.get("token", rx.environ.get("token")), body=fields)


def _from_callback(rx: Reactor, kind: str, body: dict[str, Any]) -> Message:
    event = AgaveEvents.process(body["status"])
    if not AgaveEvents.knows(body["status"]):
        rx.logger.warning("%s event: the status %s is not known", event, show(body["status"]))
    return Message(
        kind,
        uuid=_job_uuid(rx, f"{event} event ({title(kind)})"),
        token=rx.environ.get("token"),
        event=event,
        data={name: value for name, value in body.items() if name not in _DROPPED},
        body=body,
    )


def _from_tapis(rx: Reactor, kind: str, body: dict[str, Any]) -> Message:
    from manager import tapis  # noqa: PLC0415 - for such a message only

    event, data, key, happened = tapis.read(body)
    return Message(
        kind,
        uuid=_job_uuid(rx, f"{event} event ({title(kind)})"),
        token=rx.environ.get("token"),
        event=event,
        data=data,
        key=key,
        happened=happened,
    )


def _from_cloud_event(rx: Reactor, kind: str, body: dict[str, Any]) -> Message:
    from manager import cloudevents  # noqa: PLC0415 - for such a message only

    try:
        read = cloudevents.read(body)
    except MessageError as error:
        text = f"{title(kind)}: {error}"
        raise InvalidMessage(text) from error
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


def _from_url(rx: Reactor, parsed: Parsed | None, *, readable: bool = True) -> Message:
    from manager import url_events  # noqa: PLC0415 - for such a message only

    try:
        event = url_events.read(rx, (parsed or NOTHING) if readable else None)
    except MessageError as error:
        raise InvalidMessage(str(error)) from error
    uuid = _job_uuid(rx, f"{event.name} event")
    return Message(URL, uuid=uuid, token=_text(event.token), event=event.name, data=event.data)


def _text(token: object) -> str | None:
    return token if token is None or isinstance(token, str) else ""


def _job_uuid(rx: Reactor, subject: str) -> str:
    uuid = typeduuid.canonical(parameter(rx, "uuid"))
    if not uuid:
        text = f"{subject}: the URL parameter 'uuid' is missing: add the job's uuid"
        raise InvalidMessage(text)
    if not typeduuid.validate(uuid, permissive=True) or uuid[:3] != "107":
        from manager import url_events  # noqa: PLC0415 - for a refusal only

        url_events.refuse_template(rx, "uuid")
        text = f"{subject}: the URL parameter 'uuid' is {show(uuid)}, not the uuid of a job (107…)"
        raise InvalidMessage(text)
    return uuid
