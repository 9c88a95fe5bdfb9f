from __future__ import annotations

import contextlib
import datetime
import secrets
from collections.abc import Iterator
from typing import Any, NamedTuple

import pymongo
import pytest

from datacatalog.identifiers import typeduuid
from datacatalog.linkedstores.basestore.paging import Page
from datacatalog.linkedstores.basestore.store import now
from datacatalog.linkedstores.pipeline import PipelineStore
from datacatalog.linkedstores.pipelinejob import EventRefused, PipelineJobStore
from datacatalog.linkedstores.pipelinejob import search as search_module
from datacatalog.linkedstores.pipelinejob.search import Filters, JobSearch
from datacatalog.linkedstores.pipelinejob.untold import Left
from datacatalog.mongo import Db, Document
from local.database import Server
from tests.conftest import TACOBOT
from tests.datacatalog.conftest import Recorder, Send
from tests.datacatalog.jobs import fields

HOUR = datetime.timedelta(hours=1)


@pytest.fixture
def search(jobs: PipelineJobStore) -> JobSearch:
    return JobSearch(jobs)


@pytest.fixture
def made(jobs: PipelineJobStore, pipeline: Document, db: Db) -> list[str]:
    """The jobs of `six`, in a database of this test."""
    return six(jobs, pipeline, db)


def six(jobs: PipelineJobStore, pipeline: Document, db: Db) -> list[str]:
    """Make six jobs, each an hour younger than the one before, and hide the last; return the UUIDs."""
    uuids = []
    for number, events in enumerate(
        ([], ["run"], ["run", "finish"], ["run", "fail"], ["run"], ["run"])
    ):
        job = jobs.create(
            {
                "pipeline_uuid": pipeline["uuid"],
                "archive_path": f"/products/v2/{number}",
                "data": {"number": number, "$sample": f"Sample-{number}"},
                "session": "solid-snake" if number % 2 else None,
            }
        )
        for event in events:
            jobs.handle({"uuid": job["uuid"], "name": event}, job["_update_token"])
        created = now() - (6 - number) * HOUR
        db["jobs"].update_one(
            {"uuid": job["uuid"]},
            {"$set": {"_properties.created_date": created, "updated": created + HOUR / 2}},
        )
        uuids.append(job["uuid"])
    jobs.delete(uuids[-1], jobs.get_token(jobs.load(uuids[-1])))
    return uuids


class Catalog(NamedTuple):
    """The jobs of `six`, for tests that change nothing."""

    mongodb: dict[str, Any]
    db: Db
    pipeline: Document
    uuids: list[str]

    @property
    def search(self) -> JobSearch:
        """One that remembers nothing of what other tests have asked."""
        return JobSearch(PipelineJobStore(self.mongodb))


@contextlib.contextmanager
def catalog_of_six(
    server: Server, mongo_client: pymongo.MongoClient[Document]
) -> Iterator[Catalog]:
    mongodb = {"authn": server.uri, "database": f"search_{secrets.token_hex(6)}"}
    db = mongo_client[mongodb["database"]]
    pipeline = PipelineStore(mongodb).add_update_document(TACOBOT)
    yield Catalog(mongodb, db, pipeline, six(PipelineJobStore(mongodb), pipeline, db))
    mongo_client.drop_database(db.name)


@pytest.fixture(scope="module")
def catalog(server: Server, mongo_client: pymongo.MongoClient[Document]) -> Iterator[Catalog]:
    with catalog_of_six(server, mongo_client) as made:
        yield made


def found(search: JobSearch, **filters: Any) -> list[str]:
    return [row["uuid"] for row in search.jobs(Filters(**filters)).rows]


def test_jobs_are_listed_newest_first_without_data_and_history(catalog: Catalog) -> None:
    search, made = catalog.search, catalog.uuids
    page = search.jobs()
    assert [row["uuid"] for row in page.rows] == made[4::-1]
    assert page.cursor is None
    assert {"data", "history", "_id", "_salt"}.isdisjoint(page.rows[0])
    assert page.rows[0]["state"] == "RUNNING"


def test_jobs_are_filtered(catalog: Catalog) -> None:
    search, made = catalog.search, catalog.uuids
    assert found(search, states=("RUNNING",)) == [made[4], made[1]]
    assert found(search, states=("FAILED", "FINISHED")) == [made[3], made[2]]
    assert found(search, pipelines=(catalog.pipeline["uuid"],)) == made[4::-1]
    assert found(search, pipelines=("10650844-1baa-55c5-a481-5e945b19c065",)) == []
    assert found(search, hidden=True) == [made[5]]
    ago = now() - 3.6 * HOUR
    assert found(search, created_after=ago) == [made[4], made[3]]
    assert found(search, created_before=ago) == [made[2], made[1], made[0]]
    assert found(search, created_before=ago, created_after=ago - HOUR) == [made[2]]
    assert found(search, updated_before=ago) == [made[1], made[0]]
    assert found(search, updated_before=ago, states=("CREATED",)) == [made[0]]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("SNAKE", [3, 1]),
        ("v2/2", [2]),
        ("sample-4", [4]),
        ("$sample", [4, 3, 2, 1, 0]),
        ("fail", [3]),
        (".*", []),
    ],
)
def test_a_text_is_found_in_any_case_also_in_the_data(
    catalog: Catalog, text: str, numbers: list[int]
) -> None:
    search, made = catalog.search, catalog.uuids
    assert found(search, text=text) == [made[number] for number in numbers]
    assert all("data" not in row for row in search.jobs(Filters(text=text)).rows)


def test_a_text_is_found_in_the_data_of_events(
    search: JobSearch, made: list[str], jobs: PipelineJobStore
) -> None:
    said = {"message": "The plate has 95 wells", "traceback": "ValueError: ünlikely"}
    jobs.apply(jobs.load(made[1]), "fail", said)
    for text in ("95 WELLS", "valueerror: Ünlikely"):
        assert found(search, text=text) == [made[1]]
    counts, is_whole = search.counts(Filters(text="95 wells"))
    assert (counts["FAILED"], sum(counts.values()), is_whole) == (1, 1, True)
    for filters in (Filters(), Filters(text="95 wells")):
        (row,) = (row for row in search.jobs(filters, events=1).rows if row["uuid"] == made[1])
        assert row["newest_data"] == [said]


@pytest.mark.parametrize("order", ["created", "updated"])
@pytest.mark.parametrize("states", [(), ("RUNNING", "CREATED", "FINISHED", "FAILED")])
def test_pages_lead_on_and_back_in_both_directions(
    catalog: Catalog, order: str, states: tuple[str, ...]
) -> None:
    search, made = catalog.search, catalog.uuids
    filters = Filters(states=states)
    for oldest_first, expected in ((False, made[4::-1]), (True, made[:5])):
        asked: dict[str, Any] = {"order": order, "oldest_first": oldest_first, "limit": 2}
        pages = [search.jobs(filters, **asked)]
        while pages[-1].cursor is not None:
            pages.append(search.jobs(filters, cursor=pages[-1].cursor, **asked))
        listed = [[row["uuid"] for row in page.rows] for page in pages]
        assert listed == [expected[:2], expected[2:4], expected[4:]]
        assert pages[0].back is None
        page = pages[-1]
        for before in listed[-2::-1]:
            page = search.jobs(filters, cursor=page.back, back=True, **asked)
            assert [row["uuid"] for row in page.rows] == before
        assert page.back is None
        assert search.jobs(filters, cursor=page.cursor, **asked).rows[0]["uuid"] == expected[2]


def test_a_search_that_is_broken_off_leads_on_and_back(
    search: JobSearch, made: list[str], db: Db
) -> None:
    """Each page looks at a minute, and in most of them there is nothing."""
    apart = datetime.timedelta(minutes=6)
    for number, uuid in enumerate(made):
        created = {"_properties.created_date": now() - (6 - number) * apart}
        db["jobs"].update_one({"uuid": uuid}, {"$set": created})
    filters = Filters(text="snake", created_after=now() - 6 * apart)
    asked: dict[str, Any] = {"limit": 1, "seconds": 0.0}

    def walk(page: Page, *, back: bool) -> list[Page]:
        pages = []
        while (cursor := page.back if back else page.cursor) is not None:
            page = search.jobs(filters, cursor=cursor, back=back, **asked)
            pages.append(page)
            assert len(pages) < 1000
        return pages

    def uuids(pages: list[Page]) -> list[str]:
        return [row["uuid"] for page in pages for row in page.rows]

    first = search.jobs(filters, **asked)
    onward = [first, *walk(first, back=False)]
    assert uuids(onward) == [made[3], made[1]]
    assert any(not page.rows for page in onward)
    last = next(page for page in onward if uuids([page]) == [made[1]])
    behind = walk(last, back=True)
    assert uuids(behind) == [made[3]]
    # where nothing was found, what was left and what is ahead are on the right sides
    empty = next(page for page in behind if not page.rows)
    assert uuids(walk(empty, back=False))[-1:] == [made[1]]
    for empty in (onward[onward.index(last) + 1], onward[-1]):
        assert uuids(walk(empty, back=True)) == [made[1], made[3]]
    assert uuids(walk(behind[-1], back=False)) == [made[3], made[1]]


def test_pages_stay_as_they_are_while_jobs_are_added_and_changed(
    search: JobSearch, made: list[str], jobs: PipelineJobStore, pipeline: Document
) -> None:
    first = search.jobs(limit=2)
    new = jobs.create(
        {"pipeline_uuid": pipeline["uuid"], "archive_path": "/products/v2/n", "data": {"n": 1}}
    )
    jobs.handle({"uuid": made[0], "name": "run"}, jobs.get_token(jobs.load(made[0])))
    second = search.jobs(limit=2, cursor=first.cursor)
    third = search.jobs(limit=2, cursor=second.cursor)
    listed = [row["uuid"] for page in (first, second, third) for row in page.rows]
    assert listed == made[4::-1]
    for _ in range(2):
        latest = [row["uuid"] for row in search.jobs(order="updated").rows]
        assert latest[:2] == [made[0], new["uuid"]]
        assert len(latest) == 6
    assert [row["uuid"] for row in search.jobs(limit=2).rows] == [new["uuid"], made[4]]


def test_jobs_are_counted_by_state(catalog: Catalog) -> None:
    search = catalog.search
    counts, _ = search.counts()
    assert {state: count for state, count in counts.items() if count} == {
        "CREATED": 1,
        "RUNNING": 2,
        "FINISHED": 1,
        "FAILED": 1,
    }
    assert counts["RETIRED"] == 0
    assert search.counts(Filters(hidden=True))[0]["RUNNING"] == 1
    assert sum(search.counts(Filters(created_after=now() - 3.5 * HOUR))[0].values()) == 2


def test_entries_have_their_place_and_state_across_buckets(
    search: JobSearch, jobs: PipelineJobStore, job: Document, send: Send, db: Db
) -> None:
    for number in range(60):
        send("run", {"number": number})
    send("finish")
    stored = jobs.load(job["uuid"])
    assert db["jobs_history"].count_documents({}) >= 2
    entries = list(search.entries(stored))
    assert [entry["position"] for entry in entries] == list(range(62))
    assert [entry["revision"] for entry in entries] == list(range(62))
    assert [entries[n]["state"] for n in (0, 1, 61)] == ["CREATED", "RUNNING", "FINISHED"]
    assert list(search.entries(stored, skip=35, limit=10)) == entries[35:45]
    path = [(before, after) for before, after, _ in search.path(stored)]
    assert path[:2] == [("CREATED", "CREATED"), ("CREATED", "RUNNING")]
    assert path[-1] == ("RUNNING", "FINISHED")


def test_rejected_events_are_listed(
    search: JobSearch, job: Document, send: Send, jobs: PipelineJobStore, pipeline: Document
) -> None:
    other = jobs.create(
        {"pipeline_uuid": pipeline["uuid"], "archive_path": "/products/v2/o", "data": {}}
    )
    for name in ("finish", "validate"):
        with pytest.raises(EventRefused):
            send(name, {"$a": name})
    with pytest.raises(EventRefused):
        jobs.handle({"uuid": other["uuid"], "name": "finish"}, other["_update_token"])
    rows = search.rejected().rows
    assert [row["event"] for row in rows] == ["finish", "validate", "finish"]
    assert rows[1]["data"] == {"$a": "validate"}
    assert rows[1]["state"] == "CREATED"
    assert rows[1]["reason"].startswith("validate event: not allowed in state CREATED")
    assert [row["event"] for row in search.rejected(job_uuid=job["uuid"]).rows] == [
        "validate",
        "finish",
    ]
    assert [row["uuid"] for row in search.rejected(event="finish").rows] == [
        other["uuid"],
        job["uuid"],
    ]
    page = search.rejected(limit=1)
    assert search.rejected(cursor=page.cursor).rows == rows[1:]


def test_who_is_behind_is_listed_with_what_waits(
    search: JobSearch, jobs: PipelineJobStore, job: Document
) -> None:
    loaded = jobs.load(job["uuid"])
    for number in range(3):
        loaded = jobs.apply(loaded, "run", {"number": number}).job
    assert search.untold().rows == []
    date, due = jobs.history(job["uuid"])[1]["date"], now()
    places: dict[str, Document] = {
        "lab": {"told": 0},
        "page": {"told": 2, "tries": 4, "due": due, "reason": "why"},
    }
    jobs.untold.leave_behind([Left(loaded, date, places)])
    row = {"uuid": job["uuid"], "since": date}
    nothing = {"tries": 0, "due": None, "reason": None}
    assert search.untold().rows == [
        {**row, "subscriber": "lab", "waiting": 3, **nothing},
        {**row, "subscriber": "page", "waiting": 1, "tries": 4, "due": due, "reason": "why"},
    ]
    jobs.delete(job["uuid"], job["_update_token"], force=True)
    assert [row["waiting"] for row in search.untold().rows] == [3, 1]


def test_pipelines_are_listed_and_named(
    search: JobSearch, pipeline: Document, mongodb: dict[str, Any]
) -> None:
    other = PipelineStore(mongodb).add_update_document(
        {**TACOBOT, "id": "salsabot", "name": "Salsabot", "components": []}
    )
    (first,) = (page := search.pipelines(limit=1)).rows
    (second,) = search.pipelines(limit=1, cursor=page.cursor).rows
    assert [row["uuid"] for row in (first, second)] == [other["uuid"], pipeline["uuid"]]
    assert [row["id"] for row in search.pipelines("SALSA").rows] == ["salsabot"]
    assert {"components", "_salt", "_id", "history"}.isdisjoint(first)
    names = search.pipeline_names([pipeline["uuid"], other["uuid"], "10600000"])
    assert names == {pipeline["uuid"]: "Tacobot 9000", other["uuid"]: "Salsabot"}


def test_everything_is_every_job_once(search: JobSearch, made: list[str], db: Db) -> None:
    db["jobs"].update_one({"uuid": made[2]}, {"$unset": {"_properties": ""}})
    assert sorted(job["uuid"] for job in search.everything()) == sorted(made)


def add_eighty(db: Db, like: str) -> None:
    """Add eighty jobs like one of them, each 50 s older than the one before."""
    pattern = db["jobs"].find_one({"uuid": like}) or {}
    del pattern["_id"]
    db["jobs"].insert_many(
        {
            **pattern,
            "uuid": typeduuid.catalog_uuid(str(number), "pipelinejob"),
            "_properties": {"created_date": now() - number * datetime.timedelta(seconds=50)},
        }
        for number in range(80)
    )


@pytest.fixture(scope="module")
def crowd(server: Server, mongo_client: pymongo.MongoClient[Document]) -> Iterator[Catalog]:
    """Eighty jobs more, all of them CREATED."""
    with catalog_of_six(server, mongo_client) as catalog:
        add_eighty(catalog.db, catalog.uuids[0])
        yield catalog


@pytest.fixture
def crowded(crowd: Catalog, monkeypatch: pytest.MonkeyPatch) -> Catalog:
    """The same, which are many here."""
    monkeypatch.setattr(search_module, "FEW", 20)
    return crowd


@pytest.fixture
def recorded(server: Server, crowded: Catalog, recorder: Recorder) -> Iterator[JobSearch]:
    """A search among them whose commands are noted."""
    with pymongo.MongoClient[Document](server.uri, event_listeners=[recorder]) as client:
        yield JobSearch(PipelineJobStore(client[crowded.db.name]))


@pytest.mark.parametrize(
    ("filters", "most"),
    [
        (Filters(), 6),
        (Filters(states=("FINISHED",)), 2),
        (Filters(states=("REJECTED",)), 2),
        (Filters(hidden=True), 2),
        (Filters(states=("CREATED",)), 7),
    ],
    ids=["all", "rare", "none", "hidden", "frequent"],
)
def test_a_page_takes_few_questions_however_many_jobs_there_are(
    filters: Filters, most: int, recorded: JobSearch, recorder: Recorder
) -> None:
    recorder.events.clear()
    recorded.jobs(filters)
    assert 0 < len(recorder.commands) <= most
    assert set(recorder.commands) == {"find jobs"}


@pytest.mark.parametrize("oldest_first", [False, True])
def test_a_page_that_is_asked_for_again_takes_one_question(
    oldest_first: bool, crowded: Catalog, recorded: JobSearch, recorder: Recorder
) -> None:
    search, db = recorded, crowded.db
    before = search.jobs(oldest_first=oldest_first, limit=20)
    recorder.events.clear()
    assert search.jobs(oldest_first=oldest_first, limit=20) == before
    # of the oldest, another one asks whether there are older ones by now
    assert len(recorder.commands) == 1 + oldest_first
    asked = [event.command["filter"] for event in recorder.events]
    # where they are as dense as here, about as many are looked at as are shown
    assert oldest_first or sum(db["jobs"].count_documents(each) for each in asked) < 30
    recorder.events.clear()
    search.jobs(oldest_first=oldest_first, limit=20, cursor=before.cursor)
    assert len(recorder.commands) <= 3


def test_few_jobs_take_one_question_and_many_that_have_come_since_are_not_all_read(
    made: list[str],
    recorded_jobs: PipelineJobStore,
    recorder: Recorder,
    monkeypatch: pytest.MonkeyPatch,
    db: Db,
) -> None:
    monkeypatch.setattr(search_module, "FEW", 20)
    search = JobSearch(recorded_jobs)
    before = search.jobs()
    recorder.events.clear()
    assert search.jobs() == before
    assert recorder.commands == ["count jobs", "find jobs"]
    add_eighty(db, made[0])
    recorder.events.clear()
    assert len(search.jobs(limit=5).rows) == 5
    asked = [event.command["filter"] for event in recorder.events[1:]]
    assert sum(db["jobs"].count_documents(each) for each in asked) < 40


@pytest.mark.parametrize("oldest_first", [False, True])
@pytest.mark.parametrize("years", [1, 9, 40])
def test_what_is_remembered_of_a_page_hides_nothing(
    years: int,
    search: JobSearch,
    jobs: PipelineJobStore,
    pipeline: Document,
    db: Db,
    *,
    oldest_first: bool,
) -> None:
    def made(number: int, age: datetime.timedelta) -> str:
        job = jobs.create(fields(pipeline, data={"number": number}))
        created = {"$set": {"_properties.created_date": now() - age}}
        db["jobs"].update_one({"uuid": job["uuid"]}, created)
        return str(job["uuid"])

    def listed(**filters: Any) -> list[str]:
        found = search.jobs(Filters(**filters), oldest_first=oldest_first).rows
        uuids = [row["uuid"] for row in found]
        return uuids if oldest_first else uuids[::-1]

    old, new = made(1, years * datetime.timedelta(days=365)), made(2, datetime.timedelta(hours=1))
    for _ in range(3):
        assert listed() == [old, new]
    since = now() - datetime.timedelta(minutes=10)
    assert listed(created_after=since) == []
    newest = made(3, datetime.timedelta())
    assert listed(created_after=since) == [newest]
    assert listed() == listed(text="number") == [old, new, newest]


def test_the_oldest_cost_about_what_the_newest_do(
    made: list[str], db: Db, recorded_jobs: PipelineJobStore, recorder: Recorder
) -> None:
    pattern = db["jobs"].find_one({"uuid": made[0]}) or {}
    del pattern["_id"]
    ages = [number * datetime.timedelta(minutes=7) for number in range(600)]
    db["jobs"].insert_many(
        {
            **pattern,
            "uuid": typeduuid.catalog_uuid(str(age), "pipelinejob"),
            "_properties": {"created_date": now() - age},
            "updated": now() - age,
        }
        for age in ages
    )

    def touched(search: JobSearch, order: str, *, oldest_first: bool) -> int:
        """Return how many jobs are in the ranges that are asked for, which a server may read whole."""
        recorder.events.clear()
        search.jobs(order=order, oldest_first=oldest_first, limit=20)
        asked = [event.command["filter"] for event in recorder.events]
        return sum(db["jobs"].count_documents(each) for each in asked)

    for order in ("created", "updated"):
        search = JobSearch(recorded_jobs)
        assert touched(search, order, oldest_first=False) < 200
        # the first time, it has to be looked for where they are
        assert touched(search, order, oldest_first=True) < 400
        assert touched(search, order, oldest_first=True) < 200


def test_a_job_that_is_older_than_the_oldest_known_is_listed(
    search: JobSearch, made: list[str], db: Db
) -> None:
    assert search.jobs(oldest_first=True).rows[0]["uuid"] == made[0]
    before = {"$set": {"_properties.created_date": now() - datetime.timedelta(days=400)}}
    db["jobs"].update_one({"uuid": made[3]}, before)
    assert [row["uuid"] for row in search.jobs(oldest_first=True).rows][:2] == [made[3], made[0]]


def test_rare_jobs_are_listed_in_pages_too(crowded: Catalog) -> None:
    search, made = crowded.search, crowded.uuids
    first = search.jobs(Filters(states=("RUNNING", "FINISHED", "FAILED")), limit=2)
    second = search.jobs(
        Filters(states=("RUNNING", "FINISHED", "FAILED")), limit=2, cursor=first.cursor
    )
    uuids = [row["uuid"] for row in (*first.rows, *second.rows)]
    assert uuids == made[4:0:-1]
    assert second.cursor is None
    within = Filters(
        states=("RUNNING", "FINISHED", "FAILED"),
        created_after=now() - 4.5 * HOUR,
        created_before=now() - 2.5 * HOUR,
    )
    assert [row["uuid"] for row in search.jobs(within).rows] == made[3:1:-1]


def test_the_way_of_a_job_is_read_without_the_data_in_buckets(
    search: JobSearch, jobs: PipelineJobStore, job: Document, send: Send
) -> None:
    for number in range(30):
        send("run", {"number": number})
    stored = jobs.load(job["uuid"])
    whole = list(search.entries(stored))
    bare = [entry for _, _, entry in search.path(stored)]
    assert ["data" in entry for entry in bare] == [False] * 20 + [True] * 11
    assert [{**entry, "data": None} for entry in bare] == [{**e, "data": None} for e in whole]


def test_one_entry_is_found_by_its_uuid_where_it_is_and_in_no_other_job(
    search: JobSearch, jobs: PipelineJobStore, job: Document, send: Send, pipeline: Document
) -> None:
    for number in range(30):
        send("run", {"number": number})
    stored = jobs.load(job["uuid"])
    history = jobs.history(job["uuid"])
    for entry in (history[0], history[5], history[-1]):
        assert search.entry(stored, entry["uuid"]) == entry
    fields = {"pipeline_uuid": pipeline["uuid"], "archive_path": "/x", "data": {"other": 1}}
    other = jobs.load(jobs.create(fields)["uuid"])
    assert search.entry(other, history[5]["uuid"]) is None


def test_a_refused_event_is_found_by_its_id_also_after_its_retry(
    search: JobSearch, jobs: PipelineJobStore, job: Document, send: Send
) -> None:
    with pytest.raises(EventRefused):
        send("finish", {"tacos": 3})
    (row,) = search.rejected().rows
    assert search.rejection(row["id"]) == row
    send("run")
    jobs.retry(row["id"])
    settled = search.rejection(row["id"])
    assert settled is not None
    assert settled["applied"] is not None
    assert search.rejection("x") is None


def test_children_are_listed_without_their_data_and_not_the_hidden_ones(
    search: JobSearch, jobs: PipelineJobStore, job: Document, pipeline: Document
) -> None:
    children = []
    for number in range(3):
        fields = {"pipeline_uuid": pipeline["uuid"], "archive_path": "/x", "data": {"n": number}}
        children.append(jobs.create({**fields, "child_of": [job["uuid"]]}))
    jobs.delete(children[2]["uuid"], children[2]["_update_token"])
    found = search.children(job["uuid"], 10)
    assert sorted(found, key=lambda each: str(each["uuid"])) == sorted(
        ({"uuid": each["uuid"], "state": "CREATED"} for each in children[:2]),
        key=lambda each: str(each["uuid"]),
    )
    assert len(search.children(job["uuid"], 1)) == 1
