"""Pages of a collection, by their date, that stay the same while documents are added.

A page is looked for in windows of time, from the newest backwards or from the oldest on: each is a range of an indexed
date, so that no query has more to look at than it needs, however many documents there are. How wide a
window is follows from how many documents the last one had; of a search, also from how long they took.
"""

from __future__ import annotations

import base64
import datetime
import json
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from bson import ObjectId
from bson.errors import InvalidId

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from pymongo.collection import Collection

    from datacatalog.mongo import Document

_UTC = datetime.timezone.utc
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=_UTC)
FIRST_WIDTH = datetime.timedelta(minutes=1)
_MIN_WIDTH, WHOLE_WIDTH = datetime.timedelta(seconds=1), datetime.timedelta(days=3660)
"""Of windows; one that is as wide as the second, or wider, reaches to the end."""
_NARROW = 32
"""Which part of a distance is looked at, to see whether there is anything that far away."""
_QUICK, _SLOW = 0.02, 0.2
"""Seconds that the documents of a window of a search take."""
_WIDER, _MARGIN = 4, 1.25
"""How many times as wide as the last one a window is at most; and than what is wanted needs, as far as is known."""
_BATCH = 200


class InvalidCursor(ValueError):
    """The cursor is not valid."""


class Page(NamedTuple):
    """Some documents, and where the next ones begin."""

    rows: list[Document]
    cursor: str | None
    """None on the last page"""
    back: str | None = None
    """the same for the page before, where a listing goes both ways; None on the first page"""


class Position(NamedTuple):
    """A place in the order of a listing: behind a document, or behind all of a moment."""

    moment: datetime.datetime
    document_id: str | ObjectId | None = None

    def __str__(self) -> str:
        milliseconds = (self.moment - _EPOCH) // datetime.timedelta(milliseconds=1)
        kind = "o" if isinstance(self.document_id, ObjectId) else "t"
        place = [milliseconds, *([] if self.document_id is None else [kind, str(self.document_id)])]
        return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")

    @classmethod
    def of(cls, row: Mapping[str, Any], field: str) -> Position:
        """Return the place behind a document."""
        return cls(_value(row, field), row["_id"])

    @classmethod
    def read(cls, cursor: str) -> Position:
        """Return the place that a cursor stands for.

        Raises:
            InvalidCursor: it is none.
        """
        try:
            text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
            milliseconds, *rest = json.loads(text)
            moment = _EPOCH + datetime.timedelta(milliseconds=milliseconds)
            if not rest:
                return cls(moment)
            kind, name = rest
            return cls(moment, ObjectId(name) if kind == "o" else str(name))
        except (ValueError, TypeError, OverflowError, InvalidId) as error:
            message = f"{cursor!r:.60} is not a cursor that a listing has given"
            raise InvalidCursor(message) from error


class Listing(NamedTuple):
    """What is listed."""

    collection: Collection[Any]
    field: str
    """an indexed date"""
    first: Mapping[str, Any] = {}
    """conditions on fields whose index finds few documents; there are no windows then"""
    rest: Mapping[str, Any] = {}
    """further conditions"""
    projection: Mapping[str, Any] | None = None
    keep: Callable[[Document], bool] | None = None
    """which of the documents are wanted, where conditions cannot say it"""
    after: datetime.datetime | None = None
    """not before this"""
    before: datetime.datetime | None = None
    """before this"""
    near: datetime.datetime | None = None
    """where the newest are likely to be found, by default now; where the oldest are, if they come first, by default
    looked for"""
    oldest_first: bool = False
    width: datetime.timedelta = FIRST_WIDTH
    """of the time that is looked at first"""

    def page(self, cursor: str | None, limit: int, seconds: float | None = None) -> Page:
        """Return a page.

        Args:
            cursor: of the page before.
            limit: how many documents at most.
            seconds: after how many to return what was found, with a cursor for the rest.

        Raises:
            InvalidCursor: the cursor is not valid.
        """
        position = None if self.before is None or self.oldest_first else Position(self.before)
        if cursor is not None:
            position = Position.read(cursor)
        began = time.monotonic()
        rows: list[Document] = []
        windows = self._forwards if self.oldest_first else self._windows
        for found, edge in windows(position, limit + 1):
            for row in found:
                if self.keep is not None and not self.keep(row):
                    continue
                if len(rows) == limit:
                    return Page(rows, str(Position.of(rows[-1], self.field)))
                rows.append(row)
            if edge and seconds is not None and time.monotonic() - began > seconds:
                return Page(rows, str(Position(edge)))
        return Page(rows, None)

    def all(self, cursor: str | None = None) -> Iterator[Document]:
        """Yield all documents from a cursor on."""
        while True:
            page = self.page(cursor, _BATCH)
            yield from page.rows
            cursor = page.cursor
            if cursor is None:
                return

    def _windows(
        self, position: Position | None, limit: int
    ) -> Iterator[tuple[Iterable[Document], datetime.datetime | None]]:
        """Yield the documents of each window, and where that ends; None where there is no other."""
        if position is not None and position.document_id is not None:
            yield self._find(position.moment, limit, self._behind(position.document_id)), None
        upper = None if position is None else position.moment
        if self.first:
            moments = {"$gte": self.after or _EPOCH, **({"$lt": upper} if upper else {})}
            yield self._find(moments, limit, {}), None
            return
        oldest = self.after or datetime.datetime.min.replace(tzinfo=_UTC)
        lower = upper or max(self.near or datetime.datetime.now(_UTC), oldest)
        width, left = self.width, limit
        # the first window has no upper end, where it is not given
        while upper is None or lower > oldest:
            lower = oldest if width >= min(WHOLE_WIDTH, lower - oldest) else lower - width
            within = {"$gte": lower, **({} if upper is None else {"$lt": upper})}
            found = _Counted(self._find(within, left, {}))
            yield found, lower if lower > oldest else None
            left -= found.count
            width = self._next_width(width, found, left)
            upper = lower

    def _forwards(
        self, position: Position | None, limit: int
    ) -> Iterator[tuple[Iterable[Document], datetime.datetime | None]]:
        """Yield what `_windows` yields, from the oldest on."""
        end = {} if self.before is None else {"$lt": self.before}
        lower, above = self.after or _EPOCH, "$gte"
        if position is not None:
            lower = position.moment
            if position.document_id is not None:
                yield self._find(lower, limit, self._behind(position.document_id)), None
                above = "$gt"
        if self.first:
            yield self._find({above: lower, **end}, limit, {}), None
            return
        newest, width = self.before or datetime.datetime.now(_UTC), self.width
        begin = self.near or self._beginning(lower, newest) if position is None else lower
        if lower < begin < newest:
            # there is seldom anything, and then it costs nothing to look
            yield self._find({above: lower, "$lt": begin}, limit, {}), begin
            lower = begin
        left = limit
        while lower < newest:
            upper = newest if width >= min(WHOLE_WIDTH, newest - lower) else lower + width
            more = upper if upper < newest else None
            found = _Counted(self._find({above: lower, "$lt": upper}, left, {}))
            yield found, more
            left -= found.count
            width = self._next_width(width, found, left)
            lower, above = upper, "$gte"
        if self.before is None or lower < self.before:
            yield self._find({above: lower, **end}, left, {}), None

    def _beginning(self, oldest: datetime.datetime, newest: datetime.datetime) -> datetime.datetime:
        """Return about when the first document is, at the price of a few of them.

        A server may read all that is in a range, however few are wanted. So narrow windows are looked at,
        twice as far back each time, and then between the furthest that was not empty and the next one.
        Documents that are missed so are before the moment that is returned: whoever asks looks there as well.
        """
        near, back = datetime.timedelta(), FIRST_WIDTH
        while back < newest - oldest:
            if self._has_any(newest - back, back / _NARROW):
                near = back
            back *= 2
        far = min(2 * near or FIRST_WIDTH, newest - oldest)
        while far - near > far / _NARROW:
            middle = (near + far) / 2
            if self._has_any(newest - middle, (far - near) / _NARROW):
                near = middle
            else:
                far = middle
        return max(newest - far, oldest)

    def _has_any(self, moment: datetime.datetime, width: datetime.timedelta) -> bool:
        within = {self.field: {"$gte": moment, "$lt": moment + width}}
        return self.collection.find_one(within, {"_id": 1}) is not None

    def _next_width(
        self, width: datetime.timedelta, found: _Counted, left: int
    ) -> datetime.timedelta:
        if self.keep is None:
            return next_width(width, found.count, left)
        # how many of the others are wanted, nobody knows before
        return next_width_of_a_search(width, found.count, found.seconds)

    def _find(self, moments: Any, limit: int, more: Mapping[str, Any]) -> Iterator[Document]:
        # the range comes before the rest: a server may take the first condition that has an index
        query = {**self.first, self.field: moments, **more, **self.rest}
        order = 1 if self.oldest_first else -1
        yield from self.collection.find(
            query,
            self.projection,
            sort=[(self.field, order), ("_id", order)],
            limit=0 if self.keep else limit,
        )

    def _behind(self, document_id: str | ObjectId) -> Document:
        behind, ahead = ("$gt", "$lte") if self.oldest_first else ("$lt", "$gte")
        # MongoDB compares with values of the same type only; strings come before the others
        if isinstance(document_id, str) == self.oldest_first:
            return {"_id": {"$not": {ahead: document_id}}}
        return {"_id": {behind: document_id}}


class _Counted:
    """Some documents, to be taken once; how many were taken, and the seconds since they were asked for."""

    def __init__(self, rows: Iterator[Document]) -> None:
        self._rows, self._began = rows, time.monotonic()
        self.count = 0

    def __iter__(self) -> Iterator[Document]:
        for row in self._rows:
            self.count += 1
            yield row

    @property
    def seconds(self) -> float:
        """Since they were asked for."""
        return time.monotonic() - self._began


def next_width(width: datetime.timedelta, found: int, left: int) -> datetime.timedelta:
    """Return how wide the next window is: what the rest needs, if it is as dense there as in the last one.

    Args:
        width: of the last one.
        found: how many documents were in it.
        left: how many more are wanted.
    """
    if not found:
        return width * _WIDER
    return width * min(_WIDER, max(1 / _WIDER, _MARGIN * left / found))


def next_width_of_a_search(
    width: datetime.timedelta, found: int, seconds: float
) -> datetime.timedelta:
    """Return how wide the next window is, of which nobody knows how many documents are wanted.

    Args:
        width: of the last one.
        found: how many documents were looked at in it.
        seconds: that they took.
    """
    if found <= _BATCH or seconds < _QUICK:
        return width * _WIDER
    return max(width / 2, _MIN_WIDTH) if seconds > _SLOW else width


def _value(row: Mapping[str, Any], field: str) -> Any:
    value: Any = row
    for name in field.split("."):
        value = value[name]
    return value
