from __future__ import annotations

import datetime
import inspect
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from datacatalog import tokens
from datacatalog.linkedstores.basestore import CatalogUpdateFailure, contention
from datacatalog.linkedstores.basestore.store import now
from datacatalog.linkedstores.pipelinejob import PipelineJobStore, UnknownJob
from datacatalog.linkedstores.pipelinejob.former_salts import MAX_GRACE_SECONDS
from datacatalog.linkedstores.pipelinejob.replay import verify
from datacatalog.linkedstores.transfer import Transfer
from datacatalog.mongo import Db, Document
from datacatalog.tokens import InvalidToken
from datacatalog.tokens.digest import digest
from reactors.logs import Redactor
from tests.datacatalog.conftest import Send
from tests.datacatalog.jobs import audit, stored


def rotate(jobs: PipelineJobStore, job: Document, **options: Any) -> str:
    """Rotate the token of a job; return the new one."""
    present = jobs.get_token(jobs.load_deletable(job["uuid"]))
    token = jobs.rotate_token(job["uuid"], present, **options)["_update_token"]
    assert isinstance(token, str)
    return token


def end(db: Db, job: Document, number: int) -> None:
    """Let the period of a former token be over."""
    moment = now() - datetime.timedelta(milliseconds=1)
    db["jobs"].update_one(
        {"uuid": job["uuid"]}, {"$set": {f"_former_salts.{number}.until": moment}}
    )


def holds(jobs: PipelineJobStore, job: Document, token: str) -> bool:
    try:
        jobs.validate_token(stored(jobs.db, job), token)
    except InvalidToken:
        return False
    return True


def test_both_tokens_hold_within_the_period(
    jobs: PipelineJobStore, job: Document, send: Send
) -> None:
    former = job["_update_token"]
    new = rotate(jobs, job)
    assert new != former
    assert send("run", token=former)["_update_token"] == new
    assert send("update", token=new)["state"] == "RUNNING"


def test_after_the_period_the_former_token_is_refused_as_any_wrong_one(
    jobs: PipelineJobStore, job: Document, db: Db, send: Send
) -> None:
    new = rotate(jobs, job, grace=60)
    end(db, job, 0)
    before = stored(db, job)
    with pytest.raises(InvalidToken) as wrong:
        send("run", token="0123456789abcdef")
    with pytest.raises(InvalidToken) as former:
        send("run")
    assert str(former.value) == str(wrong.value)
    for force in (False, True):
        with pytest.raises(InvalidToken):
            jobs.delete(job["uuid"], job["_update_token"], force)
    assert stored(db, job) == before
    assert send("run", token=new)["state"] == "RUNNING"


def test_without_a_period_the_former_token_ends_at_once(
    jobs: PipelineJobStore, job: Document, db: Db
) -> None:
    first = job["_update_token"]
    second = rotate(jobs, job)
    third = rotate(jobs, job, grace=0)
    assert [holds(jobs, job, token) for token in (first, second, third)] == [False, False, True]
    assert [each["revision"] for each in stored(db, job)["_former_salts"]] == [2]


def test_a_second_rotation_leaves_the_end_of_the_first_as_it_was(
    jobs: PipelineJobStore, job: Document, db: Db
) -> None:
    rotate(jobs, job, grace=100)
    until = stored(db, job)["_former_salts"][0]["until"]
    rotate(jobs, job, grace=1000)
    assert stored(db, job)["_former_salts"][0]["until"] == until
    rotate(jobs, job, grace=10)
    moments = [each["until"] for each in stored(db, job)["_former_salts"]]
    assert moments == [moments[2]] * 3
    assert moments[0] < until


def test_only_so_many_former_tokens_hold_the_newest(
    jobs: PipelineJobStore, job: Document, db: Db
) -> None:
    shown = [job["_update_token"], *(rotate(jobs, job) for _ in range(5))]
    assert [holds(jobs, job, token) for token in shown] == [False, False, True, True, True, True]
    assert len(stored(db, job)["_former_salts"]) == tokens.MAX_FORMER_SALTS


def test_what_has_ended_is_tidied_away_by_the_next_change(
    jobs: PipelineJobStore, job: Document, db: Db, send: Send
) -> None:
    salt = stored(db, job)["_salt"]
    second = rotate(jobs, job)
    new = rotate(jobs, job)
    end(db, job, 0)
    send("run", token=new)
    found = stored(db, job)
    assert salt not in str(found)
    assert [each["revision"] for each in found["_former_salts"]] == [2]
    assert holds(jobs, job, second)
    end(db, job, 0)
    jobs.delete(job["uuid"], new)
    assert stored(db, job)["_former_salts"] == []


@pytest.mark.parametrize("token", ["former", "wrong", "", None])
def test_only_the_present_token_or_an_administrative_one_rotates(
    token: str | None, admin_token: str, jobs: PipelineJobStore, job: Document, db: Db
) -> None:
    rotate(jobs, job)
    before = stored(db, job)
    with pytest.raises(InvalidToken):
        jobs.rotate_token(job["uuid"], job["_update_token"] if token == "former" else token)
    assert stored(db, job) == before
    jobs.rotate_token(job["uuid"], admin_token)
    assert stored(db, job)["_salt"] != before["_salt"]


@pytest.mark.parametrize("grace", [-1, MAX_GRACE_SECONDS + 1, float("nan"), float("inf")])
def test_a_period_out_of_range_is_refused(
    grace: float, jobs: PipelineJobStore, job: Document, db: Db
) -> None:
    before = stored(db, job)
    with pytest.raises(ValueError, match=r"^grace is .*: give 0 to 2,592,000 seconds$"):
        jobs.rotate_token(job["uuid"], job["_update_token"], grace=grace)
    assert stored(db, job) == before
    jobs.rotate_token(job["uuid"], job["_update_token"], grace=MAX_GRACE_SECONDS)


def test_the_period_is_an_hour_unless_another_is_given(
    jobs: PipelineJobStore, job: Document, db: Db
) -> None:
    assert inspect.signature(jobs.rotate_token).parameters["grace"].default == 3600
    rotate(jobs, job)
    left = stored(db, job)["_former_salts"][0]["until"] - now()
    assert datetime.timedelta(seconds=3540) < left <= datetime.timedelta(seconds=3600)


def test_an_unknown_job_is_not_rotated_and_a_hidden_one_is(
    jobs: PipelineJobStore, job: Document
) -> None:
    with pytest.raises(UnknownJob):
        jobs.rotate_token("10700000-0000-5000-8000-000000000000", "0123456789abcdef")
    jobs.delete(job["uuid"], job["_update_token"])
    new = rotate(jobs, job)
    assert jobs.undelete(job["uuid"], new)["_update_token"] == new


def test_a_rotation_that_never_gets_its_turn_says_so(
    jobs: PipelineJobStore, job: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contention, "MAX_SECONDS", 0.0)
    monkeypatch.setattr(jobs, "commit", lambda *_: False)
    with pytest.raises(CatalogUpdateFailure) as failed:
        rotate(jobs, job)
    assert str(failed.value).startswith(
        f"rotation of the token of job {job['uuid']}: other writers"
    )


def test_a_rotation_is_in_the_audit_log_and_no_event(
    jobs: PipelineJobStore, job: Document, db: Db
) -> None:
    entries = jobs.history(job["uuid"])
    former = stored(db, job)
    rotate(jobs, job, grace=60)
    found = stored(db, job)
    row = audit(db, job)[-1]
    assert row == {
        "_id": f"{found['_id']}:1",
        "uuid": job["uuid"],
        "date": row["date"],
        "action": "rotate_token",
        "former_until": row["date"] + datetime.timedelta(seconds=60),
        "_admin": found["_admin"],
    }
    assert jobs.history(job["uuid"]) == entries
    assert {former["_salt"], found["_salt"]}.isdisjoint(str(audit(db, job)).split("'"))
    assert found["_properties"]["revision"] == 1
    assert (found["state"], found["updated"]) == (former["state"], former["updated"])


def test_a_row_that_was_not_written_is_made_up_for(
    jobs: PipelineJobStore, job: Document, db: Db, send: Send
) -> None:
    new = rotate(jobs, job)
    row = {"uuid": job["uuid"], "action": "rotate_token"}
    written = db["updates"].find_one_and_delete(row)
    assert verify(jobs, jobs.load(job["uuid"])).problems == []
    end(db, job, 0)
    send("run", token=new)
    made_up = db["updates"].find_one(row)
    assert made_up is not None
    assert written is not None
    assert {n: v for n, v in made_up.items() if n != "former_until"} == {
        n: v for n, v in written.items() if n != "former_until"
    }
    assert verify(jobs, jobs.load(job["uuid"])).problems == []


def test_the_row_of_a_token_that_has_to_give_way_is_made_up_for(
    jobs: PipelineJobStore, job: Document, db: Db
) -> None:
    for _ in range(tokens.MAX_FORMER_SALTS):
        rotate(jobs, job)
    db["updates"].delete_many({"action": "rotate_token"})
    rotate(jobs, job)
    rows = db["updates"].distinct("_id", {"action": "rotate_token"})
    of = stored(db, job)["_id"]
    assert sorted(rows) == [f"{of}:1", f"{of}:4"]
    assert verify(jobs, jobs.load(job["uuid"])).problems == []


def test_a_job_of_a_version_that_did_not_count_is_rotated(
    jobs: PipelineJobStore, job: Document, db: Db, send: Send
) -> None:
    db["jobs"].update_one({"uuid": job["uuid"]}, {"$unset": {"_properties": ""}})
    new = rotate(jobs, job)
    assert send("run")["_update_token"] == new
    assert stored(db, job)["_properties"]["revision"] == 2


def test_the_history_of_a_job_with_rotations_and_links_is_right(
    jobs: PipelineJobStore, job: Document, send: Send
) -> None:
    for _ in range(6):
        send("run", token=rotate(jobs, job, grace=0))
    parent = "1073c9ea-3e3b-5a5b-9a3a-7a3a3a3a3a3a"
    jobs.add_link(job["uuid"], parent)
    assert verify(jobs, jobs.load(job["uuid"])).problems == []


def test_nothing_of_a_former_salt_leaves_the_store(
    jobs: PipelineJobStore, job: Document, db: Db, send: Send
) -> None:
    salt = stored(db, job)["_salt"]
    new = rotate(jobs, job)
    shown = [
        send("run", token=new),
        jobs.find_one_by_uuid(job["uuid"]),
        jobs.query({"uuid": job["uuid"]}),
        jobs.delete(job["uuid"], new),
        jobs.rotate_token(job["uuid"], new),
    ]
    assert salt not in str(shown)
    assert "_former_salts" not in str(shown)
    kept = Redactor()(str(stored(db, job)))
    assert salt not in kept


def test_an_import_brings_the_tokens_that_hold(
    jobs: PipelineJobStore, job: Document, db: Db
) -> None:
    new = rotate(jobs, job)
    transfer = Transfer(db)
    items = list(transfer.dump(None))
    for collection in ("jobs", "updates"):
        db[collection].delete_many({})
    transfer.load(items)
    assert [holds(jobs, job, token) for token in (job["_update_token"], new)] == [True, True]


def test_a_removed_job_still_knows_its_tokens(jobs: PipelineJobStore, job: Document) -> None:
    new = rotate(jobs, job)
    jobs.delete(job["uuid"], job["_update_token"], force=True)
    removed = jobs.load_removed(job["uuid"])
    assert jobs.is_own_token(removed, job["_update_token"])
    assert jobs.is_own_token(removed, new)


def test_rotations_and_events_at_once_lose_nothing(
    admin_token: str, jobs: PipelineJobStore, job: Document
) -> None:
    each, writers = 6, 3

    def send(number: int) -> None:
        event = {"uuid": job["uuid"], "name": "run", "data": {"number": number}}
        jobs.handle(event, admin_token)

    def turn(_: int) -> str:
        token = jobs.rotate_token(job["uuid"], admin_token)["_update_token"]
        assert isinstance(token, str)
        return token

    with ThreadPoolExecutor(writers + 1) as pool:
        events = pool.map(send, range(each * writers))
        made = set(pool.map(turn, range(each)))
        list(events)
    found = jobs.load(job["uuid"])
    numbers = [entry["data"]["number"] for entry in jobs.history(job["uuid"], skip=1)]
    assert sorted(numbers) == list(range(each * writers))
    assert found["_properties"]["revision"] == each * writers + each
    assert len(made) == each
    assert jobs.get_token(found) in made
    assert verify(jobs, found).problems == []


@pytest.mark.parametrize("former", range(tokens.MAX_FORMER_SALTS + 1))
def test_the_work_of_a_comparison_does_not_depend_on_the_former_tokens(
    former: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests: list[object] = []

    def noting(*parts: object) -> str:
        digests.append(parts)
        return digest(*parts)

    monkeypatch.setattr("datacatalog.tokens.job.digest", noting)
    salts = [f"salt {number}" for number in range(former + 1)]
    for token in (digest(salts[0], "job"), digest(salts[-1], "job"), "0123456789abcdef"):
        digests.clear()
        assert tokens.is_token_of_any(token, salts, "job") is (token != "0123456789abcdef")
        assert len(digests) == tokens.MAX_FORMER_SALTS + 1
    assert not tokens.is_token_of_any(digest("", "job"), salts, "job")
