"""The token of one job."""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING

from datacatalog.tokens.admin import validate_admin_token
from datacatalog.tokens.digest import digest, same
from datacatalog.tokens.exceptions import InvalidToken

if TYPE_CHECKING:
    from collections.abc import Sequence

SALT_LENGTH = 16
MAX_FORMER_SALTS = 3
"""Of one document, whose tokens hold besides the present one."""


def generate_salt() -> str:
    """Return a new salt: 16 random bytes in base64, in lower case."""
    return base64.b64encode(secrets.token_bytes(SALT_LENGTH)).decode().lower()


def get_token(salt: object, *args: object) -> str:
    """Return the token, 16 hexadecimal digits, of a salt and some values."""
    return digest(salt, *args)


def is_token_of_any(token: object, salts: Sequence[object], *args: object) -> bool:
    """Tell whether a token is that of one of some salts and `args`.

    The work is the same whichever salt it is, if any, and however many there are, up to one and
    `MAX_FORMER_SALTS`.
    """
    padding = [""] * (1 + MAX_FORMER_SALTS - len(salts))
    matches = [same(token, get_token(salt, *args)) for salt in (*salts, *padding)]
    return any(matches[: len(salts)])


def validate_token(token: object, salt: object, *args: object, permissive: bool = True) -> bool:
    """Tell whether `token` is that of `salt` and `args`, or an administrative one.

    Raises:
        InvalidToken: it is neither, and `permissive` is off.
    """
    valid = same(token, get_token(salt, *args))
    if valid or validate_admin_token(token):
        return True
    if permissive:
        return False
    raise InvalidToken
