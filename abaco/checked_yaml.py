"""YAML files whose keys and values are checked by a schema."""

from __future__ import annotations

import difflib
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

import yamlfiles
from abaco.exceptions import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_YEAR = 366 * 86_400
TEXT = {"type": "string", "pattern": r"^[^\0]+$"}
SECONDS = {"type": "number", "exclusiveMinimum": 0, "maximum": _YEAR}


def read(file: Path) -> dict[str, Any]:
    """Read a YAML file that holds an object.

    Raises:
        SettingsError: it cannot be read.
    """
    try:
        content = yamlfiles.load(file.read_text(encoding="utf-8"), plain=True)
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not valid UTF-8"
        message = f"{file}: cannot be read: {reason}"
        raise SettingsError(message) from error
    except yamlfiles.ReadingError as error:
        message = f"{file}{error}"
        raise SettingsError(message) from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        message = f"{file}: holds a {type(content).__name__}, not keys with values"
        raise SettingsError(message)
    return content


def check(
    schema: Mapping[str, Any],
    content: Mapping[str, Any],
    file: Path,
    *,
    hidden: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Check what a file holds.

    Args:
        schema: what it may hold.
        content: as `read` returned it.
        file: for errors.
        hidden: keys whose values are not shown, each with what to do about a wrong one.

    Raises:
        SettingsError: a key or value cannot be used.
    """
    error = best_match(Draft202012Validator(schema).iter_errors(content))
    if error is None:
        return
    place = ".".join(str(part) for part in error.absolute_path) or "the file"
    for key, remedy in hidden.items():
        if key in error.absolute_path:
            raise refused(file, place, remedy)
    reason = error.message
    if error.validator == "additionalProperties":
        reason = _unknown(error.instance, error.schema)
    if error.validator == "type" and isinstance(error.instance, dict | list):
        # one of them may be below
        reason = f"is not of type {error.validator_value!r}"
    message = f"{file}: {place}: {reason:.300}"
    raise SettingsError(message)


def refused(file: Path, place: str, remedy: str) -> SettingsError:
    """Return the error of a value that is not shown."""
    return SettingsError(": ".join(filter(None, (str(file), place, "cannot be used", remedy))))


def _unknown(section: Mapping[Any, Any], schema: Mapping[str, Any]) -> str:
    """Return what is wrong with a section that has a key that means nothing."""
    known = sorted(schema.get("properties", ()))
    key = next(key for key in section if key not in known)
    near = difflib.get_close_matches(str(key), known, n=1)
    return f"there is no key {key!r}: " + (
        f"did you mean {near[0]}?" if near else f"use some of {', '.join(known)}"
    )
