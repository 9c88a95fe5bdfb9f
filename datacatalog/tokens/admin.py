"""Administrative tokens: made of a shared key and secret, valid for one or two lifetimes."""

from __future__ import annotations

import os
import time

from datacatalog.settings import CatalogSettings
from datacatalog.tokens.digest import digest, same
from datacatalog.tokens.exceptions import InvalidAdminToken


def get_admin_lifetime() -> int:
    """Return `CATALOG_ADMIN_TOKEN_LIFETIME` in seconds."""
    return CatalogSettings.from_environ().admin_lifetime


def get_admin_key() -> str:
    """Return `CATALOG_ADMIN_TOKEN_KEY`; empty where it is not set."""
    return CatalogSettings.from_environ().admin_key


def get_admin_token(
    key: str | None,
    secret: str | bool | None = None,
    lifetime: int | str | None = None,
    *,
    now: float | None = None,
    previous: bool = False,
) -> str:
    """Return the administrative token of a moment.

    Args:
        key: the shared key.
        secret: the shared secret, by default `CATALOG_ADMIN_TOKEN_SECRET`; true or false is taken
            for `previous`, which older callers give in this place.
        lifetime: how long a token is handed out, in seconds; by default
            `CATALOG_ADMIN_TOKEN_LIFETIME`.
        now: the moment in seconds since 1970, by default the present one.
        previous: the token of the lifetime before.

    Raises:
        ValueError: there is no key or no secret.
        ZeroDivisionError: the lifetime is 0.
    """
    if isinstance(secret, bool):
        previous, secret = secret, None
    if secret is None:
        secret = os.environ.get("CATALOG_ADMIN_TOKEN_SECRET")
    for name, value in (("key", key), ("secret", secret)):
        if value is None:
            message = f'Value for "{name}" was expected'
            raise ValueError(message)
    seconds = get_admin_lifetime() if lifetime is None else int(lifetime)
    bucket = int((time.time() if now is None else now) / seconds) - int(previous)
    return digest(secret, key, *str(bucket))


def validate_admin_token(
    token: object,
    key: str | None = None,
    permissive: bool = True,
    *,
    settings: CatalogSettings | None = None,
) -> bool:
    """Tell whether a token is the administrative one of this lifetime or the one before.

    Where the key or the secret is not set, none is.

    Args:
        token: what was shown.
        key: the shared key, by default that of `settings`.
        permissive: return False instead of raising.
        settings: where key, secret and lifetime come from, by default the environment.

    Raises:
        InvalidAdminToken: it is not, and `permissive` is off.
    """
    settings = settings or CatalogSettings.from_environ()
    admin_key = key or settings.admin_key
    if admin_key and settings.admin_secret:
        matches = [
            same(
                token,
                get_admin_token(
                    admin_key, settings.admin_secret, settings.admin_lifetime, previous=previous
                ),
            )
            for previous in (False, True)
        ]
        if any(matches):
            return True
    if permissive:
        return False
    raise InvalidAdminToken
