"""Values that arguments are given as: ages, JSON, names of states and events."""

from __future__ import annotations

import datetime
import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

from datacatalog.identifiers import typeduuid
from datacatalog.linkedstores.pipelinejob.fsm import MESSAGE_EVENTS, STATES
from pipelinejobs.exceptions import UsageError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AGE = re.compile(r"([0-9]{1,6}(?:\.[0-9]+)?)([smhdw])")
_JOB = "107"
_MOST_DIGITS = 9


def at(value: object, *names: str) -> object:
    """Return what is so deep in a document, or None."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def moment(age: str | None) -> datetime.datetime | None:
    """Return the moment that was so long ago: `90s`, `15m`, `2h`, `3d`, `1w`.

    Raises:
        UsageError: it is not an age.
    """
    if age is None:
        return None
    match = _AGE.fullmatch(age.strip())
    if match is None:
        message = (
            f"{age!r:.40} is not an age: give a number and a unit, such as 90s, 15m, 2h, 3d or 1w"
        )
        raise UsageError(message)
    seconds = float(match[1]) * _UNITS[match[2]]
    try:
        return datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=seconds)
    except OverflowError:
        message = f"{age} ago is before the calendar begins: give a smaller number"
        raise UsageError(message) from None


def states(names: list[str]) -> tuple[str, ...]:
    """Return names of states in upper case.

    Raises:
        UsageError: there is no such state.
    """
    found = tuple(name.upper() for name in names)
    for name in found:
        if name not in STATES:
            message = f"there is no state {name!r:.40}: use one of {', '.join(STATES)}"
            raise UsageError(message)
    return found


def event(name: str) -> str:
    """Return the name of an event in lower case.

    Raises:
        UsageError: there is no such event.
    """
    if name.lower() not in MESSAGE_EVENTS:
        message = f"there is no event {name!r:.40}: use one of {', '.join(MESSAGE_EVENTS)}"
        raise UsageError(message)
    return name.lower()


def job_uuid(text: str) -> str:
    """Return the UUID of a job in lower case.

    Raises:
        UsageError: it is none.
    """
    uuid = text.strip().lower()
    if not typeduuid.validate(uuid, permissive=True) or not uuid.startswith(_JOB):
        message = f"{text!r:.60} is not the uuid of a job (107…): see `pipelinejobs jobs ls`"
        raise UsageError(message)
    return uuid


def number(text: str | None) -> int | None:
    """Return the whole number that a text is, or None if it is none that anybody means."""
    is_one = text is not None and text.isdecimal() and text.isascii() and len(text) <= _MOST_DIGITS
    return int(text) if text is not None and is_one else None


def json_object(text: str, name: str) -> dict[str, Any]:
    """Return the JSON object that an argument holds: itself, `@FILE`, or `-` for standard input.

    Raises:
        UsageError: it is none.
    """
    content = text
    if text == "-":
        content = sys.stdin.read()
    elif text.startswith("@"):
        content = read(Path(text[1:]))
    return parsed_object(content, name, ": give an object, @FILE, or - for standard input")


def parsed_object(content: str, name: str, remedy: str = "") -> dict[str, Any]:
    """Return the JSON object that a text is.

    Args:
        content: the text.
        name: of what it was given as.
        remedy: what the error says at its end.

    Raises:
        UsageError: it is none, or holds what JSON cannot carry.
    """
    try:
        value = json.loads(content, parse_constant=_no_constant)
        # what is too large for a number, and half of a letter
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        message = f"{name} has the surrogate {error.object[error.start]!r}, which is no character"
        raise UsageError(message) from error
    except (ValueError, RecursionError) as error:
        reason = getattr(error, "msg", str(error)) if isinstance(error, ValueError) else "too deep"
        message = f"{name} is not JSON ({reason}){remedy}"
        raise UsageError(message) from error
    if not isinstance(value, dict):
        message = f'{name} must be a JSON object, such as {{"tacos": 3}}'
        raise UsageError(message)
    return value


def _no_constant(name: str) -> Any:
    message = f"{name} is not a JSON number"
    raise ValueError(message)


def document(file: Path) -> dict[str, Any]:
    """Return the object in a file of JSON or YAML; `-` is standard input.

    Raises:
        UsageError: it holds none.
    """
    text = sys.stdin.read() if str(file) == "-" else read(file)
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        message = f"{file}{place}: neither JSON nor YAML"
        raise UsageError(message) from error
    if not isinstance(value, dict):
        message = f"{file}: holds no object with keys"
        raise UsageError(message)
    return value


def read(file: Path) -> str:
    """Return the text of a file.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        message = f"{file} cannot be read: {error.strerror}"
        raise UsageError(message) from error
    except UnicodeDecodeError as error:
        message = f"{file} is not UTF-8"
        raise UsageError(message) from error
