"""Named values in a URL or a form: as they were sent, or refused by name."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from abaco.exceptions import BadRequest
from abaco.http import texts


def read(text: bytes, *, most: int, what: str, charset: str = "") -> list[tuple[str, str]]:
    """Return names and values in their order.

    Args:
        text: of the form `name=value&name=value`.
        most: how many there may be.
        what: where they are, for the error.
        charset: of the names and values, by default UTF-8.

    Raises:
        BadRequest: there are too many, or one cannot be kept as it was sent.
    """
    fields = [field for field in text.split(b"&") if field]
    if len(fields) > most:
        message = f"The {what} has more than {most} parameters."
        raise BadRequest(message)
    return [_read(field, what, charset) for field in fields]


def refused(name: str, what: str, reason: str) -> BadRequest:
    """Return the refusal of a parameter, which does not repeat its value."""
    return BadRequest(f"The parameter {name!r:.60} in the {what} {reason}.")


def _read(field: bytes, what: str, charset: str) -> tuple[str, str]:
    parts = field.replace(b"+", b" ").partition(b"=")
    name, value = unquote_to_bytes(parts[0]), unquote_to_bytes(parts[2])
    try:
        if charset:
            pair = texts.decode(name, charset), texts.decode(value, charset)
        else:
            pair = name.decode(), value.decode()
    except UnicodeDecodeError:
        raise refused(name.decode(errors="backslashreplace"), what, "is not UTF-8") from None
    if "\0" in "".join(pair):
        raise refused(pair[0], what, "has a NUL")
    return pair
