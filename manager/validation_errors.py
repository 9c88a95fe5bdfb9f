"""The error of a message that fits no schema: what is missing or wrong, for the nearest kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import strictjson
from datacatalog.linkedstores.pipelinejob.fsm import MESSAGE_EVENTS
from manager.schemas import (
    AGAVE,
    ALOE,
    CLOUD,
    CREATE,
    DELETE,
    EVENT,
    EVENT_PARAMETERS,
    LINEAGE,
    TAPIS,
    forms_of,
    lower,
    parameter,
    show,
    title,
    validator,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reactors.runtime import Reactor


def explain(rx: Reactor, value: Any) -> str:
    """Return what is missing or wrong in a message, for the nearest kind."""
    event_parameter = next((name for name in EVENT_PARAMETERS if parameter(rx, name)), None)
    action = value.get("action") if isinstance(value, dict) else None
    if isinstance(action, str) and action != "delete":
        return (
            f"{show(action)} is not an action: the only one is delete;"
            " to create a job, leave 'action' out, and to report an event, say it in 'name'"
        )
    if isinstance(value, dict) and (kind := _nearest(value)) is not None:
        problem = _problem(kind, value)
        if problem == "'uuid' is missing" and parameter(rx, "uuid"):
            problem += " in the body; with the uuid in the URL, name the event there as well"
        return f"{_subject(kind, value)}: {problem}"
    if event_parameter is not None:
        return "event: the URL parameter 'uuid' is missing: add the job's uuid"
    has_uuid = bool(rx.environ.get("uuid"))
    if has_uuid and (value is None or isinstance(value, dict)):
        return (
            "event: 'name' is missing: add it to the body, or to the URL one of name, event, status"
        )
    if value is None:
        return 'the message is empty: send an event such as {"uuid": …, "name": "run", "token": …}'
    if isinstance(value, list) and any(
        isinstance(each, dict) and "specversion" in each for each in value
    ):
        return "the message is a batch of events: post them one by one"
    named = "no event: add one of name, event, status" if has_uuid else "no job and event"
    if isinstance(value, str):
        place = strictjson.locate(value)
        reason = f" ({place})" if place else ""
        return f"the message is not valid JSON{reason}, and the URL names {named}"
    if not isinstance(value, dict):
        return f"the message is {_type(value)}, not an object, and the URL names {named}"
    return "the message is of no known kind: see message.jsonschema for what it may have"


def is_report(body: dict[str, Any]) -> bool:
    """Tell whether a body is what a platform reports about a job, well formed or not."""
    return _nearest(body) in (ALOE, AGAVE, TAPIS)


def _nearest(body: dict[str, Any]) -> str | None:
    for kind, keys in (
        (DELETE, ("action",)),
        (CREATE, ("pipeline_uuid", "archive_path")),
        (ALOE, ("tenantId", "tenantQueue")),
        (AGAVE, ("appId", "executionSystem", "archiveSystem", "archivePath")),
        (TAPIS, ("eventUuid", "deliveryTarget", "subscriptionName")),
        (_cloud_event_of(body), ("specversion",)),
        (LINEAGE, ("eventType", "eventTime")),
        (EVENT, ("name", "uuid", "token")),
    ):
        if any(key in body for key in keys):
            return kind
    return None


def _cloud_event_of(body: dict[str, Any]) -> str:
    """Return the kind of an event in the form of CloudEvents: of Tapis, or of anybody else."""
    is_of_tapis = str(body.get("type", "jobs.")).startswith("jobs.")
    return TAPIS if is_of_tapis and not str(body.get("subject")).startswith("107") else CLOUD


def _subject(kind: str, body: dict[str, Any]) -> str:
    if kind == EVENT:
        name = str(body.get("name", "")).lower()
        return f"{name} event" if name in MESSAGE_EVENTS else "event"
    return title(kind) if kind in (ALOE, AGAVE, CLOUD, TAPIS, LINEAGE) else f"{kind} action"


def _problem(kind: str, body: dict[str, Any]) -> str:
    # of several forms the one that most of it is there of
    form = max(forms_of(kind), key=lambda form: len(body.keys() & set(form["required"])))
    missing = [name for name in form["required"] if name not in body]
    if missing:
        return _missing(missing)
    checked = validator(kind).evolve(schema=form)
    errors = sorted(checked.iter_errors(lower(kind, body)), key=lambda error: str(error.path))
    error = errors[0]
    properties = form["properties"]
    if error.validator == "additionalProperties":
        unknown = next(name for name in body if name not in properties)
        return f"{show(unknown)} is not one of its keys: {', '.join(properties)}"
    place = ".".join(map(str, error.path))
    if error.validator == "required":
        absent = [name for name in error.validator_value if name not in error.instance]
        return _missing([f"{place}.{name}" for name in absent])
    expected = _rule(form, error.path).get("description", "something else")
    if error.validator == "enum":
        expected = f"one of {', '.join(error.validator_value)}"
    if error.validator == "type":
        wanted = error.validator_value
        names = ", ".join(wanted) if isinstance(wanted, list) else wanted
        return f"'{place}' is {_type(error.instance)}, expected: {names}"
    return f"'{place}' is {show(error.instance)}, expected: {expected}"


def _missing(names: list[str]) -> str:
    verb = "is" if len(names) == 1 else "are"
    return f"{', '.join(map(repr, names))} {verb} missing"


def _rule(schema: dict[str, Any], path: Iterable[Any]) -> dict[str, Any]:
    """Return the innermost schema of an object's member that a path leads through."""
    for part in path:
        inner = schema.get("properties", {}).get(part)
        if not isinstance(inner, dict):
            break
        schema = inner
    return schema


def _type(value: Any) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "true or false"}
    if value is None:
        return "null"
    return names.get(type(value), "a number")
