from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest

from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.linkedstores.pipelinejob.untold import Left
from datacatalog.linkedstores.subscriptions import Subscriptions
from datacatalog.mongo import Db, Document
from tests.abaco.running import RunningGateway, eventually
from tests.conftest import ADMIN
from tests.pipelinejobs.running import Result, Run


def found(result: Result) -> dict[str, dict[str, Any]]:
    return {row["subject"]: row for row in result.rows}


def test_where_all_is_well_each_line_says_so(here: RunningGateway, bare: Run) -> None:
    eventually(lambda: "is starting" not in bare("doctor").out)
    done = bare("doctor", "-o", "json")
    rows = found(done)
    assert done.code == 0, done.out
    assert {row["status"] for row in rows.values()} == {"ok"}
    assert {row["remedy"] for row in rows.values()} == {""}
    assert set(rows) == {
        "versions", "settings", "administrative tokens", "database",
        "clock of the database", "database permissions", "indexes", "subscriptions", "gateway",
        "clock of the gateway", "mailbox", "manager", "disk", "files",
    }  # fmt: skip
    assert here.url in rows["gateway"]["found"]
    assert rows["manager"]["found"].startswith("jobs-manager (")


def test_files_that_others_may_read_are_named_with_the_command_that_mends_it(
    here: RunningGateway, bare: Run
) -> None:
    secret = Path(".local/abaco/catalog_admin_token_key")
    secret.chmod(0o644)
    try:
        done = bare("doctor", "-o", "json")
    finally:
        secret.chmod(0o600)
    assert done.code == 1
    assert found(done)["files"]["remedy"] == f"chmod go-rwx {secret}"


def test_an_engine_for_containers_that_does_not_answer_is_named(
    cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    section = f"containers: {{engine: podman, socket: {tmp_path}/socket}}"
    (tmp_path / "abaco.yml").write_text(section)
    row = found(cli("doctor", "-o", "json"))["containers"]
    assert row["status"] == "bad"
    assert row["found"] == f"podman does not answer at {tmp_path}/socket"
    assert "abaco.yml" in row["remedy"]


def test_without_anything_each_line_says_what_to_do(bare: Run) -> None:
    done = bare("doctor", "-o", "json")
    rows = found(done)
    assert done.code == 1
    assert rows["versions"]["status"] == "ok"
    assert rows["administrative tokens"]["status"] == "warning"
    for subject in ("database", "indexes", "subscriptions", "gateway"):
        assert rows[subject]["status"] == ("warning" if subject == "gateway" else "bad")
        assert "make up" in rows[subject]["remedy"]
    assert all(row["remedy"] for row in rows.values() if row["status"] != "ok")


def test_what_is_away_is_bad(
    cli: Run, job: Document, monkeypatch: pytest.MonkeyPatch, jobs: PipelineJobStore, db: Db
) -> None:
    for name, value in ADMIN.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("_abaco_api_server", "http://127.0.0.1:9")
    monkeypatch.setenv("_abaco_access_token", "a-secret-token")
    loaded = jobs.load(job["uuid"])
    Subscriptions(db).add("lab", {"url": "http://127.0.0.1:9/jobs"})
    since = loaded["_properties"]["created_date"] - datetime.timedelta(hours=1)
    jobs.untold.leave_behind([Left(loaded, since, {"lab": {"told": -1}})])
    db["jobs"].drop_index("child_of_1")
    done = cli("doctor", "-o", "json")
    rows = found(done)
    assert done.code == 1
    assert rows["gateway"]["status"] == "bad"
    assert "http://127.0.0.1:9 does not answer" in rows["gateway"]["found"]
    assert rows["subscriptions"]["found"].startswith("lab is behind: 1 event, 3,60")
    assert rows["indexes"]["found"] == "missing: jobs.child_of"
    assert rows["database"]["status"] == "ok"
    assert "a-secret-token" not in done.out + done.err


def test_an_index_of_a_former_version_is_named_until_the_next_job_is_created(
    cli: Run, jobs: PipelineJobStore, job: Document, pipeline: Document, db: Db
) -> None:
    db["jobs"].create_index("archive_path")
    row = found(cli("doctor", "-o", "json"))["indexes"]
    assert row["status"] == "warning"
    assert row["found"] == "of a former version, and slow: jobs.archive_path_1"
    jobs.create({"pipeline_uuid": pipeline["uuid"], "archive_path": "/products/v2/o", "data": {}})
    assert found(cli("doctor", "-o", "json"))["indexes"]["status"] == "ok"


def test_a_subscription_that_has_ended_is_named(cli: Run, db: Db) -> None:
    assert cli("subscriptions", "add", "lab", "https://x").code == 0
    Subscriptions(db).end("lab", "it answered that it is gone")
    row = found(cli("doctor", "-o", "json"))["subscriptions"]
    assert row["status"] == "warning"
    assert row["found"] == "lab has ended: it answered that it is gone"
    assert "`pipelinejobs subscriptions rm lab`" in row["remedy"]


def test_a_database_that_is_away_and_wrong_settings_are_bad(
    cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_REACTOR_MONGODB_AUTHN", "mongodb://joe:s3cretword@127.0.0.1:9/")
    monkeypatch.setenv("_REACTOR_MONGODB_TIMEOUT", "1")
    done = cli("doctor", "-o", "json")
    rows = found(done)
    assert rows["database"]["status"] == "bad"
    assert rows["database"]["found"] == "the database at 127.0.0.1:9 did not answer within 1 s"
    assert "s3cretword" not in done.out + done.err
    monkeypatch.setenv("_REACTOR_LOGS_LEVEL", "LOUD")
    rows = found(cli("doctor", "-o", "json"))
    assert rows["settings"]["status"] == "bad"
    assert "logs.level" in rows["settings"]["found"] + rows["settings"]["remedy"]
