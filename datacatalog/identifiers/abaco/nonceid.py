"""The ids of nonces: the tenant, and what Abaco's other ids look like."""

from __future__ import annotations

from datacatalog.identifiers.abaco import hashids

DEFAULT_TENANT = "SD2E"


def generate(tenant: str = DEFAULT_TENANT) -> str:
    """Return a new id of the form that Abaco's have."""
    return f"{tenant}_{hashids.generate()}"


def mock(tenant: str = DEFAULT_TENANT) -> str:
    """Return an id for tests, of the form that Abaco's have."""
    return generate(tenant)


def validate(text_value: str, *, permissive: bool = False) -> bool:
    """Tell whether a string is the id of a nonce.

    Raises:
        ValueError: it is not, and `permissive` is off.
    """
    tenant, _, suffix = text_value.rpartition("_")
    if tenant and suffix.isascii() and suffix.isalnum():
        return True
    if permissive:
        return False
    message = "the text is not the id of a nonce"
    raise ValueError(message)
