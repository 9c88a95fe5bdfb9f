"""The file in which clients of Abaco keep a token: bash CLI, agavepy, tapis.

The rules are in docs/reference/abaco.md#clients.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from abaco.exceptions import SettingsError

if TYPE_CHECKING:
    from abaco.store.tokens import Grant


def write(file: Path, grant: Grant, *, tenant: str, user: str, server: str) -> None:
    """Write a token with what renews it, for its owner's eyes only.

    Args:
        file: `~/.agave/current`, or of that name in the folder that `AGAVE_CACHE_DIR` names.
        grant: the token.
        tenant: the tenant's name.
        user: whose token it is.
        server: the base URL of the gateway.

    Raises:
        SettingsError: the file cannot be written.
    """
    created = int(time.time())
    content = {
        "tenantid": tenant,
        "baseurl": server,
        "devurl": "",
        "apikey": grant.client_key,
        "apisecret": grant.client_secret,
        "username": user,
        "access_token": grant.access,
        "refresh_token": grant.refresh,
        "created_at": created,
        "expires_in": grant.lifetime,
        "expires_at": time.strftime("%c", time.localtime(created + grant.lifetime)),
        "verify": False,
    }
    _write(file, content)


def point(file: Path, server: str) -> None:
    """Let the clients that use such a file find the gateway at another base URL.

    Raises:
        SettingsError: the file cannot be written.
    """
    content = read(file)
    if content.get("baseurl") != server:
        _write(file, {**content, "baseurl": server})


def _write(file: Path, content: dict[str, Any]) -> None:
    try:
        _replace(file, json.dumps(content))
    except IsADirectoryError as error:
        message = f"{file} is a folder: name a file in it, such as {file / 'current'}"
        raise SettingsError(message) from error
    except OSError as error:
        message = f"{file} cannot be written: {error.strerror}"
        raise SettingsError(message) from error


def _replace(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
        draft.replace(file)
    except OSError:
        draft.unlink()
        raise


def read(file: Path) -> dict[str, Any]:
    """Return what is in such a file; nothing where there is none, or it is none."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
