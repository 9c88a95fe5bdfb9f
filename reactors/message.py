"""From the text of a message to its value.

The platform hands a JSON body over as the Python repr of the value, and text as it came. What it
declares as text stays text, but for objects: text that holds one is a message in JSON, or, since
Abaco writes an object in the argument `message` so, its repr. All of it is untrusted: it is parsed,
never evaluated, and what the parsers could choke on (depth, endless numbers) is refused.
"""

from __future__ import annotations

import codecs
import json
import re
from json.encoder import encode_basestring
from typing import Any, NamedTuple

import strictjson
from reactors.exceptions import MessageError

MAX_BYTES = 8 * 1024 * 1024
MAX_REPR_BYTES = 3 * 1024 * 1024
"""1 MiB of JSON is 2.5 MiB at most as a repr, which escapes what cannot be printed."""
MAX_DEPTH = 64
JSON, TEXT, BINARY = "application/json", "str", "application/octet-stream"
"""What the platform says that a message is."""

# What `repr` writes in another way than JSON: strings, constants; and what neither of them writes
_TOKEN = re.compile(
    r"""(?P<text> '[^'\\\n]*(?:\\.[^'\\\n]*)*' | "[^"\\\n]*(?:\\.[^"\\\n]*)*" )
    | (?P<word> (?<![\w.])[^\W\d]\w* )
    | ['"\\]
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([nrt\\'\"])|)")
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", "'": "'", '"': '"'}
_CONSTANTS = {"True": "true", "False": "false", "None": "null"}


class Parsed(NamedTuple):
    """What a message is."""

    value: Any
    structured: bool
    """False if the message is text"""


NOTHING = Parsed("", structured=False)
"""What is there where no message is."""


def parse(text: str, declared: str = JSON) -> Parsed:
    """Return what a message is: a value, or the text without a byte order mark.

    Args:
        text: the message.
        declared: of a `TEXT`, only an object is read, of `BINARY` an object or array, in JSON.

    Raises:
        MessageError: it is too large or too deep, has a number beyond all bounds, or says two
            things at once.
    """
    text = text.removeprefix(strictjson.MARK)
    size = len(text.encode(errors="surrogatepass"))
    if size > MAX_BYTES:
        message = f"the message is larger than {MAX_BYTES:,} bytes"
        raise MessageError(message)
    begin = text.lstrip()[:1]
    if begin not in _READ.get(declared, begin):
        return Parsed(text, structured=False)
    try:
        return _loads(text)
    except json.JSONDecodeError:
        pass
    if declared != BINARY and size <= MAX_REPR_BYTES:
        try:
            return _loads(_TOKEN.sub(_to_json, text))
        except MessageError:
            raise
        except ValueError:
            pass
    if size > MAX_REPR_BYTES and begin in ("{", "["):
        message = (
            f"the message is not valid JSON, and with {size:,} bytes too large to be anything else "
            f"that begins with {begin}: send it as JSON (application/octet-stream)"
        )
        raise MessageError(message)
    return Parsed(text, structured=False)


_READ = {TEXT: ("{",), BINARY: ("{", "[")}
"""Where not all is read: how what is read begins."""


def read_json(text: str) -> Any:
    """Return the value of a JSON text.

    Raises:
        MessageError: it is not valid JSON, too large or too deep, has a number beyond all bounds,
            or says two things at once.
    """
    try:
        return strictjson.loads(text.removeprefix(strictjson.MARK), max_depth=MAX_DEPTH)
    except json.JSONDecodeError as error:
        raise MessageError(strictjson.place_of(error)) from None
    except strictjson.ReadingError as error:
        raise MessageError(str(error)) from None


def decode(content: bytes) -> str:
    """Return the text of a binary message, which is in UTF-8, or begins with a byte order mark.

    Raises:
        UnicodeDecodeError: it is in neither.
    """
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if wide else "utf-8-sig")


def _loads(text: str) -> Parsed:
    try:
        return Parsed(strictjson.loads(text, max_depth=MAX_DEPTH), structured=True)
    except strictjson.ReadingError as error:
        raise MessageError(str(error).replace("it", "the message", 1)) from None


def _to_json(token: re.Match[str]) -> str:
    """Return a token of a Python literal as JSON has it.

    Raises:
        ValueError: it is not what `repr` writes for a JSON value.
    """
    if token["text"]:
        content = token[0][1:-1]
        return encode_basestring(_ESCAPE.sub(_character, content) if "\\" in content else content)
    try:
        return _CONSTANTS[token[0]]
    except KeyError:
        message = f"{token[0]!r:.60} is not a literal"
        raise ValueError(message) from None


def _character(escape: re.Match[str]) -> str:
    code = escape[1] or escape[2] or escape[3]
    if code:
        return chr(int(code, 16))
    if escape[4]:
        return _ESCAPED[escape[4]]
    message = "a backslash that `repr` does not write"
    raise ValueError(message)
