from __future__ import annotations

import datetime
from typing import Any

import pytest
from bson import ObjectId

from datacatalog.linkedstores.basestore import paging
from datacatalog.linkedstores.basestore.paging import (
    InvalidCursor,
    Listing,
    Page,
    Position,
    next_width,
    next_width_of_a_search,
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


TEN_MINUTES = datetime.timedelta(minutes=10)


@pytest.mark.parametrize(
    ("found", "left", "minutes"),
    [
        *((0, 50, 40), (1, 50, 40), (50, 160, 40), (50, 80, 20), (100, 40, 5)),
        # there may be fewer than in the last one
        (200, 1, 2.5),
    ],
)
def test_the_next_window_is_as_wide_as_what_is_wanted_needs(
    found: int, left: int, minutes: float
) -> None:
    assert next_width(TEN_MINUTES, found, left) == datetime.timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("found", "seconds", "minutes"),
    [
        *((5000, 0, 40), (5000, 0.019, 40), (5000, 0.02, 10), (5000, 0.2, 10)),
        *((5000, 0.21, 5), (5000, 60, 5)),
        # that was the way to the server
        *((0, 0.21, 40), (3, 60, 40)),
    ],
)
def test_windows_of_a_search_grow_while_they_are_quick_and_shrink_when_they_are_slow(
    found: int, seconds: float, minutes: float
) -> None:
    width = next_width_of_a_search(TEN_MINUTES, found, seconds)
    assert width == datetime.timedelta(minutes=minutes)


def test_a_slow_search_does_not_stand_still() -> None:
    width = TEN_MINUTES
    for _ in range(100):
        width = next_width_of_a_search(width, 5000, 60)
    assert width == datetime.timedelta(seconds=1)


@pytest.mark.parametrize("oldest_first", [False, True])
@pytest.mark.parametrize("days", [1, 4000, 800_000])
def test_a_first_window_may_be_as_wide_as_all_times(
    days: int, rows: Listing, *, oldest_first: bool
) -> None:
    width = datetime.timedelta(days=days)
    found = rows._replace(width=width, oldest_first=oldest_first).page(None, 100).rows
    expected = in_order(rows)
    assert [row["_id"] for row in found] == expected[::-1] if oldest_first else expected


def test_what_is_after_all_that_was_near_is_found(rows: Listing) -> None:
    hour = datetime.timedelta(hours=1)
    listing = rows._replace(near=NOW - 2 * hour, after=NOW + hour)
    assert [row["date"] for row in listing.page(None, 10).rows] == [NOW + 2 * hour]
    assert listing._replace(after=NOW + 3 * hour).page(None, 10).rows == []


@pytest.mark.parametrize("keep", [None, bool])
def test_a_server_that_is_slow_or_far_away_is_not_asked_more_often(
    keep: Any, recorded_jobs: PipelineJobStore, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "_QUICK", -2)
    monkeypatch.setattr(paging, "_SLOW", -1)
    coll = recorded_jobs.db["things"]
    coll.insert_many({"date": NOW - datetime.timedelta(days=days)} for days in (0, 1, 400, 4000))
    recorder.events.clear()
    assert len(Listing(coll, "date", keep=keep).page(None, 10).rows) == 4
    assert len(recorder.commands) < 25


@pytest.mark.parametrize("oldest_first", [False, True])
def test_ids_of_two_kinds_at_one_moment_are_each_in_one_page(db: Db, *, oldest_first: bool) -> None:
    coll = db["mixed"]
    ids: list[Any] = [*(str(number) for number in range(4)), *(ObjectId() for _ in range(4))]
    coll.insert_many({"_id": each, "date": NOW} for each in reversed(ids))
    pages = walk(Listing(coll, "date", oldest_first=oldest_first), 3)
    found = [row["_id"] for page in pages for row in page.rows]
    assert found == (ids if oldest_first else ids[::-1])


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
