"""From the text of a message to its value (spec: actor, section 1).

The platform hands a JSON body over as the Python repr of the object, and a text body as it came,
which is often JSON. Both are untrusted: they are parsed, never evaluated, and what the parsers
could choke on (depth, endless numbers) is refused before they see it.
"""

from __future__ import annotations

import ast
import json
import math
import re
from json.encoder import encode_basestring
from typing import Any, NamedTuple

from reactors.exceptions import MessageError

MAX_BYTES = 8 * 1024 * 1024
MAX_REPR_BYTES = 3 * 1024 * 1024
"""1 MiB of JSON is 2.5 MiB at most as a repr, which escapes what cannot be printed."""
MAX_LITERAL_BYTES = 512 * 1024
"""Of other literals, such as tuples, which cost time and memory, and no platform sends."""
MAX_DEPTH = 64
_MAX_DIGITS = 400

# The lexical grammar of the literals that `repr` writes for JSON values
_LITERAL = re.compile(
    r"""\s+
    | (?P<text> '[^'\\\n]*(?:\\.[^'\\\n]*)*' | "[^"\\\n]*(?:\\.[^"\\\n]*)*" )
    | (?P<number> -? (?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+) (?:[eE][-+]?[0-9]+)? )
    | (?P<constant> True | False | None )
    | (?P<open> [\[{(] ) | (?P<close> [\]})] )
    | [,:]
    """,
    re.VERBOSE | re.DOTALL,
)
# What `repr` writes in another way than JSON: texts, constants; and what neither of them writes
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
    """False if the message is a text that is neither JSON nor a Python literal"""


def parse(text: str) -> Parsed:
    """Parse a message as JSON, then as a Python literal, else take it as a text.

    Raises:
        MessageError: it is too large or too deep, has a number beyond all bounds, or says two
            things at once.
    """
    size = len(text.encode(errors="surrogatepass"))
    if size > MAX_BYTES:
        message = f"the message is larger than {MAX_BYTES:,} bytes"
        raise MessageError(message)
    try:
        return _loads(text)
    except json.JSONDecodeError:
        pass
    if size <= MAX_REPR_BYTES:
        try:
            return _loads(_TOKEN.sub(_to_json, text))
        except MessageError:
            raise
        except ValueError:
            pass
    if size <= MAX_LITERAL_BYTES:
        return _parse_literal(text) if _is_plain_literal(text) else Parsed(text, structured=False)
    if text.lstrip()[:1] in ("{", "["):
        message = (
            f"the message is no JSON, and with {size:,} bytes too large to be anything else that "
            f"begins with {text.lstrip()[:1]}: send it as JSON (application/octet-stream)"
        )
        raise MessageError(message)
    return Parsed(text, structured=False)


def _loads(text: str) -> Parsed:
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_float=_float,
            parse_int=_int,
        )
    except RecursionError:
        raise MessageError(_TOO_DEEP) from None
    _check_depth(value)
    return Parsed(value, structured=True)


_TOO_DEEP = f"the message is nested more than {MAX_DEPTH} levels deep"


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        containers = [member for member in level if isinstance(member, dict | list)]
        if not containers:
            return
        level = []
        for container in containers:
            level.extend(container.values() if isinstance(container, dict) else container)
    raise MessageError(_TOO_DEEP)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        _check_keys([name for name, _ in pairs])
    return value


def _check_keys(names: list[Any]) -> None:
    seen: set[Any] = set()
    for name in names:
        if name in seen:
            message = f"the message has the key {name!r:.60} twice in one object"
            raise MessageError(message)
        seen.add(name)


def _constant(name: str) -> Any:
    message = f"the message has the value {name}, which JSON does not have"
    raise MessageError(message)


def _float(digits: str) -> float:
    _check_number(digits)
    return float(digits)


def _int(digits: str) -> int:
    _check_number(digits)
    return int(digits)


def _check_number(digits: str) -> None:
    if len(digits) > _MAX_DIGITS:
        message = f"the message has a number of {len(digits):,} digits"
        raise MessageError(message)
    if not math.isfinite(float(digits)):
        message = f"the message has the number {digits:.20}, which is too large"
        raise MessageError(message)


def _to_json(token: re.Match[str]) -> str:
    """Return a token of a Python literal as JSON has it.

    Raises:
        ValueError: it is none that `repr` writes for a JSON value.
    """
    if token["text"]:
        content = token[0][1:-1]
        return encode_basestring(_ESCAPE.sub(_character, content) if "\\" in content else content)
    try:
        return _CONSTANTS[token[0]]
    except KeyError:
        message = f"{token[0]!r:.60} is no literal"
        raise ValueError(message) from None


def _character(escape: re.Match[str]) -> str:
    code = escape[1] or escape[2] or escape[3]
    if code:
        return chr(int(code, 16))
    if escape[4]:
        return _ESCAPED[escape[4]]
    message = "a backslash that `repr` does not write"
    raise ValueError(message)


def _is_plain_literal(text: str) -> bool:
    position = depth = 0
    after_value = False
    while position < len(text):
        token = _LITERAL.match(text, position)
        if token is None:
            return False
        is_value = bool(token["text"] or token["number"] or token["constant"])
        if after_value and (is_value or token["open"]):
            # a sum, a call, a subscript or the like: no literal, and a long one hurts the parser
            return False
        if not token[0].isspace():
            after_value = is_value or bool(token["close"])
        if token["open"]:
            depth += 1
            if depth > MAX_DEPTH:
                raise MessageError(_TOO_DEEP)
        elif token["close"]:
            depth -= 1
        elif token["number"]:
            _check_number(token["number"])
        position = token.end()
    return True


def _parse_literal(text: str) -> Parsed:
    """Parse a text that is a shallow nest of short tokens, if they make a Python literal."""
    try:
        tree = ast.parse(text.strip(), mode="eval")
        value = ast.literal_eval(tree)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return Parsed(text, structured=False)
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            _check_keys([key.value for key in node.keys if isinstance(key, ast.Constant)])
    return Parsed(value, structured=True)
