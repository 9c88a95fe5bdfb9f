"""Further events of a job in one process: what it remembers saves a read, and permits nothing by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pymongo.errors import ServerSelectionTimeoutError

from datacatalog.linkedstores.pipelinejob import (
    EventConflict,
    EventRefused,
    JobUpdateFailure,
    PipelineJobStore,
    UnknownJob,
    history,
)
from datacatalog.linkedstores.pipelinejob.appending import Uncertain
from datacatalog.linkedstores.pipelinejob.stored import StoredJob
from datacatalog.mongo import Db, Document
from datacatalog.tokens import InvalidAdminToken, InvalidToken
from local.database import Server
from tests.manager.receiving import until
from tests.reliability.wire import Fault, Proxy


@pytest.fixture
def running(jobs: PipelineJobStore, job: Document) -> Document:
    """A job of which this process remembers that it runs."""
    return handle(jobs, job, "run")


@pytest.fixture
def elsewhere(mongodb: dict[str, Any]) -> PipelineJobStore:
    """The store of another process, which remembers what it has done itself."""
    return PipelineJobStore(mongodb)


def handle(store: PipelineJobStore, job: Document, name: str, token: str | None = None) -> Document:
    """Send an event with the token that a job had."""
    event = {"uuid": job["uuid"], "name": name, "data": {"sent": name}}
    return store.handle(event, token or job["_update_token"])


def test_what_is_returned_is_the_whole_job(jobs: PipelineJobStore, running: Document) -> None:
    for _ in range(history.MAX_ENTRIES + 3):
        handled = handle(jobs, running, "update")
        assert handled == jobs.with_token(jobs.load(running["uuid"]))
    assert handled["data"] == {"tacos": 3}
    assert len(jobs.history(running["uuid"])) == history.MAX_ENTRIES + 5


def test_what_another_process_has_done_since_counts(
    jobs: PipelineJobStore, elsewhere: PipelineJobStore, running: Document
) -> None:
    handle(elsewhere, running, "finish")
    with pytest.raises(EventRefused):
        handle(jobs, running, "run")
    assert handle(jobs, running, "validate")["state"] == "VALIDATING"
    names = [entry["name"] for entry in jobs.history(running["uuid"])]
    assert names == ["create", "run", "finish", "validate"]


def test_an_event_that_the_job_refuses_is_kept_once(
    jobs: PipelineJobStore, running: Document, db: Db
) -> None:
    with pytest.raises(EventRefused):
        handle(jobs, running, "validated")
    assert [row["event"]["name"] for row in db["rejected_events"].find()] == ["validated"]


@pytest.mark.parametrize("others", [0, history.MAX_ENTRIES], ids=["recent", "moved"])
def test_an_event_that_comes_again_with_its_key_counts_once(
    others: int, jobs: PipelineJobStore, running: Document
) -> None:
    def send(name: str, data: Document, key: str) -> Document:
        event = {"uuid": running["uuid"], "name": name, "data": data}
        return jobs.handle(event, running["_update_token"], key=key)

    send("update", {"step": 1}, "a")
    for number in range(others):
        send("update", {"step": 2}, f"b{number}")
    before = jobs.history(running["uuid"])
    assert send("update", {"step": 1}, "a")["state"] == "RUNNING"
    for name, data in (("update", {"step": 3}), ("finish", {"step": 1})):
        with pytest.raises(EventConflict):
            send(name, data, "a")
    assert jobs.history(running["uuid"]) == before
    assert [entry["data"] for entry in before].count({"step": 1}) == 1


def test_a_key_of_before_a_reset_is_known_and_a_new_one_is_not(
    admin_token: str, jobs: PipelineJobStore, running: Document
) -> None:
    event = {"uuid": running["uuid"], "name": "update", "data": {}}
    jobs.handle(event, running["_update_token"], key="a")
    handle(jobs, running, "reset", admin_token)
    handle(jobs, running, "ready", admin_token)
    run = {**event, "name": "run"}
    assert jobs.handle(run, running["_update_token"], key="b")["state"] == "RUNNING"
    assert jobs.handle(event, running["_update_token"], key="a")["last_event"] == "update"
    names = [entry["name"] for entry in jobs.history(running["uuid"])]
    assert names == ["create", "run", "update", "reset", "ready", "run", "update"]


def test_a_bucket_counts_for_its_own_job_and_only_below_the_mark_of_what_has_moved(
    jobs: PipelineJobStore, running: Document, db: Db
) -> None:
    event = {"uuid": running["uuid"], "name": "update", "data": {}}
    jobs.handle(event, running["_update_token"], key="a")
    stored = jobs.load(running["uuid"])
    crashed = [*stored["history"], {**stored["history"][-1], "uuid": "of a job before"}]
    for first, other in ((0, stored["_id"]), (0, "another")):
        bucket = {"job_id": other, "first": first, "last": first + 3, "entries": crashed}
        db["jobs_history"].insert_one(bucket)
    known = jobs.histories.find_moved({**stored, "_history": {"moved": 0}}, crashed[-1]["uuid"])
    assert known is None
    moved: StoredJob = {**stored, "_id": "a third", "_history": {"moved": 20}}
    assert jobs.histories.find_moved(moved, crashed[-1]["uuid"]) is None
    assert not jobs.histories.has_any(moved, ["of a job before"])
    assert jobs.histories.has_any({**moved, "_id": stored["_id"]}, ["of a job before"])


def test_a_wrong_token_is_refused_and_the_right_one_accepted(
    admin_token: str, jobs: PipelineJobStore, running: Document
) -> None:
    with pytest.raises(InvalidToken):
        handle(jobs, running, "update", "0" * 16)
    handle(jobs, running, "update")
    with pytest.raises(InvalidAdminToken):
        handle(jobs, running, "reset")
    assert handle(jobs, running, "reset", admin_token)["state"] == "RESET"


def test_a_token_that_was_changed_elsewhere_is_refused_at_once(
    jobs: PipelineJobStore, elsewhere: PipelineJobStore, running: Document
) -> None:
    new = elsewhere.rotate_token(running["uuid"], running["_update_token"], grace=0)
    with pytest.raises(InvalidToken):
        handle(jobs, running, "update")
    handle(jobs, new, "update")
    handle(elsewhere, new, "update")
    # the one that this process remembers is older than the job
    newest = elsewhere.rotate_token(running["uuid"], new["_update_token"], grace=0)
    assert handle(jobs, newest, "update")["state"] == "RUNNING"


def test_a_job_that_was_hidden_elsewhere_is_unknown(
    jobs: PipelineJobStore, elsewhere: PipelineJobStore, running: Document
) -> None:
    elsewhere.delete(running["uuid"], running["_update_token"])
    with pytest.raises(UnknownJob):
        handle(jobs, running, "update")
    assert elsewhere.load_deletable(running["uuid"])["last_event"] == "run"


@pytest.fixture
def breaking(mongodb: dict[str, Any], job: Document) -> Breaking:
    """A store that remembers a running job, and loses the answer to its next event."""
    store = Breaking(mongodb)
    handle(store, job, "run")
    return store


class Breaking(PipelineJobStore):
    """Loses an answer, and lets something happen meanwhile."""

    meanwhile: Callable[[], object]

    def append_and_load(self, *args: Any) -> StoredJob | None:
        """Do as the store does."""
        assert super().append_and_load(*args) is not None
        self.meanwhile()
        raise Uncertain


def test_an_event_whose_answer_was_lost_is_applied_once_though_it_has_moved(
    breaking: Breaking, elsewhere: PipelineJobStore, job: Document
) -> None:
    breaking.meanwhile = lambda: [handle(elsewhere, job, "run") for _ in range(history.MAX_ENTRIES)]
    assert handle(breaking, job, "update")["state"] == "RUNNING"
    names = [entry["name"] for entry in breaking.history(job["uuid"])]
    assert names.count("update") == 1
    assert len(names) == history.MAX_ENTRIES + 3


def test_an_event_that_was_applied_is_told_so_though_its_token_was_changed_since(
    breaking: Breaking, elsewhere: PipelineJobStore, job: Document
) -> None:
    breaking.meanwhile = lambda: elsewhere.rotate_token(job["uuid"], job["_update_token"], grace=0)
    assert handle(breaking, job, "update")["last_event"] == "update"
    with pytest.raises(InvalidToken):
        handle(elsewhere, job, "update")


def test_who_may_not_change_a_job_is_told_that_first(
    jobs: PipelineJobStore, elsewhere: PipelineJobStore, running: Document
) -> None:
    unfit = {"uuid": running["uuid"], "name": "update", "data": {"value": float("nan")}}
    new = elsewhere.rotate_token(running["uuid"], running["_update_token"], grace=0)
    with pytest.raises(InvalidToken):
        jobs.handle(unfit, running["_update_token"])
    with pytest.raises(JobUpdateFailure):
        jobs.handle(unfit, new["_update_token"])


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    with Proxy(server.uri) as running:
        yield running


@pytest.fixture
def behind(proxy: Proxy, mongodb: dict[str, Any]) -> PipelineJobStore:
    """A store with the proxy in front of its database."""
    return PipelineJobStore({**mongodb, "authn": proxy.uri})


@pytest.mark.parametrize("fault", [Fault.RESET_BEFORE, Fault.RESET_AFTER])
def test_an_event_is_applied_once_whatever_becomes_of_the_first_attempt(
    fault: Fault, proxy: Proxy, behind: PipelineJobStore, job: Document
) -> None:
    faults = [fault]
    handle(behind, job, "run")
    proxy.plan = lambda command: faults.pop() if command.writes("jobs") and faults else None
    assert handle(behind, job, "update")["last_event"] == "update"
    assert faults == []
    names = [entry["name"] for entry in behind.history(job["uuid"])]
    assert names == ["create", "run", "update"]


def test_a_database_that_is_away_is_waited_for_once(
    server: Server, mongodb: dict[str, Any], job: Document
) -> None:
    loaded: list[str] = []

    class Noting(PipelineJobStore):
        def load(self, uuid: str) -> StoredJob:
            loaded.append(uuid)
            return super().load(uuid)

    with Proxy(server.uri) as proxy:
        store = Noting({**mongodb, "authn": proxy.uri, "timeout": 0.5})
        handle(store, job, "run")
        head = store.load_head(job["uuid"])
    assert loaded == [job["uuid"]]
    # what is sent on a connection whose end was not noticed is looked for, whoever is away
    until(lambda: not store.coll.database.client.nodes)
    with pytest.raises(ServerSelectionTimeoutError):
        handle(store, job, "run")
    # as the actor does, which begins again where what it remembers is outdated
    with pytest.raises(ServerSelectionTimeoutError):
        store.apply_event(head, store.new_event(head, "run", {}), remembered=True)
    assert loaded == [job["uuid"]]
