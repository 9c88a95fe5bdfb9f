from __future__ import annotations

import datetime
from typing import Any

import pytest
from bson import ObjectId

from datacatalog.linkedstores.basestore.paging import (
    InvalidCursor,
    Listing,
    Page,
    Position,
    next_width,
)
from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.mongo import Db
from tests.datacatalog.conftest import Recorder

UTC = datetime.timezone.utc
NOW = datetime.datetime.now(UTC).replace(microsecond=0)
AGES = [0, 0, 1, 1, 1, 59, 60, 61, 3_600, 3_601, 86_400, 31_536_000, 315_360_000, 1_500_000_000]
"""In seconds; the last is longer ago than the windows reach."""


@pytest.fixture
def rows(db: Db) -> Listing:
    """Documents of many ages, one of them in the future, in an order that tells nothing."""
    coll = db["things"]
    coll.create_index("date")
    moments = [NOW - datetime.timedelta(seconds=age) for age in [*AGES, -7_200]]
    made = [{"date": moment, "number": number} for number, moment in enumerate(moments)]
    coll.insert_many([*made[::2], *made[1::2]])
    return Listing(coll, "date")


def walk(listing: Listing, limit: int) -> list[Page]:
    pages = [listing.page(None, limit)]
    while (cursor := pages[-1].cursor) is not None:
        pages.append(listing.page(cursor, limit))
    return pages


def in_order(listing: Listing) -> list[Any]:
    return [row["_id"] for row in listing.collection.find(sort=[("date", -1), ("_id", -1)])]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 15, 100])
def test_the_pages_put_together_are_the_whole_in_its_order(rows: Listing, limit: int) -> None:
    pages = walk(rows, limit)
    assert [row["_id"] for page in pages for row in page.rows] == in_order(rows)
    assert all(len(page.rows) == limit for page in pages[:-1])
    assert [row["_id"] for row in rows.all()] == in_order(rows)


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_the_oldest_may_come_first(rows: Listing, limit: int) -> None:
    for near in (None, NOW - datetime.timedelta(seconds=AGES[-1])):
        pages = walk(rows._replace(oldest_first=True, near=near), limit)
        assert [row["_id"] for page in pages for row in page.rows] == in_order(rows)[::-1]


def test_a_full_last_page_has_no_cursor(rows: Listing) -> None:
    (page,) = walk(rows, len(AGES) + 1)
    assert (len(page.rows), page.cursor) == (len(AGES) + 1, None)


def test_what_is_added_meanwhile_moves_nothing(rows: Listing) -> None:
    expected = in_order(rows)
    page = rows.page(None, 5)
    rows.collection.insert_one({"date": NOW + datetime.timedelta(days=1)})
    rows.collection.delete_one({"_id": page.rows[-1]["_id"]})
    found = [row["_id"] for row in page.rows]
    while page.cursor is not None:
        page = rows.page(page.cursor, 5)
        found += [row["_id"] for row in page.rows]
    assert found == expected


def test_ids_of_two_types_at_the_same_moment_are_all_found(db: Db) -> None:
    coll = db["things"]
    coll.insert_many([{"_id": name, "date": NOW} for name in ("a", "b", "c")])
    coll.insert_many([{"_id": ObjectId(), "date": NOW} for _ in range(3)])
    listing = Listing(coll, "date")
    found = [row["_id"] for page in walk(listing, 1) for row in page.rows]
    assert found == in_order(listing)
    assert len(set(found)) == 6


def test_bounds_and_conditions_hold_on_every_page(rows: Listing) -> None:
    after, before = (NOW - datetime.timedelta(seconds=s) for s in (3_600, 1))
    bounded = rows._replace(after=after, before=before)
    found = [row for page in walk(bounded, 2) for row in page.rows]
    assert [row["date"] for row in found] == sorted((r["date"] for r in found), reverse=True)
    assert len(found) == len([age for age in AGES if 1 < age <= 3_600])
    few = rows._replace(keep=lambda row: row["number"] % 5 == 0)
    kept = [row["number"] for page in walk(few, 1) for row in page.rows]
    assert sorted(kept) == [0, 5, 10]


def test_after_its_time_a_search_says_where_to_go_on(rows: Listing) -> None:
    last = rows._replace(
        keep=lambda row: row["number"] == AGES.index(61),
        after=NOW - datetime.timedelta(minutes=10),
    )
    pages = [last.page(None, 10, seconds=0)]
    while (cursor := pages[-1].cursor) is not None:
        pages.append(last.page(cursor, 10, seconds=0))
    assert len(pages) > 5
    assert [len(page.rows) for page in pages if page.rows] == [1]


def test_a_collection_without_documents_has_one_empty_page(db: Db) -> None:
    assert Listing(db["things"], "date").page(None, 10) == Page([], None)


@pytest.mark.parametrize("place", [Position(NOW), Position(NOW, "a:b"), Position(NOW, ObjectId())])
def test_a_cursor_stands_for_its_place(place: Position) -> None:
    assert Position.read(str(place)) == place


@pytest.mark.parametrize("cursor", ["", "x", "bnVsbA", "e30", "W10", "WzEsIm8iLCJ4Il0", "é"])
def test_what_is_no_cursor_is_named(cursor: str, db: Db) -> None:
    listing = Listing(db["things"], "date")
    with pytest.raises(InvalidCursor, match="is not a cursor that a listing has given"):
        listing.page(cursor, 10)


@pytest.mark.parametrize(
    ("seconds", "minutes"), [(0, 40), (0.019, 40), (0.02, 10), (0.2, 10), (0.21, 5), (60, 5)]
)
def test_windows_grow_while_they_are_quick_and_shrink_when_they_are_slow(
    seconds: float, minutes: float
) -> None:
    width = next_width(datetime.timedelta(minutes=10), seconds)
    assert width == datetime.timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("found", "left", "minutes"),
    [
        *((1, 50, 40), (50, 160, 40), (50, 80, 20), (100, 40, 5)),
        # there may be fewer than in the last one
        (200, 1, 2.5),
    ],
)
def test_the_next_window_is_as_wide_as_what_is_wanted_needs_where_that_is_less(
    found: int, left: int, minutes: float
) -> None:
    width = next_width(datetime.timedelta(minutes=10), 0, found, left)
    assert width == datetime.timedelta(minutes=minutes)


@pytest.mark.parametrize("wanted", [10, 30, 60])
def test_about_as_many_documents_are_read_as_are_wanted(
    wanted: int, recorded_jobs: PipelineJobStore, recorder: Recorder
) -> None:
    coll = recorded_jobs.db["things"]
    coll.insert_many({"date": NOW - datetime.timedelta(minutes=age)} for age in range(500))
    recorder.events.clear()
    rows = Listing(coll, "date", near=NOW).page(None, wanted).rows
    assert [row["date"] for row in rows] == [
        NOW - datetime.timedelta(minutes=age) for age in range(wanted)
    ]
    ranges = [event.command["filter"] for event in recorder.events]
    assert sum(coll.count_documents(each) for each in ranges) < 1.5 * wanted
