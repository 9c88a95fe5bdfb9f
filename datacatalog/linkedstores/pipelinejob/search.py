"""What people look for among the jobs: lists with filters, counts, histories, what is left over."""

from __future__ import annotations

import datetime
import functools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from datacatalog import documents
from datacatalog.linkedstores.basestore.linked import DELETE, HIDE, SENDER
from datacatalog.linkedstores.basestore.paging import (
    FIRST_WIDTH,
    WHOLE_WIDTH,
    Listing,
    Page,
    Position,
)
from datacatalog.linkedstores.basestore.store import CREATED, VISIBLE
from datacatalog.linkedstores.pipelinejob import history
from datacatalog.linkedstores.pipelinejob.fsm import STATES, TRANSITIONS
from datacatalog.linkedstores.pipelinejob.history import UPDATED
from datacatalog.linkedstores.pipelinejob.naming import TITLES, title_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from datacatalog.linkedstores.pipelinejob.reader import JobReader
    from datacatalog.linkedstores.pipelinejob.stored import StoredJob
    from datacatalog.mongo import Document

    _Bounds = tuple[datetime.datetime | None, datetime.datetime | None]

ORDERS = {"created": CREATED, "updated": UPDATED}
"""Newest first in either, unless the oldest are to come first; a job that is changed meanwhile moves to the front of the second."""
_SHOWN = (
    "uuid",
    "state",
    "last_event",
    "updated",
    "pipeline_uuid",
    "session",
    "agent",
    "task",
    "archive_system",
    "archive_path",
    "_admin",
    "_properties",
    VISIBLE,
)
_TITLED = (*_SHOWN, *(f"data.{name}" for name in TITLES))
_MAX_FIRST_WIDTH = datetime.timedelta(days=1)
"""Of the window that is looked at first: much may have come into it since it was so wide."""
MAX_COUNTED = 100_000
"""The most jobs with the text of a search that are counted."""
FEW = 200
"""Documents that a server sorts sooner than it finds them among all by their date."""
_SEARCHED = ("uuid", "session", "agent", "task", "archive_path", "last_event")


@dataclass(frozen=True)
class Filters:
    """Which jobs are meant; those of which all that is given is true."""

    states: tuple[str, ...] = ()
    """any of these"""
    pipelines: tuple[str, ...] = ()
    """UUIDs, any of these"""
    sessions: tuple[str, ...] = ()
    """any of these, whole"""
    owners: tuple[str, ...] = ()
    """any of these, whole"""
    created_after: datetime.datetime | None = None
    created_before: datetime.datetime | None = None
    updated_after: datetime.datetime | None = None
    """something has happened since"""
    updated_before: datetime.datetime | None = None
    """nothing has happened since"""
    text: str = ""
    """in the uuid, session, agent, task, archive path, last event or data, or in the data of the
    newest events, as far as they are in the job's document (`history.MAX_ENTRIES`), in any case"""
    hidden: bool = False
    """the hidden ones instead of the visible ones"""


class JobSearch:
    """Bounded queries over the jobs of a store.

    Args:
        jobs: the store.
    """

    def __init__(self, jobs: JobReader) -> None:
        self._jobs = jobs
        self._first_pages: dict[tuple[str, bool], dict[str, Any]] = {}
        """Of all jobs, by their order: what `Listing` is to know of where the first page was."""

    def jobs(
        self,
        filters: Filters | None = None,
        *,
        order: str = "created",
        oldest_first: bool = False,
        cursor: str | None = None,
        back: bool = False,
        limit: int = 50,
        seconds: float | None = None,
        events: int = 0,
    ) -> Page:
        """Return jobs, newest first, without their data and history, and with their `title`.

        Args:
            filters: which ones; by default all visible ones.
            order: a key of `ORDERS`. In the order of creation, the pages that a cursor leads to stay
                as they are while jobs are added and changed.
            oldest_first: in the opposite order.
            cursor: of the page before.
            back: the cursor is the `back` of a page, and leads to the one before it.
            limit: how many at most.
            seconds: after how many to return what was found, with a cursor for the rest. A search
                for text has to look at every job.
            events: of how many of a job's newest events to return the data, as `newest_data`, the
                newest first.

        Raises:
            InvalidCursor: the cursor is not valid.
        """
        filters = filters or Filters()
        field, upwards = ORDERS[order], oldest_first != back
        # a search for text begins with little, of which it has to look at everything
        known = {} if filters.text else self._known(field, upwards)
        listing = self._listing(filters, field, _TITLED)._replace(**known, oldest_first=upwards)
        if events and not filters.text:
            projection = {**(listing.projection or {}), "history": {"$slice": -events}}
            listing = listing._replace(projection=projection)
        page = listing.page(cursor, limit, seconds)
        if page.rows and cursor is None and filters == Filters():
            self._first_pages[field, upwards] = _place(page, field)
        rows, onward, behind = page.rows, page.cursor, None
        if not rows and cursor is not None:
            # where the search was broken off, or began: on one side is what comes before, on the other
            # what follows
            here = page.cursor or cursor
            onward, behind = (here, page.cursor) if back else (page.cursor, here)
        elif rows and back:
            rows, onward, behind = rows[::-1], str(Position.of(rows[0], field)), page.cursor
        elif rows and cursor is not None:
            behind = str(Position.of(rows[0], field))
        return Page([_titled(row, events) for row in rows], onward, behind)

    def _known(self, field: str, upwards: bool) -> dict[str, Any]:
        """Return what `Listing` is to know of where the first page was the last time."""
        known = self._first_pages.get((field, upwards), {})
        if known.get("width") == WHOLE_WIDTH and self.count() > FEW:
            # much has come since
            return {}
        return known

    def _listing(self, filters: Filters, field: str, names: tuple[str, ...]) -> Listing:
        """Return the jobs that filters leave, by a date, the newest first, with some of their fields."""
        names, keep = _wanted(filters, names)
        bounds = _bounds(filters)
        after, before = bounds.pop(field, (None, None))
        return Listing(
            self._jobs.coll,
            field,
            first=self._found_in_few(filters),
            rest=_conditions(filters, bounds),
            projection=dict.fromkeys(names, 1),
            keep=keep,
            after=after,
            before=before,
        )

    def _found_in_few(self, filters: Filters) -> Document:
        """Return the first of the filters that only few of all jobs fit, if there is one."""
        conditions: list[Document] = []
        if filters.hidden:
            conditions.append({VISIBLE: False})
        if filters.states:
            conditions.append({"state": {"$in": list(filters.states)}})
        if filters.pipelines:
            conditions.append({"pipeline_uuid": {"$in": list(filters.pipelines)}})
        for condition in conditions:
            found = self._jobs.coll.find(condition, {"_id": 1}, limit=FEW + 1, batch_size=FEW + 1)
            if len(list(found)) <= FEW:
                return condition
        return {}

    def these(self, job_uuids: Iterable[str]) -> dict[str, Document]:
        """Return jobs, hidden ones too, as `jobs` does, by their UUIDs; those that there are."""
        found = self._jobs.coll.find({"uuid": {"$in": [*job_uuids]}}, dict.fromkeys(_TITLED, 1))
        return {row["uuid"]: _titled(row) for row in found}

    def quiet(self, states: Iterable[str], since: datetime.datetime, limit: int) -> list[Document]:
        """Return visible jobs in some states to which nothing has happened since, the longest ago first.

        Args:
            states: which; the price is that of the jobs in them.
            since: when.
            limit: how many at most.
        """
        query = {"state": {"$in": [*states]}, UPDATED: {"$lt": since}, VISIBLE: {"$ne": False}}
        names = dict.fromkeys(_TITLED, 1)
        found = self._jobs.coll.find(query, names, sort=[(UPDATED, 1)], limit=limit)
        return [_titled(row) for row in found]

    def counts(
        self, filters: Filters | None = None, seconds: float | None = None
    ) -> tuple[dict[str, int], bool]:
        """Count jobs by state, every state of the state machine included; looks at all of them.

        Args:
            filters: which ones.
            seconds: for how long to look for text, from the newest job on.

        Returns:
            The counts, and whether these are all: there may be more where the time was over, and beyond
            `MAX_COUNTED`.
        """
        filters = filters or Filters()
        found = dict.fromkeys(STATES, 0)
        if filters.text:
            return self._counted(filters, found, seconds)
        counted: Iterable[Document] = self._jobs.db[self._jobs.collection].aggregate(
            [
                {"$match": _conditions(filters, _bounds(filters))},
                {"$group": {"_id": "$state", "count": {"$sum": 1}}},
            ]
        )
        return {**found, **{row["_id"]: row["count"] for row in counted}}, True

    def _counted(
        self, filters: Filters, found: dict[str, int], seconds: float | None
    ) -> tuple[dict[str, int], bool]:
        page = self._listing(filters, CREATED, ("state",)).page(None, MAX_COUNTED, seconds)
        for row in page.rows:
            if row.get("state") in found:
                found[row["state"]] += 1
        return found, page.cursor is None

    def entries(
        self, job: StoredJob, skip: int = 0, limit: int | None = None, *, data: bool = True
    ) -> Iterator[dict[str, Any]]:
        """Yield the history of a stored job, oldest first, each entry with its place and its state.

        Args:
            job: as the store's `load` or `load_deletable` returned it.
            skip: how many of the oldest to leave out.
            limit: how many at most.
            data: with it; without, entries that have moved to buckets have none.

        Yields:
            `date`, `name`, `data` and `uuid`; `position` (0 is the first), and the job's `state` and
            `revision` after the event, None where they were not written; `sender`, the user who
            sent it, and `execution`, the id of the execution that brought it, where they are known.
        """
        stored = self._jobs.histories.read(job, skip, limit, data=data)
        for position, entry in enumerate(stored, start=skip):
            yield {
                "position": position,
                **history.public(entry),
                "state": entry.get("_state"),
                "revision": entry.get("_revision"),
                "sender": entry.get("_sender"),
                "execution": entry.get("_execution"),
            }

    def entry(self, job: StoredJob, uuid: str) -> dict[str, Any] | None:
        """Return the entry of a stored job with a UUID, or None."""
        found = self._jobs.histories.find(job, uuid)
        return None if found is None else history.public(found)

    def hiding(self, job_uuid: str) -> Document | None:
        """Return when a job was hidden last, as `date`, and by whom, as `sender`, where that is known."""
        query = {"uuid": job_uuid, "action": {"$in": [DELETE, HIDE]}}
        found = self._jobs.updates.find_one(query, sort=[("date", -1)])
        return None if found is None else {name: found.get(name) for name in ("date", SENDER)}

    def children(self, job_uuid: str, limit: int) -> list[Document]:
        """Return the UUIDs and states of visible jobs that are children of a job."""
        query = {"child_of": job_uuid, VISIBLE: {"$ne": False}}
        names = ("uuid", "state")
        found = self._jobs.coll.find(query, dict.fromkeys(names, 1), limit=limit)
        return [_public(row, names) for row in found]

    def parents(self, job_uuids: Iterable[str]) -> dict[str, list[str]]:
        """Return what jobs are children of, jobs and others, by the UUIDs of the jobs."""
        found = self._jobs.coll.find({"uuid": {"$in": [*job_uuids]}}, {"uuid": 1, "child_of": 1})
        return {row["uuid"]: [str(uuid) for uuid in row.get("child_of") or ()] for row in found}

    def path(self, job: StoredJob, skip: int = 0) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Yield the way of a stored job through the state machine: state before, state after, entry.

        The entries are without their data, as far as they have moved to buckets.

        Args:
            job: as for `entries`.
            skip: as for `entries`.
        """
        before = ""
        for entry in self.entries(job, skip, data=False):
            transition = TRANSITIONS.get(entry["name"])
            after = entry["state"] or (transition and transition.target) or before
            yield before or after, after, entry
            before = after

    def pipelines(self, text: str = "", *, cursor: str | None = None, limit: int = 50) -> Page:
        """Return visible pipelines, newest first, without their components.

        Args:
            text: in the uuid, id, name or description, in any case.
            cursor: as for `jobs`.
            limit: as for `jobs`.

        Raises:
            InvalidCursor: the cursor is not valid.
        """
        wanted = text.casefold()
        names = ("uuid", "id", "name", "description", "pipeline_type", "_admin", "_properties")
        listing = Listing(
            self._jobs.db["pipelines"],
            CREATED,
            rest={VISIBLE: {"$ne": False}},
            projection=dict.fromkeys(names, 1),
            keep=lambda row: any(wanted in str(row.get(name)).casefold() for name in names[:4]),
        )
        page = listing.page(cursor, limit)
        return Page([_public(row, names) for row in page.rows], page.cursor)

    def pipeline_names(self, uuids: Iterable[str]) -> dict[str, str]:
        """Return the names of pipelines, hidden ones too, by their UUIDs."""
        query = {"uuid": {"$in": sorted(set(uuids))}}
        found = self._jobs.db["pipelines"].find(query, {"uuid": 1, "name": 1})
        return {row["uuid"]: str(row.get("name")) for row in found}

    def named_pipelines(self, limit: int) -> list[Document]:
        """Return `uuid`, `id` and `name` of visible pipelines, by their names.

        Args:
            limit: how many at most.
        """
        names = ("uuid", "id", "name")
        # what something else has written may be called by anything
        query = {VISIBLE: {"$ne": False}, "uuid": {"$type": "string"}, "id": {"$type": "string"}}
        found = self._jobs.db["pipelines"].find(
            query, dict.fromkeys(names, 1), sort=[("name", 1)], limit=limit
        )
        return [_public(row, names) for row in found]

    def rejected(
        self,
        *,
        job_uuid: str | None = None,
        event: str | None = None,
        settled: bool = False,
        pipelines: Iterable[str] = (),
        after: datetime.datetime | None = None,
        before: datetime.datetime | None = None,
        cursor: str | None = None,
        limit: int = 50,
        seconds: float | None = None,
    ) -> Page:
        """Return events that were refused, newest first.

        Args:
            job_uuid: whose.
            event: of which name.
            settled: also those that were applied later on.
            pipelines: of whose jobs, by their UUIDs; none for all. The job of each event is looked up.
            after: not before this.
            before: before this.
            cursor: as for `jobs`.
            limit: as for `jobs`.
            seconds: as for `jobs`.

        Returns:
            Rows of `id`, `uuid` (the job's), `date`, `event`, `data`, `state`, `reason`,
            `execution_id` and `applied` (when it was, else None).

        Raises:
            InvalidCursor: the cursor is not valid.
        """
        conditions: Document = {} if event is None else {"event.name": event}
        if not settled:
            conditions["applied"] = None
        wanted = frozenset(pipelines)
        of_job = functools.cache(self._pipeline_of)
        listing = Listing(
            self._jobs.rejected,
            "date",
            first={} if job_uuid is None else {"uuid": job_uuid},
            rest=conditions,
            keep=(lambda row: of_job(row.get("uuid")) in wanted) if wanted else None,
            after=after,
            before=before,
        )
        page = listing.page(cursor, limit, seconds)
        return Page([_rejected(row) for row in page.rows], page.cursor)

    def _pipeline_of(self, job_uuid: str) -> str:
        found = self._jobs.coll.find_one({"uuid": job_uuid}, {"pipeline_uuid": 1})
        return str((found or {}).get("pipeline_uuid"))

    def rejection(self, rejected_id: str) -> Document | None:
        """Return an event that was refused, as a row of `rejected`; also if it was applied since."""
        found = self._jobs.rejected.find_one({"_id": rejected_id})
        return None if found is None else _rejected(found)

    def untold(self, *, cursor: str | None = None, limit: int = 50) -> Page:
        """Return who has yet to be told something of which jobs, the newest of them first.

        Args:
            cursor: as for `jobs`.
            limit: as for `jobs`; of jobs.

        Returns:
            Rows of `uuid`, `subscriber`, `waiting` (how many events), `since` (when the first of them
            came), `tries`, `due` (when it is tried next; None for at once) and `reason`.

        Raises:
            InvalidCursor: the cursor is not valid.
        """
        page = Listing(self._jobs.untold.behind, "since").page(cursor, limit)
        rows = [row for found in page.rows for row in self._jobs.untold.rows(found)]
        return Page(rows, page.cursor)

    def count(self) -> int:
        """Estimate how many jobs there are, hidden ones too."""
        return self._jobs.coll.estimated_document_count()

    def count_rejected(self) -> int:
        """Estimate how many events were refused, also those that were applied later on."""
        return self._jobs.rejected.estimated_document_count()

    def everything(self) -> Iterator[StoredJob]:
        """Yield all jobs as they are stored, hidden ones too, the newest first."""
        yield from cast("Iterator[StoredJob]", Listing(self._jobs.coll, CREATED).all())
        yield from self._jobs.coll.find({CREATED: None})


def _public(row: Mapping[str, Any], names: Iterable[str]) -> Document:
    shown: Document = documents.decode({name: row[name] for name in names if name in row})
    return shown


def _titled(row: Mapping[str, Any], events: int = 0) -> Document:
    shown = {**_public(row, _SHOWN), "title": title_of(row)}
    if not events:
        return shown
    newest = history.recent(cast("StoredJob", row))[-events:]
    data = [each.get("data") for each in map(history.public, reversed(newest))]
    return {**shown, "newest_data": data}


def _place(page: Page, field: str) -> dict[str, Any]:
    """Return what `Listing` is to know of where the documents of a page are."""
    first, last = (Position.of(row, field).moment for row in (page.rows[0], page.rows[-1]))
    if page.cursor is None:
        # these are all, which one query finds
        return {"near": first, "width": WHOLE_WIDTH}
    # a quarter more: what comes behind the last one tells whether there is a next page
    width = min(max(FIRST_WIDTH, abs(first - last) * 5 / 4), _MAX_FIRST_WIDTH)
    return {"near": first, "width": width}


def _bounds(filters: Filters) -> dict[str, _Bounds]:
    bounds: dict[str, _Bounds] = {}
    if filters.created_after or filters.created_before:
        bounds[CREATED] = (filters.created_after, filters.created_before)
    if filters.updated_after or filters.updated_before:
        bounds[UPDATED] = (filters.updated_after, filters.updated_before)
    return bounds


def _conditions(filters: Filters, bounds: Mapping[str, _Bounds]) -> Document:
    conditions: Document = {}
    if filters.states:
        conditions["state"] = {"$in": list(filters.states)}
    if filters.pipelines:
        conditions["pipeline_uuid"] = {"$in": list(filters.pipelines)}
    if filters.sessions:
        conditions["session"] = {"$in": list(filters.sessions)}
    if filters.owners:
        conditions["_admin.owner"] = {"$in": list(filters.owners)}
    for field, (after, before) in bounds.items():
        limits = {"$gte": after, "$lt": before}
        conditions[field] = {name: moment for name, moment in limits.items() if moment}
    conditions[VISIBLE] = False if filters.hidden else {"$ne": False}
    return conditions


def _wanted(
    filters: Filters, names: tuple[str, ...]
) -> tuple[tuple[str, ...], Callable[[Document], bool] | None]:
    """Return the fields that have to be read of jobs, and what tells which have the text."""
    if not filters.text:
        return names, None
    text = filters.text.casefold()
    return (*_SHOWN, "data", "history.data"), lambda row: text in _searchable(row)


def _searchable(row: Document) -> str:
    texts = [str(row.get(name) or "") for name in _SEARCHED]
    entries = history.blanked(history.recent(cast("StoredJob", row)))
    events = [entry.get("data") for entry in entries]
    written = [
        json.dumps(documents.decode(data), ensure_ascii=False, default=str)
        for data in (row.get("data"), *events)
        if data
    ]
    return "\n".join([*texts, *written]).casefold()


def _rejected(row: Document) -> Document:
    stored = row.get("event")
    event: Document = stored if isinstance(stored, dict) else {}
    return {
        "id": row["_id"],
        "uuid": row.get("uuid"),
        "date": row.get("date"),
        "event": event.get("name"),
        "data": documents.decode(event.get("data")),
        "state": row.get("state"),
        "reason": row.get("reason"),
        "execution_id": row.get("execution_id"),
        "applied": row.get("applied"),
    }
