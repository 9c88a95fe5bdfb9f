"""What kind of message it is (spec: actor, section 2)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datacatalog.identifiers import typeduuid
from datacatalog.linkedstores.pipelinejob import AgaveEvents
from datacatalog.linkedstores.pipelinejob.fsm import MESSAGE_EVENTS
from manager.exceptions import InvalidMessage
from reactors.exceptions import MessageError

if TYPE_CHECKING:
    from reactors.message import Parsed
    from reactors.runtime import Reactor

SCHEMAS = Path(__file__).resolve().parent.parent / "schemas"
EVENT, DELETE, CREATE, ALOE, AGAVE, URL = (
    "event",
    "delete",
    "create",
    "aloejobs",
    "agavejobs",
    "url",
)
"""The kinds; all but the last are names of schemas, in the order in which they are tried."""
KINDS = (EVENT, DELETE, CREATE, ALOE, AGAVE)
EVENT_PARAMETERS = ("name", "event", "status", "state")
NO_PAYLOAD = "The message had no payload"
_DROPPED = ("_links", "retries", "localId", "token")
_LONGEST_VALUE = 60
_TOKEN = re.compile(r"(?<![0-9a-fA-F])[0-9a-fA-F]{16}(?![0-9a-fA-F])")


@dataclass(frozen=True)
class Message:
    """One message, whichever way it came."""

    kind: str
    uuid: str = ""
    """the job's; none yet for a create"""
    token: str | None = field(default=None, repr=False)
    event: str = ""
    data: Any = None
    """of an event: what the history is to keep"""
    force: bool = False
    body: dict[str, Any] = field(default_factory=dict, repr=False)
    """of a create: the fields of the job; of a callback: the post as it came"""

    @property
    def subject(self) -> str:
        """What the message is about, for the log and for errors."""
        return f"{self.event} event" if self.event else f"{self.kind} action"

    @property
    def is_callback(self) -> bool:
        """Whether a platform reports about one of its own jobs."""
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
            if _fits(kind, body):
                return _BUILDERS[kind](rx, kind, body)
    if "uuid" in rx.environ and any(_parameter(rx, name) for name in EVENT_PARAMETERS):
        return _from_url(rx, parsed)
    raise InvalidMessage(_explain(rx, None if parsed is None else parsed.value))


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
        uuid=_job_uuid(rx, f"{event} event ({_title(kind)})"),
        token=rx.environ.get("token"),
        event=event,
        data={name: value for name, value in body.items() if name not in _DROPPED},
        body=body,
    )


_BUILDERS = {
    EVENT: _from_event,
    DELETE: _from_delete,
    CREATE: _from_create,
    ALOE: _from_callback,
    AGAVE: _from_callback,
}


def _from_url(rx: Reactor, parsed: Parsed | None) -> Message:
    given = _parameter(rx, "name") or _parameter(rx, "event")
    if given:
        event = given.lower()
    else:
        event = AgaveEvents.process(_parameter(rx, "status") or _parameter(rx, "state"))
    if event not in MESSAGE_EVENTS:
        text = f"event: the URL names {_show(event)}, which is none of {', '.join(MESSAGE_EVENTS)}"
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


def _parameter(rx: Reactor, name: str) -> str:
    return rx.environ.get(name, "").strip()


def _text(token: object) -> str | None:
    return token if token is None or isinstance(token, str) else ""


def _job_uuid(rx: Reactor, subject: str) -> str:
    uuid = _parameter(rx, "uuid").lower()
    if not uuid:
        text = f"{subject}: the URL parameter 'uuid' is missing: add the job's uuid"
        raise InvalidMessage(text)
    if not typeduuid.validate(uuid, permissive=True) or uuid[:3] != "107":
        text = f"{subject}: the URL parameter 'uuid' is {_show(uuid)}, not the uuid of a job (107…)"
        raise InvalidMessage(text)
    return uuid


# Schemas


@lru_cache(maxsize=len(KINDS))
def _schema(kind: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((SCHEMAS / f"{kind}.jsonschema").read_text())
    return content


def _title(kind: str) -> str:
    return str(_schema(kind)["title"])


@lru_cache(maxsize=len(KINDS))
def _validator(kind: str) -> Any:
    from reactors import schema  # noqa: PLC0415 - costs a third of an event

    return schema.load(SCHEMAS / f"{kind}.jsonschema")


def _fits(kind: str, body: dict[str, Any]) -> bool:
    schema, lowered = _schema(kind), _lower(kind, body)
    # the validator is a third of an event: it decides only what these two leave open
    if not body.keys() >= set(schema["required"]):
        return False
    return _surely_fits(schema, lowered) or bool(_validator(kind).is_valid(lowered))


def _surely_fits(schema: dict[str, Any], body: dict[str, Any]) -> bool:
    """Tell whether a body with all required keys fits by rules so plain that none is left open."""
    properties = schema["properties"]
    if schema["additionalProperties"] is False and not body.keys() <= properties.keys():
        return False
    return all(_surely_valid(properties.get(name, True), value) for name, value in body.items())


def _surely_valid(rule: Any, value: Any) -> bool:
    if rule is True:
        return True
    if not rule.keys() <= {"description", "type", "enum", "pattern", "maxLength"}:
        return False
    expected = {"string": str, "object": dict, "boolean": bool}.get(str(rule["type"]))
    if expected is None or not isinstance(value, expected):
        return False
    if isinstance(value, str) and (
        len(value) > rule.get("maxLength", len(value))
        or not re.search(rule.get("pattern", ""), value)
    ):
        return False
    return "enum" not in rule or value in rule["enum"]


def _lower(kind: str, body: dict[str, Any]) -> dict[str, Any]:
    """Return the body with what is case-insensitive in lower case, as the schemas have it."""
    insensitive = ("uuid", "name") if kind in (EVENT, DELETE) else ()
    return {
        name: value.lower() if name in insensitive and isinstance(value, str) else value
        for name, value in body.items()
    }


# What is wrong with a message of no kind


def _explain(rx: Reactor, value: Any) -> str:
    event_parameter = next((name for name in EVENT_PARAMETERS if _parameter(rx, name)), None)
    if isinstance(value, dict) and (kind := _nearest(value)) is not None:
        problem = _problem(kind, value)
        if problem == "'uuid' is missing" and _parameter(rx, "uuid"):
            problem += " in the body; with the uuid in the URL, name the event there as well"
        return f"{_subject(kind, value)}: {problem}"
    if event_parameter is not None:
        return "event: the URL parameter 'uuid' is missing: add the job's uuid"
    if rx.environ.get("uuid"):
        return (
            "event: 'name' is missing: add it to the body, or to the URL one of name, event, status"
        )
    if value is None:
        return 'the message is empty: send an event such as {"uuid": …, "name": "run", "token": …}'
    if isinstance(value, str):
        return (
            "the message is neither JSON nor a Python literal, and the URL names no job and event"
        )
    if not isinstance(value, dict):
        return f"the message is {_type(value)}, not an object, and the URL names no job and event"
    return "the message is of no known kind: see message.jsonschema for what it may have"


def _nearest(body: dict[str, Any]) -> str | None:
    for kind, keys in (
        (DELETE, ("action",)),
        (CREATE, ("pipeline_uuid", "archive_path")),
        (ALOE, ("tenantId", "tenantQueue")),
        (AGAVE, ("appId", "executionSystem", "archiveSystem")),
        (EVENT, ("name", "uuid", "token")),
    ):
        if any(key in body for key in keys):
            return kind
    return None


def _subject(kind: str, body: dict[str, Any]) -> str:
    if kind == EVENT:
        name = str(body.get("name", "")).lower()
        return f"{name} event" if name in MESSAGE_EVENTS else "event"
    return _title(kind) if kind in (ALOE, AGAVE) else f"{kind} action"


def _problem(kind: str, body: dict[str, Any]) -> str:
    required = _schema(kind)["required"]
    missing = [name for name in required if name not in body]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        return f"{', '.join(map(repr, missing))} {verb} missing"
    errors = sorted(
        _validator(kind).iter_errors(_lower(kind, body)), key=lambda error: str(error.path)
    )
    error = errors[0]
    properties = _schema(kind)["properties"]
    if error.validator == "additionalProperties":
        unknown = next(name for name in body if name not in properties)
        return f"{_show(unknown)} is no key of it: its keys are {', '.join(properties)}"
    place = ".".join(map(str, error.path))
    expected = properties.get(str(error.path[0]), {}).get("description", "something else")
    if error.validator == "enum":
        expected = f"one of {', '.join(error.validator_value)}"
    if error.validator == "type":
        wanted = error.validator_value
        names = ", ".join(wanted) if isinstance(wanted, list) else wanted
        return f"'{place}' is {_type(error.instance)}, expected: {names}"
    return f"'{place}' is {_show(error.instance)}, expected: {expected}"


def _type(value: Any) -> str:
    names = {dict: "an object", list: "an array", str: "a text", bool: "true or false"}
    if value is None:
        return "null"
    return names.get(type(value), "a number")


def _show(value: Any) -> str:
    # a token in the wrong place is a secret all the same
    shown = _TOKEN.sub("(a token)", repr(value)).encode(errors="replace").decode()
    return shown if len(shown) <= _LONGEST_VALUE else shown[:_LONGEST_VALUE] + "…"
