"""What is wrong with a message of no kind."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from datacatalog.linkedstores.pipelinejob.fsm import MESSAGE_EVENTS
from manager.kinds import (
    AGAVE,
    ALOE,
    CREATE,
    DELETE,
    EVENT,
    EVENT_PARAMETERS,
    lower,
    parameter,
    schema_of,
    title,
    validator,
)

if TYPE_CHECKING:
    from reactors.runtime import Reactor

_LONGEST_VALUE = 60
_TOKEN = re.compile(r"(?<![0-9a-fA-F])[0-9a-fA-F]{16}(?![0-9a-fA-F])")


def explain(rx: Reactor, value: Any) -> str:
    """Return what is missing or wrong in a message, for the nearest kind."""
    event_parameter = next((name for name in EVENT_PARAMETERS if parameter(rx, name)), None)
    if isinstance(value, dict) and (kind := _nearest(value)) is not None:
        problem = _problem(kind, value)
        if problem == "'uuid' is missing" and parameter(rx, "uuid"):
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
    return title(kind) if kind in (ALOE, AGAVE) else f"{kind} action"


def _problem(kind: str, body: dict[str, Any]) -> str:
    required = schema_of(kind)["required"]
    missing = [name for name in required if name not in body]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        return f"{', '.join(map(repr, missing))} {verb} missing"
    errors = sorted(
        validator(kind).iter_errors(lower(kind, body)), key=lambda error: str(error.path)
    )
    error = errors[0]
    properties = schema_of(kind)["properties"]
    if error.validator == "additionalProperties":
        unknown = next(name for name in body if name not in properties)
        return f"{show(unknown)} is no key of it: its keys are {', '.join(properties)}"
    place = ".".join(map(str, error.path))
    expected = properties.get(str(error.path[0]), {}).get("description", "something else")
    if error.validator == "enum":
        expected = f"one of {', '.join(error.validator_value)}"
    if error.validator == "type":
        wanted = error.validator_value
        names = ", ".join(wanted) if isinstance(wanted, list) else wanted
        return f"'{place}' is {_type(error.instance)}, expected: {names}"
    return f"'{place}' is {show(error.instance)}, expected: {expected}"


def _type(value: Any) -> str:
    names = {dict: "an object", list: "an array", str: "a text", bool: "true or false"}
    if value is None:
        return "null"
    return names.get(type(value), "a number")


def show(value: Any) -> str:
    """Return a value for an error, cut where it is long."""
    # a token in the wrong place is a secret all the same
    shown = _TOKEN.sub("(a token)", repr(value)).encode(errors="replace").decode()
    return shown if len(shown) <= _LONGEST_VALUE else shown[:_LONGEST_VALUE] + "…"
