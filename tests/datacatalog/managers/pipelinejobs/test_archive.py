from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from datacatalog.managers.pipelinejobs import (
    ManagedPipelineJob,
    ManagedPipelineJobError,
    ManagedPipelineJobInstance,
    archive,
)
from datacatalog.mongo import Db, Document
from datacatalog.tokens import InvalidToken
from reactors.client import make_client
from tests.datacatalog.places import Here
from tests.datacatalog.storage import Storage
from tests.loopback import TOKEN

SYSTEM, FOLDER = "data-sd2e-community", "/products/v2/tacos"
PLACE = f"{SYSTEM}:{FOLDER}"


@pytest.fixture
def running(
    admin_token: str, mongodb: dict[str, Any], client: Any, storage: Storage, pipeline: Document
) -> ManagedPipelineJob:
    """A job that has put a file into its archive path."""
    pipelines = {"pipeline_uuid": pipeline["uuid"]}
    job = ManagedPipelineJob(
        mongodb, pipelines, agave=client, archive_path=FOLDER, setup_archive_path=False
    ).setup()
    job.run()
    storage.paths |= {PLACE, f"{PLACE}/a.csv"}
    return job


def test_a_directory_is_made_with_those_above_it(client: Any, storage: Storage) -> None:
    archive.make(client, SYSTEM, "/products/v2/a b/ünï")
    parts = ["/products", "/products/v2", "/products/v2/a b", "/products/v2/a b/ünï"]
    assert storage.paths == {f"{SYSTEM}:{part}" for part in parts}


@pytest.mark.parametrize("folder", ["/products/v2/tacos", "/sample/tacc-cloud/tacos/x"])
def test_a_cleared_directory_is_there_and_empty(folder: str, client: Any, storage: Storage) -> None:
    place = f"{SYSTEM}:{folder}"
    beside = {f"{place} 2/a.csv", f"{place}2", f"data-other:{folder}/a.csv"}
    storage.paths = {place, f"{place}/a.csv", f"{place}/b", f"{place}/b/c.csv", *beside}
    archive.clear(client, SYSTEM, folder)
    assert {path for path in storage.paths if path.startswith(f"{place}/")} == set()
    assert {place, *beside} <= storage.paths


@pytest.mark.parametrize("name", ["a#b", "a?b", "a%20b", "ü"])
def test_only_the_directory_of_that_very_name_is_cleared(
    name: str, client: Any, storage: Storage
) -> None:
    place, beside = f"{SYSTEM}:/products/v2/{name}", f"{SYSTEM}:/products/v2/a"
    storage.paths = {place, f"{place}/x.csv", beside, f"{beside}/y.csv", f"{beside} b"}
    archive.clear(client, SYSTEM, f"/products/v2/{name}")
    assert {beside, f"{beside}/y.csv", f"{beside} b", place} <= storage.paths
    assert f"{place}/x.csv" not in storage.paths


def test_clearing_makes_a_directory_that_is_not_there(client: Any, storage: Storage) -> None:
    archive.clear(client, SYSTEM, FOLDER)
    assert PLACE in storage.paths


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/products",
        "/products/v2",
        "/products/v2/",
        "/products/v2/.",
        "/products/v2/a/..",
        "/products/v2/../v1/a",
        "/products/v2/a/../../../uploads",
        "/products/v20/a",
        "/sample/tacc-cloud",
        "/uploads/a",
        "products/v2/a",
        "/x/products/v2/a",
    ],
)
def test_nothing_else_is_ever_cleared(path: str, client: Any, storage: Storage) -> None:
    with pytest.raises(ManagedPipelineJobError) as refused:
        archive.clear(client, SYSTEM, path)
    assert str(refused.value).startswith(f"{path} is not cleared: ")
    assert storage.requests == 0


@pytest.mark.parametrize("status", [401, 403, 500])
def test_a_failure_names_the_place_and_the_status(
    status: int, client: Any, storage: Storage
) -> None:
    storage.failing = status
    for act, what in ((archive.make, "made"), (archive.clear, "cleared")):
        with pytest.raises(ManagedPipelineJobError) as failed:
            act(client, SYSTEM, FOLDER)
        assert str(failed.value) == f"{PLACE} was not {what}: HTTP status {status}"
        assert TOKEN not in str(failed.value)


def test_a_platform_that_is_away_is_named_as_the_cause() -> None:
    with Storage() as storage:
        client = make_client(storage.environ)
    with pytest.raises(ManagedPipelineJobError, match=f"^{PLACE} was not made: ConnectionError$"):
        archive.make(client, SYSTEM, FOLDER)


def test_a_reset_clears_the_archive_path(
    running: ManagedPipelineJob, admin_token: str, storage: Storage
) -> None:
    assert running.reset(token=admin_token)["state"] == "CREATED"
    assert PLACE in storage.paths
    assert f"{PLACE}/a.csv" not in storage.paths


def test_a_reset_can_spare_the_archive_path(
    running: ManagedPipelineJob, admin_token: str, storage: Storage
) -> None:
    assert running.reset({}, True, admin_token)["state"] == "CREATED"
    assert storage.requests == 0


def test_an_existing_job_clears_its_own_archive_path(
    running: ManagedPipelineJob,
    mongodb: dict[str, Any],
    client: Any,
    admin_token: str,
    storage: Storage,
) -> None:
    job = ManagedPipelineJobInstance(mongodb, str(running.uuid), agave=client)
    job.reset(token=admin_token)
    assert f"{PLACE}/a.csv" not in storage.paths


@pytest.mark.parametrize("token", [None, "0123456789abcdef"])
def test_a_reset_that_is_refused_clears_nothing(
    token: str | None, running: ManagedPipelineJob, storage: Storage
) -> None:
    with pytest.raises(InvalidToken):
        running.reset(token=token)
    assert storage.requests == 0


def test_a_reset_whose_clearing_failed_can_be_made_again(
    running: ManagedPipelineJob, admin_token: str, storage: Storage, db: Db
) -> None:
    storage.failing = 500
    with pytest.raises(ManagedPipelineJobError, match="was not cleared: HTTP status 500"):
        running.reset(token=admin_token)
    assert (db["jobs"].find_one({}) or {})["state"] == "RESET"
    storage.failing = None
    assert running.reset(token=admin_token)["state"] == "CREATED"
    assert f"{PLACE}/a.csv" not in storage.paths


def test_a_permissive_reset_makes_a_job_ready_whose_files_stay(
    running: ManagedPipelineJob,
    admin_token: str,
    storage: Storage,
    caplog: pytest.LogCaptureFixture,
) -> None:
    storage.failing = 500
    assert running.reset(token=admin_token, permissive=True)["state"] == "CREATED"
    assert f"{PLACE}/a.csv" in storage.paths
    assert "was not cleared: HTTP status 500" in caplog.text


@pytest.mark.parametrize("options", [{}, {"setup_archive_path": True}])
def test_setup_makes_the_archive_path_unless_it_is_asked_not_to(
    options: dict[str, Any],
    mongodb: dict[str, Any],
    client: Any,
    storage: Storage,
    pipeline: Document,
) -> None:
    pipelines = {"pipeline_uuid": pipeline["uuid"]}
    ManagedPipelineJob(mongodb, pipelines, agave=client, setup_archive_path=False).setup()
    assert storage.requests == 0
    job = ManagedPipelineJob(mongodb, pipelines, agave=client, **options).setup()
    assert f"{SYSTEM}:{job.archive_path}" in storage.paths


def test_an_archive_path_that_is_not_made_is_logged(
    mongodb: dict[str, Any],
    client: Any,
    storage: Storage,
    pipeline: Document,
    caplog: pytest.LogCaptureFixture,
) -> None:
    storage.failing = 500
    job = ManagedPipelineJob(mongodb, {"pipeline_uuid": pipeline["uuid"]}, agave=client).setup()
    assert job.run()["state"] == "RUNNING"
    assert f"job {job.uuid}: {SYSTEM}:{job.archive_path} was not made: HTTP status" in caplog.text


@pytest.mark.parametrize("name", ["a#b", "a?b"])
def test_clearing_leaves_a_folder_alone_whose_name_is_the_beginning(
    client: Any, storage: Storage, name: str
) -> None:
    other = f"{SYSTEM}:/products/v2/a"
    storage.paths = {other, f"{other}/kept.csv"}
    archive.clear(client, SYSTEM, f"/products/v2/{name}")
    assert {other, f"{other}/kept.csv"} <= storage.paths


# In a folder of this machine


@pytest.fixture
def local(
    here: Here,
    client: Any,
    storage: Storage,
    mongodb: dict[str, Any],
    pipeline: Document,
    admin_token: str,
    monkeypatch: pytest.MonkeyPatch,
) -> ManagedPipelineJob:
    """A job whose outputs are in a folder here, of an actor with a client of the platform."""
    storage.failing = 404
    monkeypatch.setenv("CATALOG_LOCAL_STORAGE", f"{SYSTEM}={here.folder}")
    job = ManagedPipelineJob(
        mongodb,
        {"pipeline_uuid": pipeline["uuid"]},
        agave=client,
        archive_path=FOLDER,
    ).setup()
    job.run()
    return job


def test_what_is_in_a_folder_here_is_made_and_cleared_there(
    local: ManagedPipelineJob, here: Here, admin_token: str
) -> None:
    folder = here.folder / FOLDER.lstrip("/")
    assert folder.is_dir()
    here.put(f"{FOLDER}/a/b.csv", b"taco")
    here.put(f"{FOLDER}2/c.csv", b"taco")
    assert local.reset(token=admin_token)["state"] == "CREATED"
    assert list(folder.iterdir()) == []
    assert (here.folder / f"{FOLDER.lstrip('/')}2/c.csv").exists()
    folder.rmdir()
    assert local.reset(token=admin_token)["state"] == "CREATED"
    assert folder.is_dir()


def test_no_link_leads_to_what_is_cleared(
    local: ManagedPipelineJob, here: Here, admin_token: str
) -> None:
    here.put("/uploads/tacos/a.csv", b"taco")
    folder = here.folder / FOLDER.lstrip("/")
    folder.rmdir()
    folder.symlink_to(here.folder / "uploads/tacos")
    with pytest.raises(ManagedPipelineJobError, match=f"{PLACE} was not cleared: a link leads"):
        local.reset(token=admin_token)
    folder.unlink()
    folder.write_text("a file")
    with pytest.raises(ManagedPipelineJobError, match=f"{PLACE} was not cleared: Not a directory"):
        local.reset(token=admin_token)
    with pytest.raises(ManagedPipelineJobError, match="b was not made: Not a directory"):
        archive.make(None, SYSTEM, f"{FOLDER}/b", str(here.folder))
    assert (here.folder / "uploads/tacos/a.csv").exists()


@pytest.mark.parametrize("act", [archive.make, archive.clear])
def test_a_link_that_is_put_there_meanwhile_is_not_followed(
    act: Callable[..., None], here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.put("/products/v2/a/tacos/old.csv", b"")
    outside, above = tmp_path / "outside", here.folder / "products/v2/a"
    (outside / "tacos").mkdir(parents=True)
    (outside / "tacos/theirs.csv").touch()
    look = os.path.realpath

    def look_and_lose(path: Any) -> str:
        seen = str(look(path))
        if seen.endswith(("tacos", "new")):
            above.rename(above.with_name("b"))
            above.symlink_to(outside)
        return seen

    monkeypatch.setattr(os.path, "realpath", look_and_lose)
    path = "/products/v2/a/tacos" if act is archive.clear else "/products/v2/a/new"
    with pytest.raises(ManagedPipelineJobError, match="Not a directory"):
        act(None, SYSTEM, path, str(here.folder))
    assert [each.name for each in outside.rglob("*")] == ["tacos", "theirs.csv"]
