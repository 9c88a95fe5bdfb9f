"""A job is named by the beginning of its uuid, its title or its session, and never guessed."""

from __future__ import annotations

import pytest

from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.mongo import Document
from tests.pipelinejobs.running import Run


@pytest.fixture
def named(jobs: PipelineJobStore, pipeline: Document) -> list[str]:
    """The UUIDs of three jobs: two with one session, and titles of their own."""
    return [
        str(
            jobs.create(
                {
                    "pipeline_uuid": pipeline["uuid"],
                    "archive_path": f"/products/v2/{title}",
                    "data": {"name": title},
                    "session": session,
                }
            )["uuid"]
        )
        for title, session in (
            ("first run", "brisk-fox"),
            ("second run", "brisk-fox"),
            ("3", "owl"),
        )
    ]


def test_a_job_is_found_by_what_people_call_it(cli: Run, named: list[str]) -> None:
    first, second, third = named
    for name, uuid in (
        (first[:8], first),
        (first[:13].upper(), first),
        (f"urn:uuid:{second}", second),
        ("second run", second),
        ("owl", third),
        ("3", third),
    ):
        assert cli("jobs", "show", name, "-o", "json").rows["uuid"] == uuid
    assert cli("jobs", "send", "run", "first run", "--direct").code == 0
    assert cli("jobs", "show", "first run", "-o", "json").rows["state"] == "RUNNING"
    assert cli("verify", "owl").code == cli("token", "job", "owl").code == 0


def test_a_name_of_several_jobs_moves_none_and_names_them(cli: Run, named: list[str]) -> None:
    done = cli("jobs", "send", "run", "brisk-fox", "--direct")
    assert (done.code, done.out) == (1, "")
    for uuid, title in zip(named[:2], ("first run", "second run"), strict=True):
        assert f"{uuid} (CREATED, {title})" in done.err
    assert named[2] not in done.err
    assert {row["state"] for row in cli("jobs", "ls", "-o", "json").rows} == {"CREATED"}


def test_a_beginning_that_is_the_title_of_another_job_is_not_guessed(
    cli: Run, named: list[str], jobs: PipelineJobStore
) -> None:
    jobs.coll.update_one({"uuid": named[1]}, {"$set": {"data.name": named[0][:8]}})
    done = cli("jobs", "show", named[0][:8])
    assert done.code == 1
    assert "names several jobs" in done.err


@pytest.mark.parametrize("name", ["first", "1070000", ".*", "107"])
def test_what_names_no_job_is_said(cli: Run, named: list[str], name: str) -> None:
    done = cli("jobs", "show", name)
    assert done.code == 1
    assert f"no job is called {name!r}: give a uuid, at least 8 characters of its" in done.err
