"""The schemas of messages, one for each kind, and whether a body fits one."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datacatalog.identifiers import typeduuid
from reactors.logs import SHORTEST_SECRET

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from reactors.runtime import Reactor

SCHEMAS = Path(__file__).resolve().parent.parent / "schemas"
EVENT, DELETE, CREATE, ALOE, AGAVE, CLOUD, TAPIS, LINEAGE = KINDS = (
    "event",
    "delete",
    "create",
    "aloejobs",
    "agavejobs",
    "cloudevents",
    "tapisjobs",
    "openlineage",
)
"""The kinds of bodies, each the name of a schema, in the order in which they are tried."""
URL = "url"
"""The kind of a message whose body is of none of them: the URL names the job and the event."""
INDEX = "index"
FORWARDED = (INDEX, "indexed")
"""The events that an indexer may take."""
EVENT_PARAMETERS = ("name", "event", "status", "state")
_TYPES = {"string": str, "object": dict, "boolean": bool, "null": type(None)}
_PLAIN_RULES = {
    "description",
    "type",
    "enum",
    "pattern",
    "maxLength",
    "required",
    "properties",
    "additionalProperties",
}
SECRET = re.compile(r"(?<![0-9a-fA-F])[0-9a-fA-F]{16}(?![0-9a-fA-F])")
"""What looks like a token."""
MASK = "(a token)"
_MAX_VALUE = 60


def parameter(rx: Reactor, name: str) -> str:
    """Return a parameter of the URL without the blanks around it; empty where there is none."""
    return rx.environ.get(name, "").strip()


@lru_cache(maxsize=len(KINDS))
def schema_of(kind: str) -> dict[str, Any]:
    """Return the schema of a kind."""
    content: dict[str, Any] = json.loads((SCHEMAS / f"{kind}.jsonschema").read_text())
    return content


def forms_of(kind: str) -> list[dict[str, Any]]:
    """Return the schemas of which a message of a kind fits one."""
    forms: list[dict[str, Any]] = schema_of(kind).get("anyOf", [schema_of(kind)])
    return forms


def title(kind: str) -> str:
    """Return what the schema of a kind is called."""
    return str(schema_of(kind)["title"])


@lru_cache(maxsize=len(KINDS))
def validator(kind: str) -> Any:
    """Return what checks a body against the schema of a kind."""
    from reactors import schema  # noqa: PLC0415 - costs a third of an event

    return schema.load(SCHEMAS / f"{kind}.jsonschema")


def fits(kind: str, body: dict[str, Any]) -> bool:
    """Tell whether a body is a message of a kind."""
    lowered = lower(kind, body)
    # the validator is a third of an event: it decides only what these two leave open
    forms = [
        form
        for form in forms_of(kind)
        if body.keys() >= set(form["required"]) and not _surely_unfit(form, lowered)
    ]
    if not forms:
        return False
    surely = any(_surely_fits(form, lowered) for form in forms)
    return surely or bool(validator(kind).is_valid(lowered))


def _surely_fits(schema: dict[str, Any], body: dict[str, Any]) -> bool:
    """Tell whether an object fits by rules so plain that nothing is left open."""
    properties = schema.get("properties", {})
    if not body.keys() >= set(schema.get("required", ())):
        return False
    if schema.get("additionalProperties") is False and not body.keys() <= properties.keys():
        return False
    return all(_surely_valid(properties.get(name, True), value) for name, value in body.items())


def _surely_unfit(schema: dict[str, Any], body: dict[str, Any]) -> bool:
    """Tell whether a string in an object does not match its pattern."""
    rules = ((schema["properties"].get(name), value) for name, value in body.items())
    return any(
        isinstance(rule, dict)
        and isinstance(value, str)
        and not re.search(rule.get("pattern", ""), value)
        for rule, value in rules
    )


def _surely_valid(rule: Any, value: Any) -> bool:
    if rule is True:
        return True
    if not rule.keys() <= _PLAIN_RULES:
        return False
    if "type" in rule:
        types = rule["type"] if isinstance(rule["type"], list) else [rule["type"]]
        if not any(isinstance(value, _TYPES.get(name, ())) for name in types):
            return False
    if isinstance(value, dict) and not _surely_fits(rule, value):
        return False
    if isinstance(value, str) and (
        len(value) > rule.get("maxLength", len(value))
        or not re.search(rule.get("pattern", ""), value)
    ):
        return False
    return "enum" not in rule or value in rule["enum"]


def lower(kind: str, body: dict[str, Any]) -> dict[str, Any]:
    """Return the body as the schemas have it: names in lower case, UUIDs without an URN's prefix."""
    written = _WRITTEN.get(kind, {})
    return {
        name: _spell(written[name], value) if name in written else value
        for name, value in body.items()
    }


def _spell(write: Callable[[str], str], value: Any) -> Any:
    if isinstance(value, list):
        return [_spell(write, each) for each in value]
    return write(value) if isinstance(value, str) else value


def _uuid(text: str) -> str:
    # what is not a URN stays as it is: a line end does not belong to a UUID
    return typeduuid.canonical(text) if ":" in text else text.lower()


_WRITTEN: dict[str, dict[str, Callable[[str], str]]] = {
    EVENT: {"uuid": _uuid, "name": str.lower},
    DELETE: {"uuid": _uuid},
    CREATE: dict.fromkeys(("pipeline_uuid", "child_of", "acted_on", "acted_using"), _uuid),
    CLOUD: {"subject": _uuid, "type": str.lower},
}


def show(value: Any) -> str:
    """Return a value for an error, cut where it is long."""
    # a token in the wrong place is a secret all the same
    shown = SECRET.sub(MASK, repr(value)).encode(errors="replace").decode()
    return shown if len(shown) <= _MAX_VALUE else shown[:_MAX_VALUE] + "…"


def masked(text: str) -> str:
    """Return a string that was not understood without what may be tokens in an object."""
    return SECRET.sub(MASK, text) if "token" in text else text


def credentials(rx: Reactor, token: str | None) -> dict[str, str]:
    """Return what a message was let in by, each with the words that stand in its place where it is kept."""
    nonce, found = rx.environ.get("x-nonce"), {}
    if token is not None and SECRET.fullmatch(token):
        found[token] = MASK
    if nonce is not None and len(nonce) >= SHORTEST_SECRET:
        found[nonce] = "(a nonce)"
    return found


def without(secrets: Mapping[str, str], value: Any) -> Any:
    """Return a value in whose strings secrets are replaced by what stands in their place."""
    if not secrets:
        return value
    if isinstance(value, dict):
        return {name: without(secrets, member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [without(secrets, member) for member in value]
    if isinstance(value, str):
        for secret, mask in secrets.items():
            value = value.replace(secret, mask)
    return value


def is_named_in_url(rx: Reactor) -> bool:
    """Tell whether the URL names a job and an event."""
    return "uuid" in rx.environ and any(parameter(rx, name) for name in EVENT_PARAMETERS)
