"""Tokens: who may change a job (docs/reference/jobs.md#tokens)."""

from datacatalog.tokens.admin import (
    get_admin_key,
    get_admin_lifetime,
    get_admin_token,
    validate_admin_token,
)
from datacatalog.tokens.exceptions import InvalidAdminToken, InvalidToken
from datacatalog.tokens.job import (
    MAX_FORMER_SALTS,
    generate_salt,
    get_token,
    is_token_of_any,
    validate_token,
)

__all__ = [
    "MAX_FORMER_SALTS",
    "InvalidAdminToken",
    "InvalidToken",
    "generate_salt",
    "get_admin_key",
    "get_admin_lifetime",
    "get_admin_token",
    "get_token",
    "is_token_of_any",
    "validate_admin_token",
    "validate_token",
]
