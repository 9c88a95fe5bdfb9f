"""How arguments of commands and fields of forms are parsed: ages, JSON, names of states and events."""

from __future__ import annotations

import datetime
import json
import re
import sys
from pathlib import Path
from typing import Any

import strictjson
import yamlfiles
from datacatalog.identifiers import typeduuid
from datacatalog.linkedstores.pipelinejob.fsm import MESSAGE_EVENTS, STATES
from pipelinejobs.exceptions import UsageError
from reactors import message
from reactors.exceptions import MessageError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AGE = re.compile(r"([0-9]{1,6}(?:\.[0-9]+)?)([smhdw])")
_DATE = re.compile(r"[0-9]{4}-")
_JOB = "107"
_MAX_DIGITS = 9
_FIRST_YEAR = 1970
_FORMS = ": give an object, @FILE, or - for standard input"


def moment(age: str | None) -> datetime.datetime | None:
    """Return the moment that was so long ago: `90s`, `15m`, `2h`, `3d`, `1w`; or the date and time.

    Raises:
        UsageError: it is neither, or before 1970.
    """
    if age is None:
        return None
    if _DATE.match(age.strip()):
        return date(age)
    match = _AGE.fullmatch(age.strip())
    if match is None:
        problem = (
            f"{age!r:.40} is not an age: give a number and a unit, such as 90s, 15m, 2h, 3d or 1w, "
            "or a date, such as 2030-01-31"
        )
        raise UsageError(problem)
    seconds = float(match[1]) * _UNITS[match[2]]
    now = datetime.datetime.now(datetime.timezone.utc)
    if seconds > now.timestamp():
        problem = f"{age} ago is before 1970: give a smaller number"
        raise UsageError(problem)
    return now - datetime.timedelta(seconds=seconds)


def moment_of(option: str, age: str | None) -> datetime.datetime | None:
    """Return the moment that an option of a command says.

    Raises:
        UsageError: it does not say one; the text names the option.
    """
    try:
        return moment(age)
    except UsageError as error:
        problem = f"{option}: {error}"
        raise UsageError(problem) from None


def date(text: str) -> datetime.datetime:
    """Return a date, with or without a time, in UTC, also where it names another zone or none.

    Raises:
        UsageError: it is not one, or before 1970.
    """
    try:
        # Python 3.10 does not know the Z
        found = datetime.datetime.fromisoformat(text.strip().upper().replace("Z", "+00:00"))
        utc = found.replace(tzinfo=found.tzinfo or datetime.timezone.utc).astimezone(
            datetime.timezone.utc
        )
    except (ValueError, OverflowError):
        problem = f"{text!r:.40} is not a date: give one such as 2030-01-31 or 2030-01-31T18:00"
        raise UsageError(problem) from None
    if utc.year < _FIRST_YEAR:
        problem = f"{text!r:.40} is before {_FIRST_YEAR}: no job is that old"
        raise UsageError(problem)
    return utc


def states(names: list[str]) -> tuple[str, ...]:
    """Return names of states in upper case.

    Raises:
        UsageError: there is no such state.
    """
    found = tuple(name.upper() for name in names)
    for name in found:
        if name not in STATES:
            problem = f"there is no state {name!r:.40}: use one of {', '.join(STATES)}"
            raise UsageError(problem)
    return found


def event(name: str) -> str:
    """Return the name of an event in lower case.

    Raises:
        UsageError: there is no such event.
    """
    if name.lower() not in MESSAGE_EVENTS:
        problem = f"there is no event {name!r:.40}: use one of {', '.join(MESSAGE_EVENTS)}"
        raise UsageError(problem)
    return name.lower()


def job_uuid(text: str) -> str:
    """Return the UUID of a job, which may be written as a URN, in lower case.

    Raises:
        UsageError: it is none.
    """
    uuid = typeduuid.canonical(text)
    if not typeduuid.validate(uuid, permissive=True) or not uuid.startswith(_JOB):
        problem = f"{text!r:.60} is not the uuid of a job (107…): see `pipelinejobs jobs ls`"
        raise UsageError(problem)
    return uuid


def number(text: str | None) -> int | None:
    """Return the integer that a string holds, or None if it holds none or one that is too large."""
    if text is None or not (text.isdecimal() and text.isascii() and len(text) <= _MAX_DIGITS):
        return None
    return int(text)


def json_object(text: str, name: str) -> dict[str, Any]:
    """Return the JSON object that an argument holds: itself, `@FILE`, or `-` or `@-` for standard input.

    Raises:
        UsageError: it is none.
    """
    content = text
    if text in ("-", "@-"):
        content = sys.stdin.read()
    elif text == "@":
        problem = f"{name} is '@' without the name of a file{_FORMS}"
        raise UsageError(problem)
    elif text.startswith("@"):
        try:
            content = read(Path(text[1:]))
        except UsageError as error:
            problem = f"{name}: {error}"
            raise UsageError(problem) from error
    return parsed_object(content, name, _FORMS)


def parsed_object(content: str, name: str, remedy: str = "") -> dict[str, Any]:
    """Return the JSON object that a string holds.

    Args:
        content: the text.
        name: of what it was given as.
        remedy: what the error says at its end.

    Raises:
        UsageError: it is none, or holds what JSON cannot carry.
    """
    try:
        value = message.read_json(content)
        # half of a letter
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        text = f"{name} has the surrogate {error.object[error.start]!r}, which is not a character"
        raise UsageError(text) from error
    except MessageError as error:
        text = f"{name} is not JSON ({error}){remedy}"
        raise UsageError(text) from error
    if not isinstance(value, dict):
        text = f'{name} must be a JSON object, such as {{"tacos": 3}}'
        raise UsageError(text)
    return value


def document(file: Path) -> dict[str, Any]:
    """Return the object in a file of JSON or YAML; `-` is standard input.

    Raises:
        UsageError: it holds none.
    """
    text = sys.stdin.read() if str(file) == "-" else read(file)
    try:
        is_json = text.removeprefix(strictjson.MARK).lstrip().startswith(
            "{"
        ) and not strictjson.locate(text)
        value = message.read_json(text) if is_json else yamlfiles.load(text, plain=True)
    except MessageError as error:
        problem = f"{file}: {error}"
        raise UsageError(problem) from error
    except yamlfiles.ReadingError as error:
        problem = f"{file}{error}".replace("not valid YAML", "neither JSON nor YAML")
        raise UsageError(problem) from error
    if not isinstance(value, dict):
        problem = f"{file}: does not hold an object with keys"
        raise UsageError(problem)
    return value


def read(file: Path) -> str:
    """Return the text of a file.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        problem = f"{file} cannot be read: {error.strerror}"
        raise UsageError(problem) from error
    except UnicodeDecodeError as error:
        problem = f"{file} is not UTF-8"
        raise UsageError(problem) from error
