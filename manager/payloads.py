"""Read the data of events that comes as a string or in base64."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from datacatalog import documents
from manager.schemas import masked, show
from reactors import message
from reactors.exceptions import MessageError

BASE64 = "data_base64"
"""Where CloudEvents has data that is not JSON."""


def check_base64(event: dict[str, Any]) -> None:
    """Refuse an event whose `data_base64` is there and is not base64.

    Raises:
        MessageError: it is not.
    """
    given = event.get(BASE64)
    try:
        if given is not None:
            base64.b64decode(given, validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        problem = f"'{BASE64}' is {show(given)}, which is not base64"
        raise MessageError(problem) from error


def in_base64(event: dict[str, Any]) -> dict[str, Any]:
    """Return what `data_base64` of an event says, if it is there.

    What is not base64, and bytes that are not text, stay as they came, under that name.
    """
    given = event.get(BASE64)
    if not isinstance(given, str):
        return {}
    try:
        return in_text(message.decode(base64.b64decode(given, validate=True)))
    except (binascii.Error, ValueError):
        return {BASE64: given}


def in_text(text: str) -> dict[str, Any]:
    """Return the value of a JSON text, or the string itself if it is not valid JSON or cannot be kept."""
    if not text.strip():
        return {}
    try:
        value = message.read_json(text)
        documents.check(value, most_bytes=message.MAX_BYTES)
    except (MessageError, documents.DocumentError):
        return {"value": masked(text)}
    return as_object(value)


def as_object(value: Any) -> dict[str, Any]:
    """Return an object as it is, and any other value as an object that has it."""
    return value if isinstance(value, dict) else {"value": value}
