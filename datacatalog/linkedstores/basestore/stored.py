"""What every document of the catalog has as it is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    import datetime


class Admin(TypedDict, total=False):
    """Whose a document is."""

    owner: str
    project: str
    tenant: str


class Properties(TypedDict, total=False):
    """How a document came to be as it is."""

    created_date: datetime.datetime
    modified_date: datetime.datetime
    revision: int
    source: str


class Stored(TypedDict, total=False):
    """A document; one that the original has written lacks some of this."""

    _id: Any
    uuid: str
    _visible: bool
    _admin: Admin | None
    _properties: Properties
    _salt: str
