"""What a file's content is: size, checksum, fingerprint, type."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from datacatalog import filetypes

if TYPE_CHECKING:
    from collections.abc import Iterable

FINGERPRINT_SEED = 3759046909696704950
_HEAD_BYTES = 4096


def describe(name: str, parts: Iterable[bytes]) -> dict[str, Any]:
    """Return `size`, `checksum` (SHA-256), `fingerprint` (xxHash64) and `type` of a file.

    The fingerprint is left out where the package `xxhash` is not installed.

    Args:
        name: the file's.
        parts: its content, of which one part at a time is in memory.
    """
    checksum, fingerprint = hashlib.sha256(), _fingerprint()
    size, head = 0, b""
    for part in parts:
        size += len(part)
        if len(head) < _HEAD_BYTES:
            head += part[: _HEAD_BYTES - len(head)]
        checksum.update(part)
        if fingerprint is not None:
            fingerprint.update(part)
    return {
        "size": size,
        "checksum": checksum.hexdigest(),
        "type": filetypes.by_content(name, head),
        **({} if fingerprint is None else {"fingerprint": fingerprint.hexdigest()}),
    }


def _fingerprint() -> Any:
    try:
        import xxhash  # noqa: PLC0415 - optional
    except ImportError:
        return None
    return xxhash.xxh64(seed=FINGERPRINT_SEED)
