from __future__ import annotations

import fcntl
import itertools
import json
import os
import resource
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymongo
import pytest

from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.linkedstores.views import Views
from datacatalog.mongo import Db, Document
from tests.datacatalog.linkedstores.test_transfer import content
from tests.pipelinejobs.running import Run

EXPORT = Path("catalog.ndjson")


@pytest.fixture
def some(jobs: PipelineJobStore, pipeline: Document) -> list[str]:
    """The UUIDs of six jobs; the first has a bucket."""
    uuids = []
    for number in range(6):
        made = jobs.create(
            {
                "pipeline_uuid": pipeline["uuid"],
                "archive_path": f"/products/v2/{number}",
                "data": {"number": number},
            }
        )
        uuids.append(str(made["uuid"]))
    job = jobs.load(uuids[0])
    for number in range(25):
        job = jobs.apply(job, "run", {"number": number}).job
    return uuids


@pytest.fixture
def empty(
    mongodb: dict[str, Any],
    mongo_client: pymongo.MongoClient[Document],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Db]:
    """Another database, which commands work on once its name is set."""
    name = f"test_{secrets.token_hex(6)}"
    yield mongo_client[name]
    mongo_client.drop_database(name)


def test_a_catalog_comes_over_as_it_was(
    cli: Run, some: list[str], db: Db, empty: Db, monkeypatch: pytest.MonkeyPatch
) -> None:
    Views(db).save("of today", "state=FAILED&since=1d", "rita")
    out = cli("export", str(EXPORT))
    assert (out.code, out.err) == (0, "")
    count = len(EXPORT.read_text().splitlines()) - 2 - db["jobs_history"].count_documents({})
    assert out.out == f"documents: {count}, in {EXPORT}\n"
    assert stat.S_IMODE(EXPORT.stat().st_mode) == 0o600
    monkeypatch.setenv("_REACTOR_MONGODB_DATABASE", empty.name)
    done = cli("import", str(EXPORT))
    assert done == (0, f"added: {count}, there already: 0, in conflict: 0\n", "")
    assert content(empty) == content(db)
    assert cli("verify").code == 0
    again = cli("import", str(EXPORT))
    assert again == (0, f"added: 0, there already: {count}, in conflict: 0\n", "")


def test_an_export_goes_on_wherever_it_was_cut_off(cli: Run, some: list[str], db: Db) -> None:
    cli("export", str(EXPORT))
    whole = EXPORT.read_bytes()
    lines = [line for line in whole.splitlines() if b'"end"' not in line]
    # in the head, between lines and within them, and just before the end
    ends = [0, *itertools.accumulate(len(line) + 1 for line in whole.splitlines())]
    sizes = {0, 1, *ends[1:4], *ends[-4:-1], len(whole) - 1}
    for size in sorted(sizes | {end + 40 for end in ends[1:-2:3]}):
        EXPORT.write_bytes(whole[:size])
        done = cli("export", str(EXPORT))
        assert done.code == 0, done.err
        assert [line for line in EXPORT.read_bytes().splitlines() if b'"end"' not in line] == lines
        assert json.loads(EXPORT.read_text().splitlines()[-1]) == json.loads(
            whole.decode().splitlines()[-1]
        )


def test_an_export_that_has_no_room_says_so_and_goes_on_later(cli: Run, some: list[str]) -> None:
    cli("export", str(EXPORT))
    whole = EXPORT.read_bytes()
    EXPORT.unlink()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) // 2, limits[1]))
    try:
        done = cli("export", str(EXPORT))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert done.code == 1
    said = f"ERROR {EXPORT} cannot be written: File too large; when that is fixed, the same command goes on"
    assert done.err.splitlines()[-1] == said
    assert cli("export", str(EXPORT)).code == 0
    assert EXPORT.read_bytes() == whole


def test_an_export_that_is_complete_is_not_written_over(cli: Run, some: list[str]) -> None:
    cli("export", str(EXPORT))
    before = EXPORT.read_bytes()
    done = cli("export", str(EXPORT))
    assert (done.code, "holds a complete export" in done.err) == (1, True)
    assert EXPORT.read_bytes() == before


def test_of_two_exports_to_a_file_the_later_one_is_refused(cli: Run, some: list[str]) -> None:
    cli("export", str(EXPORT))
    part = EXPORT.read_bytes().splitlines(keepends=True)[:3]
    EXPORT.write_bytes(b"".join(part))
    with EXPORT.open("rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        done = cli("export", str(EXPORT))
    assert done.code == 1
    assert f"ERROR another export writes to {EXPORT} now: wait for it" in done.err
    assert EXPORT.read_bytes() == b"".join(part)
    assert cli("export", str(EXPORT)).code == 0


def test_a_complete_export_is_replaced_on_demand(cli: Run, some: list[str], db: Db) -> None:
    cli("export", str(EXPORT))
    before = EXPORT.read_bytes()
    db["jobs"].update_one({"uuid": some[0]}, {"$set": {"session": "solid-snake"}})
    # as an interrupted one, and then one that was killed before it was put in place, leave it
    part = EXPORT.with_name(f"{EXPORT.name}.part")
    for left in (before.splitlines(keepends=True)[0], before):
        part.write_bytes(left)
        done = cli("export", str(EXPORT), "--force")
        assert done.code == 0, done.err
        assert b"solid-snake" in EXPORT.read_bytes()
        assert not part.exists()


def test_an_import_of_a_part_adds_it_and_says_so(
    cli: Run, some: list[str], empty: Db, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli("export", str(EXPORT))
    lines = EXPORT.read_bytes().splitlines(keepends=True)
    EXPORT.write_bytes(b"".join(lines[:6]) + lines[6][:20])
    monkeypatch.setenv("_REACTOR_MONGODB_DATABASE", empty.name)
    done = cli("import", str(EXPORT))
    assert done.code == 1
    assert "is not complete" in done.err
    assert "added: 5," in done.out


def test_an_import_of_a_file_that_lacks_lines_says_so(
    cli: Run, some: list[str], empty: Db, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli("export", str(EXPORT))
    lines = EXPORT.read_bytes().splitlines(keepends=True)
    EXPORT.write_bytes(b"".join(lines[:2] + lines[4:]))
    count = json.loads(lines[-1])["documents"]
    monkeypatch.setenv("_REACTOR_MONGODB_DATABASE", empty.name)
    done = cli("import", str(EXPORT))
    assert done.code == 1
    assert f"{EXPORT} says that it has {count} documents, and has {count - 2}" in done.err
    EXPORT.write_bytes(b"".join(lines[:-1]) + b'{"end": true, "documents": 1e400}\n')
    assert "is not complete" in cli("import", str(EXPORT)).err


def test_a_conflict_is_named_and_is_exit_code_1(
    cli: Run, some: list[str], pipeline: Document, empty: Db, mongodb: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch, db: Db,
) -> None:  # fmt: skip
    cli("export", str(EXPORT))
    empty["pipelines"].insert_one(db["pipelines"].find_one() or {})
    there = PipelineJobStore({**mongodb, "database": empty.name}).create(
        {"pipeline_uuid": pipeline["uuid"], "archive_path": "/products/v2/3", "data": {"number": 3}}
    )
    monkeypatch.setenv("_REACTOR_MONGODB_DATABASE", empty.name)
    done = cli("import", str(EXPORT))
    assert done.code == 1
    assert f"another document has the uuid {there['uuid']}" in done.err
    assert "in conflict: 1" in done.out
    assert cli("verify").code == 0


@pytest.mark.parametrize("command", ["export", "import"])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("something else\n", "is not an export"),
        ('{"format": 9}\n', "has the format 9, and this version knows 1"),
        ('["format"]\n', "is not an export"),
    ],
)
def test_a_file_of_another_kind_is_left_alone(
    cli: Run, pipeline: Document, command: str, text: str, said: str
) -> None:
    EXPORT.write_text(text)
    done = cli(command, str(EXPORT))
    assert (done.code, said in done.err) == (2, True)
    assert EXPORT.read_text() == text


def test_a_line_that_cannot_be_read_is_named_with_its_number(cli: Run, some: list[str]) -> None:
    cli("export", str(EXPORT))
    lines = EXPORT.read_text().splitlines()
    lines[3] = lines[3].replace('"document"', '"dokument"')
    EXPORT.write_text("\n".join(lines) + "\n")
    done = cli("import", str(EXPORT))
    assert done.code == 2
    assert done.err.endswith(f"ERROR {EXPORT}, line 4: no document of a catalog\n")


@pytest.mark.parametrize(
    ("collection", "document", "said"),
    [
        ("jobs_history", '{"_id": "x:0"}', "job_id is missing or cannot be a key"),
        ("jobs_history", '{"_id": "x:0", "job_id": {"$ne": null}}', "job_id is missing"),
        ("jobs_history", '{"_id": {"$ne": null}, "job_id": "x"}', "_id is missing or cannot"),
        ("jobs", '{"_id": {"$ne": null}}', "_id is missing or cannot be a key"),
        ("jobs", '{"_id": {"$regularExpression": {"pattern": "", "options": ""}}}', "_id is"),
        ("jobs", '{"_id": 1, "n": 99999999999999999999}', "value that the database cannot hold"),
        ("jobs", '{"_id": 1, "n": "\\ud800"}', "value that the database cannot hold"),
        ("jobs", f'{{"_id": 1, "n": "{"y" * 2**24}"}}', "the database holds 16,777,216"),
    ],
    ids=["no job_id", "job_id", "bucket _id", "_id", "pattern", "number", "text", "size"],
)
def test_a_document_that_cannot_be_stored_is_named_by_its_line(
    cli: Run, some: list[str], db: Db, collection: str, document: str, said: str
) -> None:
    cli("export", str(EXPORT))
    before = content(db)
    lines = EXPORT.read_text().splitlines()
    lines.insert(1, f'{{"collection": "{collection}", "document": {document}}}')
    EXPORT.write_text("\n".join(lines) + "\n")
    done = cli("import", str(EXPORT))
    assert done.code == 2
    assert f"ERROR {EXPORT}, line 2: the document" in done.err
    assert said in done.err
    assert content(db) == before


def test_a_bucket_of_a_job_that_is_there_is_not_replaced_by_that_of_another(
    cli: Run, some: list[str], db: Db
) -> None:
    cli("export", str(EXPORT))
    before = content(db)
    bucket = db["jobs_history"].find_one() or {}
    forged = {"_id": bucket["_id"], "job_id": "of nobody", "first": 0, "last": 0, "entries": []}
    lines = EXPORT.read_text().splitlines()
    lines.insert(1, json.dumps({"collection": "jobs_history", "document": forged}))
    EXPORT.write_text("\n".join(lines) + "\n")
    done = cli("import", str(EXPORT))
    assert done.code == 1
    assert f"a bucket of another job has the _id {bucket['_id']}" in done.err
    assert "in conflict: 1" in done.out
    assert content(db) == before


def test_a_file_that_cannot_be_used_is_named(cli: Run, pipeline: Document) -> None:
    missing = cli("import", "nowhere.ndjson")
    assert missing.err == "ERROR nowhere.ndjson cannot be read: No such file or directory\n"
    assert cli("export", "no/folder.ndjson").code == 2
    Path("folder").mkdir()
    assert cli("export", "folder").code == 2
    assert os.listdir("folder") == []  # noqa: PTH208 - nothing was made in it


@pytest.mark.parametrize("command", ["export", "import"])
@pytest.mark.parametrize("name", ["-", "pipe", "/dev/null"])
def test_what_is_not_a_file_is_refused(cli: Run, command: str, name: str) -> None:
    os.mkfifo("pipe")
    done = cli(command, name)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"ERROR {name} is not a file: name one")
    assert not Path("-").exists()
