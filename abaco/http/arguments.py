"""Named arguments of a request: from a JSON object, a form or the URL.

The rules are in docs/reference/abaco.md#arguments.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from python_multipart import parse_form
from python_multipart.exceptions import FormParserError

import strictjson
from abaco.exceptions import BadRequest
from abaco.http import query, texts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

MAX_INTEGER = 2**31 - 1
MAX_FIELDS = 1000
NOT_JSON = "The request body is not valid JSON: "
_TRUE = ("true", "1")
_FALSE = ("false", "0")
_MAX_DEPTH = 100
"""Of nesting; beyond some more, actors cannot read it (Python's parser), nor databases keep it."""
_FORM = "application/x-www-form-urlencoded"
_MULTIPART = "multipart/form-data"
_KINDS = {
    "text": "a string without a NUL",
    "integer": "an integer of at most 10 digits",
    "boolean": "true or false",
    "object": "a JSON object",
    "any": "a JSON value",
}


@dataclass(frozen=True)
class Argument:
    """One named argument.

    Attributes:
        kind: `text`, `integer`, `boolean`, `object` (of JSON), or `any` (checked by the endpoint).
        help: what Abaco says when it is missing or of another kind.
        choices: for the API document; the endpoint checks them.
    """

    name: str
    kind: str
    help: str
    required: bool = False
    choices: tuple[str, ...] = ()


def read_json(body: bytes) -> Any:
    """Parse JSON from outside.

    Raises:
        BadRequest: it is malformed, too deep, or says two things at once.
    """
    try:
        return strictjson.loads(body, max_depth=_MAX_DEPTH)
    except strictjson.ReadingError as error:
        reason = str(error)
    except UnicodeDecodeError as error:
        reason = f"it is not UTF-8 (byte {error.start} is 0x{error.object[error.start]:02x})"
    except json.JSONDecodeError as error:
        reason = strictjson.place_of(error)
    message = f"{NOT_JSON}{reason}."
    raise BadRequest(message)


def read_form(body: bytes, content_type: str) -> dict[str, Any]:
    """Return the named values of a form; a body of another content type has none.

    Args:
        body: the whole body, as it was sent.
        content_type: the header of that name.

    Raises:
        BadRequest: it is not what the header says it is.
    """
    kind = media_type(content_type)
    if kind not in (_FORM, _MULTIPART):
        return {}
    fields: dict[str, Any] = {}
    files = contextlib.ExitStack()
    room = iter(range(MAX_FIELDS))

    def keep(name: bytes | None, value: bytes | None) -> None:
        if next(room, None) is None:
            raise ValueError
        fields.setdefault((name or b"").decode(), (value or b"").decode("utf-8-sig"))

    def keep_file(file: Any) -> None:
        file.file_object.seek(0)
        keep(file.field_name, file.file_object.read())
        # the parser still needs it
        files.callback(file.close)

    try:
        if kind == _FORM:
            charset = texts.charset_of(content_type)
            body = body.removeprefix(codecs.BOM_UTF8)
            for name, value in query.read(body, most=MAX_FIELDS, what="form", charset=charset):
                fields.setdefault(name, value)
        else:
            headers = {
                "Content-Type": content_type.encode(),
                "Content-Length": str(len(body)).encode(),
            }
            with files:
                parse_form(
                    headers,
                    io.BytesIO(body),
                    lambda field: keep(field.field_name, field.value),
                    keep_file,
                )
    except (FormParserError, ValueError):
        message = "The form in the request body cannot be read: it is malformed."
        raise BadRequest(message) from None
    return fields


def media_type(content_type: str) -> str:
    """Return `application/json` of `application/json; charset=utf-8`."""
    return content_type.partition(";")[0].strip().lower()


def is_json(kind: str) -> bool:
    """Tell whether a media type is JSON, also of a special kind (`application/*json`)."""
    return kind.startswith("application/") and kind.endswith("json")


def find(content: Any, name: str, places: Mapping[str, Iterable[tuple[str, ...]]]) -> list[Any]:
    """Return the values of a name in a JSON value: under that key, and elsewhere.

    Args:
        content: what is looked into.
        name: the key.
        places: by name, where else they may be: the keys that lead there.
    """
    found = []
    for path in ((name,), *places.get(name, ())):
        value = content
        for key in path:
            if not isinstance(value, dict):
                value = None
                break
            value = value.get(key)
        if value is not None:
            found.append(value)
    return found


def collect(
    arguments: Sequence[Argument],
    fields: Mapping[str, Any],
    parameters: Mapping[str, str],
    thing: str,
    spell: Callable[[str], str] = str,
) -> dict[str, Any]:
    """Return the values of the arguments that were given, each of its kind.

    Args:
        arguments: what the endpoint takes; other fields are ignored.
        fields: of the body, they win.
        parameters: of the URL.
        thing: what is described, for the error.
        spell: returns the name by which an argument is sent.

    Raises:
        BadRequest: an argument is missing or of another kind.
    """
    values: dict[str, Any] = {}
    for argument in arguments:
        name = spell(argument.name)
        if name != argument.name and (argument.name in fields or argument.name in parameters):
            # left out, a limit would be none
            message = f"Invalid {thing} description: {argument.name} is spelled {name} here."
            raise BadRequest(message)
        given = fields.get(name)
        if given is None:
            given = parameters.get(name)
        if given is None:
            if argument.required:
                raise _invalid(thing, {name: argument.help})
            continue
        try:
            values[argument.name] = _convert(argument.kind, given)
        except (ValueError, TypeError, OverflowError, BadRequest) as error:
            wrong = f" {name} must be {_KINDS[argument.kind]}, not {_kind_of(given)}."
            if isinstance(error, BadRequest):
                wrong = f" {name}: {str(error).replace(NOT_JSON, 'not valid JSON: ')}"
            raise _invalid(thing, {name: argument.help}, wrong) from None
    return values


def _kind_of(given: Any) -> str:
    """Return what a value is, in the words of JSON; its sender knows what it says."""
    if isinstance(given, bool) or given is None:
        return str(given).lower()
    if isinstance(given, dict | list):
        return "an object" if isinstance(given, dict) else "a list"
    return "this string" if isinstance(given, str) else "this number"


def _invalid(thing: str, helps: dict[str, str], wrong: str = "") -> BadRequest:
    return BadRequest(f"Invalid {thing} description: {helps}{wrong}")


def _convert(kind: str, given: Any) -> Any:
    if kind == "text":
        if isinstance(given, dict | list):
            raise TypeError
        text = str(given)
        text.encode()
        if "\0" in text:
            raise ValueError
        return text
    if kind == "integer":
        return _to_integer(given)
    if kind == "boolean":
        return _to_boolean(given)
    if kind == "object":
        value = read_json(given.encode()) if isinstance(given, str) else given
        if not isinstance(value, dict):
            raise TypeError
        return value
    return given


def _to_integer(given: Any) -> int:
    if isinstance(given, bool) or not isinstance(given, int | str):
        raise TypeError
    number = int(given)
    if abs(number) > MAX_INTEGER:
        raise OverflowError
    return number


def _to_boolean(given: Any) -> bool:
    text = str(given).lower()
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError
