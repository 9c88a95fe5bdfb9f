"""Session names: `adjective-animal`, with a time stamp where a directory is named after one."""

from __future__ import annotations

import datetime

TIMESTAMP_FORMAT = "%Y%m%dT%H%M%SZ"


def generate(*, timestamp: bool = False) -> str:
    """Return a new name such as `solid-snake`, or `solid-snake-20200102T030405Z`."""
    import petname  # noqa: PLC0415 - 20 ms that an event does without

    name: str = petname.generate(2, "-")
    return instanced(name) if timestamp else name


def instanced(name: str, when: datetime.datetime | None = None) -> str:
    """Return a name with the UTC time `when` (by default now) behind it."""
    moment = when or datetime.datetime.now(datetime.timezone.utc)
    return f"{name}-{moment.strftime(TIMESTAMP_FORMAT)}"
