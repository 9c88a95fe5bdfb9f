"""The file in which clients of Abaco keep a token: bash CLI, agavepy, tapis (spec: abaco-v2, 3.2)."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from abaco.store.tokens import Grant


def write(file: Path, grant: Grant, *, tenant: str, user: str, server: str) -> None:
    """Write a token with what renews it, for its owner's eyes only.

    Args:
        file: `~/.agave/current`, or of that name in the folder that `AGAVE_CACHE_DIR` names.
        grant: the token.
        tenant: the tenant's name.
        user: whose token it is.
        server: the base URL of the gateway.
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
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        json.dump(content, stream)
    draft.replace(file)


def read(file: Path) -> dict[str, Any]:
    """Return what is in such a file; nothing where there is none, or it is none."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
