"""Signatures as Standard Webhooks says: who has the secret can tell who sent it, and when."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_PREFIX = "whsec_"
_MIN_BYTES, _MAX_BYTES = 24, 64


def key_of(secret: str) -> bytes:
    """Return the key that a secret stands for.

    Raises:
        ValueError: it is not `whsec_` and the base64 of 24 to 64 bytes.
    """
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not (secret.startswith(_PREFIX) and _MIN_BYTES <= len(key) <= _MAX_BYTES):
        message = (
            f"a secret is {_PREFIX} and the base64 of {_MIN_BYTES} to {_MAX_BYTES} random bytes"
        )
        raise ValueError(message)
    return key


def headers(secrets: Iterable[str], identifier: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers of a webhook, with a signature for each secret.

    Args:
        secrets: as `key_of` takes them.
        identifier: of what is sent; the same whenever it is sent again.
        timestamp: seconds since 1970, of this attempt.
        body: as it is sent.
    """
    signed = f"{identifier}.{timestamp}.".encode() + body
    signatures = []
    for secret in secrets:
        digest = hmac.new(key_of(secret), signed, hashlib.sha256).digest()
        signatures.append(f"v1,{base64.b64encode(digest).decode()}")
    found = {"webhook-id": identifier, "webhook-timestamp": str(timestamp)}
    return {**found, "webhook-signature": " ".join(signatures)} if signatures else found
