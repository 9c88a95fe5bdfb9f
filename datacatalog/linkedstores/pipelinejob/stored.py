"""What a job has as it is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from datacatalog.linkedstores.basestore.stored import Stored

if TYPE_CHECKING:
    import datetime


class Life(TypedDict):
    """The present life of a job that was reset."""

    number: int
    since: datetime.datetime


class Mark(TypedDict, total=False):
    """How far the history of a job has moved to buckets."""

    moved: int
    bytes: int


class FormerSalt(TypedDict):
    """A salt whose token still holds, or did."""

    _salt: str | None
    until: datetime.datetime
    rotated: datetime.datetime
    revision: int


class StoredJob(Stored, total=False):
    """A job, or the part of it that was read."""

    state: str
    last_event: str
    updated: datetime.datetime
    history: list[Any]
    """its newest entries; others may have written something else"""
    data: Any
    pipeline_uuid: str
    archive_path: str
    archive_system: str
    archive_patterns: list[Any]
    product_patterns: list[Any]
    session: str | None
    agent: str | None
    task: str | None
    generated_by: list[str]
    child_of: list[str]
    acted_on: list[str]
    acted_using: list[str]
    _history: Mark
    _untold: int
    """the number of the first entry that was not handed out to subscribers"""
    _creation: str
    """the digest of the key with which it was created"""
    _former_salts: list[FormerSalt]
    _life: Life
    _removed: bool
    """whether this was kept of a job that was removed"""
    _total: int
    """of a removed job, how many entries its history had"""
    _outbox: list[Any]
    """what a former version had to announce"""
