"""Jobs are created, moved, deleted and brought back straight in the database."""

from __future__ import annotations

import io
import socket
from pathlib import Path

import pytest

from datacatalog.linkedstores.basestore.store import now
from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.linkedstores.pipelinejob.search import JobSearch
from datacatalog.mongo import Db, Document
from tests.conftest import ADMIN
from tests.loopback import TOKEN
from tests.pipelinejobs.running import Run
from tests.tenant import Tenant


@pytest.fixture
def admin(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ADMIN.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def two(jobs: PipelineJobStore, pipeline: Document, job: Document) -> tuple[str, str]:
    """The UUIDs of two jobs."""
    other = {"pipeline_uuid": pipeline["uuid"], "archive_path": "/other", "data": {"tacos": 4}}
    return job["uuid"], jobs.create(other)["uuid"]


def test_a_job_is_created_and_found_again_with_its_token(
    cli: Run, pipeline: Document, jobs: PipelineJobStore
) -> None:
    arguments = ["jobs", "create", "--direct", "--pipeline", "tacobot", "--data", '{"salsa": 1}']
    made = cli(*arguments, "--session", "solid-snake", "-o", "json").rows
    stored = jobs.load(made["uuid"])
    assert made["state"] == "CREATED"
    assert made["token"] == jobs.get_token(stored)
    assert f"/actors/v2/jobs-manager/messages?token={made['token']}" in made["callback"]
    assert stored["data"] == {"salsa": 1}
    assert stored["session"] == "solid-snake"
    assert stored["archive_path"].startswith(f"/products/v2/{pipeline['uuid'].replace('-', '')}/")
    again = cli(*arguments, "-o", "json").rows
    assert again["uuid"] == made["uuid"]
    assert again["token"] == made["token"]


def test_the_archive_path_of_a_job_is_on_the_system_that_is_named(
    cli: Run, pipeline: Document, jobs: PipelineJobStore
) -> None:
    arguments = ["jobs", "create", "--pipeline", pipeline["uuid"], "--direct", "-o", "json"]
    refused = cli(*arguments, "--archive-path", "agave://data-tacos/a")
    assert (refused.code, "its system as 'archive_system'" in refused.err) == (1, True)
    made = cli(*arguments, "--archive-path", "/a", "--archive-system", "data-tacos")
    stored = jobs.load(made.rows["uuid"])
    assert (stored["archive_system"], stored["archive_path"]) == ("data-tacos", "/a")


def test_of_several_jobs_one_that_does_not_exist_is_told_with_what_to_do(
    cli: Run, job: Document
) -> None:
    unknown = f"107{job['uuid'][3:-1]}{'0' if job['uuid'][-1] != '0' else '1'}"
    sent = cli("jobs", "send", "run", unknown, job["uuid"], "--direct", "-o", "json")
    assert [row["outcome"] for row in sent.rows] == ["refused", "sent"]
    assert "`pipelinejobs jobs ls` lists those that exist" in sent.rows[0]["detail"]


@pytest.mark.parametrize("given", ["-", "@-"])
def test_data_comes_from_a_file_or_standard_input(
    given: str, cli: Run, job: Document, jobs: PipelineJobStore, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    # as editors of some systems write it, with a byte order mark
    (tmp_path / "data.json").write_text('{"from": "file"}', encoding="utf-8-sig")
    assert cli("jobs", "send", "run", job["uuid"], "--direct", "--data", "@data.json").code == 0
    monkeypatch.setattr("sys.stdin", io.StringIO('{"from": "standard input"}'))
    assert cli("jobs", "send", "UPDATE", job["uuid"], "--direct", "--data", given).code == 0
    assert [entry["data"] for entry in jobs.history(job["uuid"], skip=1)] == [
        {"from": "file"},
        {"from": "standard input"},
    ]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("{", "--data is not JSON (Expecting property name"),
        ("[1]", '--data must be a JSON object, such as {"tacos": 3}'),
        ("@nowhere.json", "--data: nowhere.json cannot be read: No such file or directory"),
        ("@", "--data is '@' without the name of a file: give an object, @FILE, or -"),
        ("@.", "--data: . cannot be read: Is a directory"),
        ("[" * 100_000, "--data is not JSON"),
        ('{"a": 1, "a": 2}', "--data is not JSON (it has the key 'a' twice"),
        ('{"a": NaN}', "--data is not JSON (it has the value NaN"),
        ('{"a": -Infinity}', "--data is not JSON (it has the value -Infinity"),
        ('{"a": [1e999]}', "--data is not JSON (it has the number 1e999"),
        ('{"a": "\\ud800"}', "--data has the surrogate '\\ud800', which is not a character"),
        ('{"a": ' + "9" * 5_000 + "}", "--data is not JSON (it has a number of 5,000 digits)"),
    ],
)
def test_data_that_is_no_object_is_named(cli: Run, job: Document, data: str, said: str) -> None:
    done = cli("jobs", "send", "run", job["uuid"], "--direct", "--data", data)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert done.err.count("\n") == 1


def test_an_event_is_applied_once_under_its_id(
    cli: Run, job: Document, jobs: PipelineJobStore
) -> None:
    arguments = ["jobs", "send", "run", job["uuid"], "--direct", "--event-id", "1", "-o", "json"]
    first = cli(*arguments)
    assert first.rows == {
        "uuid": job["uuid"],
        "state": "RUNNING",
        "last_event": "run",
        "revision": 1,
    }
    assert cli(*arguments).rows == first.rows
    assert len(jobs.history(job["uuid"])) == 2
    conflict = cli(*arguments[:-2], "--data", '{"other": 1}')
    assert conflict.code == 1
    assert "already stands for another event" in conflict.err


def test_what_the_state_does_not_allow_is_refused_and_kept(
    cli: Run, job: Document, jobs: PipelineJobStore
) -> None:
    done = cli("jobs", "send", "finish", job["uuid"], "--direct")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(
        "ERROR finish event: not allowed in state CREATED, which allows only run, "
    )
    assert len(JobSearch(jobs).rejected().rows) == 1


def test_an_event_is_sent_to_the_jobs_that_standard_input_names(
    cli: Run, two: tuple[str, str], jobs: PipelineJobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = two
    # as `jobs ls --columns uuid` prints them
    monkeypatch.setattr("sys.stdin", io.StringIO(f"UUID\n{first}\n\nnobody\n{second}\n"))
    sent = cli("jobs", "send", "run", "-", "--direct", "-o", "json")
    assert sent.code == 1
    assert [(row["uuid"], row["outcome"]) for row in sent.rows] == [
        (first, "sent"),
        ("nobody", "refused"),
        (second, "sent"),
    ]
    assert "no job is called 'nobody'" in sent.rows[1]["detail"]
    assert {jobs.load(uuid)["state"] for uuid in (first, second)} == {"RUNNING"}
    both = cli("jobs", "send", "run", "-", "--direct", "--data", "-")
    assert (both.code, both.out) == (2, "")


def test_cancelled_jobs_have_failed_and_say_why(
    cli: Run, two: tuple[str, str], jobs: PipelineJobStore
) -> None:
    first, second = two
    assert cli("jobs", "cancel", first, "--direct").code == 0
    assert cli("jobs", "show", first, "-o", "json").rows["failure"] == "cancelled"
    both = cli("jobs", "cancel", first, second, "--direct", "-o", "json")
    assert both.code == 1
    assert [row["outcome"] for row in both.rows] == ["refused", "sent"]
    assert both.rows[0]["detail"] == f"job {first} is FAILED: there is nothing to cancel"
    assert jobs.rejected.count_documents({}) == 0
    assert jobs.load(second)["state"] == "FAILED"


def test_a_reset_needs_the_administrative_secret(
    cli: Run, job: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = cli("jobs", "send", "reset", job["uuid"], "--direct")
    assert done.code == 2
    assert done.err == (
        "ERROR there are no administrative tokens: set CATALOG_ADMIN_TOKEN_KEY and "
        "CATALOG_ADMIN_TOKEN_SECRET, to what the actor has\n"
    )
    for name, value in ADMIN.items():
        monkeypatch.setenv(name, value)
    for event, state in (("reset", "RESET"), ("ready", "CREATED")):
        moved = cli("jobs", "send", event, job["uuid"], "--direct", "-o", "json")
        assert moved.rows["state"] == state


def test_a_token_that_is_given_has_to_be_right(cli: Run, job: Document) -> None:
    wrong = cli("jobs", "send", "run", job["uuid"], "--direct", "--token", "0123456789abcdef")
    assert wrong.code == 1
    assert wrong.err.endswith(
        "no job "
        + job["uuid"]
        + " that this token may change: there is none, it is hidden, or its token is another one\n"
    )
    own = job["_update_token"]
    assert cli("jobs", "send", "run", job["uuid"], "--direct", "--token", own).code == 0


def test_a_job_is_hidden_brought_back_and_removed(
    cli: Run, job: Document, jobs: PipelineJobStore, db: Db
) -> None:
    uuid = job["uuid"]
    hidden = cli("jobs", "delete", uuid, "--direct", "-o", "json")
    assert (hidden.rows["deleted"], "undelete" in hidden.err) == ("hidden", True)
    for command in (["send", "run"], ["cancel"]):
        refused = cli("jobs", *command, uuid, "--direct")
        remedy = f"`pipelinejobs jobs undelete {uuid}` brings it back"
        assert refused.err == f"ERROR job {uuid} is hidden and takes no events: {remedy}\n"
        assert refused.code == 1
    shown = cli("jobs", "show", uuid)
    assert ("allowed" in shown.out, shown.err) == (False, f"{remedy}\n")
    assert cli("jobs", "show", uuid, "-o", "json").rows["allowed"] == []
    assert cli("jobs", "undelete", uuid, "-o", "json").rows == {
        "uuid": uuid,
        "state": "CREATED",
        "hidden": False,
    }
    asked = cli("jobs", "delete", uuid, "--direct", "--force")
    assert (asked.code, "add --yes" in asked.err) == (2, True)
    assert jobs.load(uuid)
    removed = cli("jobs", "delete", uuid, "--direct", "--force", "--yes", "-o", "json").rows
    assert removed["deleted"] == "removed"
    assert db["jobs"].find_one() is None
    assert cli("jobs", "undelete", uuid).code == 1


def test_a_nonce_is_for_http_only(cli: Run, job: Document) -> None:
    done = cli("jobs", "send", "run", job["uuid"], "--direct", "--nonce", "SD2E_abc")
    assert done.code == 2
    assert "give one of them" in done.err


def test_without_a_gateway_it_is_said_where_one_is_looked_for(cli: Run, job: Document) -> None:
    done = cli("jobs", "send", "run", job["uuid"])
    assert done.code == 3
    for way in ("make up", "AGAVE_CACHE_DIR", "_abaco_api_server", "--direct"):
        assert way in done.err


def test_what_is_done_straight_is_announced_as_the_actor_does(
    cli: Run, job: Document, jobs: PipelineJobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_REACTOR_PIPELINES_EVENTS_MANAGER_ID", "events-manager")
    with Tenant() as tenant:
        monkeypatch.setenv("_abaco_api_server", tenant.url)
        monkeypatch.setenv("_abaco_access_token", TOKEN)
        assert cli("jobs", "send", "run", job["uuid"], "--direct").code == 0
        (announced,) = tenant.messages
        assert announced.body["message"]["job_state"] == "RUNNING"
        # the subscriber is away for a while
        tenant.plan(500)
        done = cli("jobs", "send", "update", job["uuid"], "--direct")
        assert (done.code, "events_manager: not told" in done.err) == (0, True)
        (row,) = cli("outbox", "ls", "-o", "json").rows
        assert (row["uuid"], row["waiting"], row["tries"]) == (job["uuid"], 1, 1)
        assert row["reason"] == "HTTP status 500"
        tenant.plan(500)
        left = cli("outbox", "drain", "-o", "json")
        assert (left.code, left.rows) == (1, {"told": 0, "left": 1})
        (listed,) = cli("subscriptions", "ls", "-o", "json").rows
        assert (listed["status"], listed["lag_events"]) == ("failing", 1)
        drained = cli("outbox", "drain", "-o", "json")
        assert (drained.code, drained.rows) == (0, {"told": 1, "left": 0})
        assert cli("outbox", "ls", "-o", "json").rows == []


def test_of_all_that_waits_it_is_said_when_and_why(cli: Run, two: tuple[str, str]) -> None:
    with socket.socket() as silent:
        # a port that nobody else takes, and on which nobody listens
        silent.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        assert cli("subscriptions", "add", "lab", url, "--allow-private").code == 0
        for uuid in two:
            assert cli("jobs", "send", "run", uuid, "--direct").code == 0
        left = cli("outbox", "drain")
    assert "jobs of which events are left: 2" in left.err
    rows = cli("outbox", "ls", "-o", "json").rows
    assert {row["uuid"] for row in rows} == {*two}
    assert {row["reason"] for row in rows} == {"no connection: Connection refused"}
    assert all(row["due"] > row["since"] for row in rows)


def test_a_drain_of_a_former_outbox_without_a_subscriber_is_wrong_settings(
    cli: Run, job: Document, jobs: PipelineJobStore
) -> None:
    former = {"_outbox": [{"id": "1"}], "_outbox_due": now()}
    jobs.coll.update_one({"uuid": job["uuid"]}, {"$set": former})
    done = cli("outbox", "drain")
    assert done.code == 2
    assert "pipelines.events_manager_id is not set" in done.err


def test_refused_events_are_applied_oldest_first(
    cli: Run, job: Document, jobs: PipelineJobStore, pipeline: Document
) -> None:
    for event in ("finish", "validate", "retire", "reject"):
        assert cli("jobs", "send", event, job["uuid"], "--direct").code == 1
    listed = cli("refused", "ls", "-o", "json").rows
    assert [row["event"] for row in listed] == ["reject", "retire", "validate", "finish"]
    shown = cli("refused", "ls", "--event", "finish").out
    assert shown.count(job["uuid"]) == 1
    assert "not allowed in state CREATED" in shown
    assert cli("refused", "ls", "--since", "1h", "-o", "json").rows == listed
    assert cli("refused", "ls", "--until", "1h", "-o", "json").rows == []
    cli("jobs", "send", "run", job["uuid"], "--direct")
    done = cli("refused", "retry", "--job", job["uuid"], "-o", "json")
    assert done.code == 1
    assert [(row["event"], row["outcome"], row["detail"]) for row in done.rows] == [
        ("finish", "applied", "state FINISHED"),
        ("validate", "applied", "state VALIDATING"),
        ("retire", "applied", "state RETIRED"),
        (
            "reject",
            "refused",
            "reject event: not allowed in state RETIRED, which allows only reset",
        ),
    ]
    assert [row["event"] for row in cli("refused", "ls", "-o", "json").rows] == ["reject"]
    settled = cli("refused", "ls", "--settled", "-o", "json").rows
    assert [bool(row["applied"]) for row in settled] == [False, True, True, True]
    names = [entry["name"] for entry in jobs.history(job["uuid"])]
    assert names == ["create", "run", "finish", "validate", "retire"]


def test_chosen_events_are_retried_and_none_without_a_choice(
    cli: Run, job: Document, jobs: PipelineJobStore
) -> None:
    for event in ("finish", "validate"):
        cli("jobs", "send", event, job["uuid"], "--direct")
    cli("jobs", "send", "run", job["uuid"], "--direct")
    assert cli("refused", "retry").code == 2
    _, finish = (row["id"] for row in cli("refused", "ls", "-o", "json").rows)
    (row,) = cli("refused", "retry", finish[:13], "-o", "json").rows
    assert (row["event"], row["outcome"]) == ("finish", "applied")
    for other in (["--job", job["uuid"]], ["--event", "finish"], ["--all"]):
        assert cli("refused", "retry", finish, *other).code == 2
    assert cli("refused", "retry", "x:y").code == 1
    jobs.hide(jobs.load(job["uuid"]))
    (row,) = cli("refused", "retry", "--all", "-o", "json").rows
    assert row["detail"].startswith(f"job {job['uuid']} is hidden and takes no events: ")
    jobs.undelete(job["uuid"], job["_update_token"])
    assert cli("refused", "retry", "--all").code == 0
    assert cli("refused", "retry", "--all", "-o", "json")[:2] == (0, "[]\n")
    assert jobs.load(job["uuid"])["state"] == "VALIDATING"


def test_what_is_retried_twice_is_applied_once_and_keeps_no_other_from_it(
    cli: Run, job: Document
) -> None:
    for event in ("finish", "validate"):
        cli("jobs", "send", event, job["uuid"], "--direct")
    cli("jobs", "send", "run", job["uuid"], "--direct")
    validate, finish = (row["id"] for row in cli("refused", "ls", "-o", "json").rows)
    done = cli("refused", "retry", finish, finish, "-o", "json")
    assert (done.code, [row["outcome"] for row in done.rows]) == (0, ["applied"])
    again = cli("refused", "retry", finish, validate, "-o", "json")
    assert (again.code, [row["outcome"] for row in again.rows]) == (1, ["refused", "applied"])
    assert "was applied since" in again.rows[0]["detail"]


def test_tokens_are_printed_alone(cli: Run, job: Document, admin: None) -> None:
    own = job["_update_token"]
    assert cli("token", "job", job["uuid"]) == (0, f"{own}\n", "")
    url = cli("token", "job", job["uuid"], "--callback").out
    assert f"/actors/v2/jobs-manager/messages?token={own}&uuid={job['uuid']}" in url
    shown = cli("token", "admin")
    assert (shown.code, len(shown.out)) == (0, 17)
    assert shown.err.startswith("it holds for ")
    sent = cli("jobs", "send", "reset", job["uuid"], "--direct", "--token", shown.out.strip())
    assert sent.code == 0


def test_a_token_is_rotated_and_the_former_one_holds_for_a_while(
    cli: Run, job: Document, db: Db
) -> None:
    own = job["_update_token"]
    done = cli("token", "rotate", job["uuid"], "--grace", "60")
    new = done.out.strip()
    assert (done.code, len(new), new != own) == (0, 16, True)
    assert done.err == "the former token holds for 60 seconds more\n"
    assert cli("token", "job", job["uuid"]).out.strip() == new
    for token in (own, new):
        sent = cli("jobs", "send", "run", job["uuid"], "--direct", "--token", token, "-o", "json")
        assert (sent.code, new in sent.out) == (0, False)
    shown = cli("jobs", "show", job["uuid"], "-o", "json").out
    assert "salt" not in shown

    last = cli("token", "rotate", job["uuid"], "--grace", "0", "--callback")
    assert last.err == "no former token holds\n"
    third = cli("token", "job", job["uuid"]).out.strip()
    assert f"/actors/v2/jobs-manager/messages?token={third}&uuid={job['uuid']}" in last.out
    for token, code in ((own, 1), (new, 1), (third, 0)):
        sent = cli("jobs", "send", "run", job["uuid"], "--direct", "--token", token)
        assert sent.code == code
    assert db["updates"].count_documents({"action": "rotate_token"}) == 2
    assert cli("verify").code == 0


def test_an_unknown_job_or_a_wrong_period_rotates_nothing(cli: Run, job: Document) -> None:
    unknown = cli("token", "rotate", "10700000-0000-5000-8000-000000000000")
    assert unknown.code == 1
    assert "10700000-0000-5000-8000-000000000000" in unknown.err
    for grace in ("-1", "2592001", "an hour"):
        assert cli("token", "rotate", job["uuid"], "--grace", grace).code == 2
    assert cli("token", "job", job["uuid"]).out.strip() == job["_update_token"]
