"""The text of a body: in the charset that its header names, without a byte order mark."""

from __future__ import annotations

import codecs
from email.message import Message

from abaco.exceptions import BadRequest

_WIDE_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""In this order: that of UTF-32 begins with that of UTF-16."""
_NOT_CHARSETS = ("idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape")
"""What Python can decode as well, and no sender means."""


def in_utf8(body: bytes, content_type: str) -> bytes:
    """Return text in UTF-8 without a byte order mark; what is that already is returned as it is.

    Args:
        body: the text as it was sent.
        content_type: the header; without a `charset` in it, a byte order mark tells what it is.

    Raises:
        BadRequest: there is no such charset, or the body is not in it.
    """
    charset = charset_of(content_type)
    if not charset:
        charset = next((name for mark, name in _WIDE_MARKS.items() if body.startswith(mark)), "")
    if charset:
        body = decode(body, charset).encode()
    return body.removeprefix(codecs.BOM_UTF8)


def charset_of(content_type: str) -> str:
    """Return the charset that a header names, or an empty text."""
    if "charset" not in content_type.lower():
        return ""
    header = Message()
    header["Content-Type"] = content_type
    return header.get_content_charset("")


def decode(body: bytes, charset: str) -> str:
    """Return text that is in a charset.

    Raises:
        BadRequest: there is no such charset, or the text is not in it.
    """
    try:
        is_known = codecs.lookup(charset).name.replace("_", "-") not in _NOT_CHARSETS
        text = body.decode(charset) if is_known else None
    except LookupError:
        text = None
    except UnicodeDecodeError as error:
        place = f"{error.reason} at byte {error.start}"
        message = f"The request body is not in {charset:.40}, as its Content-Type says: {place}."
        raise BadRequest(message) from error
    except UnicodeError as error:
        # some codecs do not say where
        message = f"The request body is not in {charset:.40}, as its Content-Type says."
        raise BadRequest(message) from error
    if text is None:
        message = f"The charset {charset!r:.40} of the request body is not known."
        raise BadRequest(message)
    return text
