from __future__ import annotations

from typing import Any

import pytest

from datacatalog.managers.pipelinejobs import ManagedPipelineJobError
from tests.datacatalog.conftest import SAMPLE, Make
from tests.datacatalog.vectors import VECTORS

UUIDS = {name: uuid for _, _, name, uuid in VECTORS["catalog"]}


@pytest.mark.parametrize(
    ("agent", "task", "expected"),
    [
        (
            "G56vjoAVzGkkq",
            "D0ZxR0wPLpoJA",
            ("actors/v2/G56vjoAVzGkkq", "actors/v2/G56vjoAVzGkkq/executions/D0ZxR0wPLpoJA"),
        ),
        (
            "bbq-brisket-0.5.0",
            "6583653933928541720-242ac11b-0001-007",
            ("apps/v2/bbq-brisket-0.5.0", "jobs/v2/6583653933928541720-242ac11b-0001-007"),
        ),
        ("fastqc-0.11.7u1", None, ("apps/v2/fastqc-0.11.7u1", None)),
        (
            None,
            "6583653933928541720-242ac11b-0001-007",
            (None, "jobs/v2/6583653933928541720-242ac11b-0001-007"),
        ),
    ],
)
def test_ids_of_the_platform_become_urls(
    agent: str | None, task: str | None, expected: tuple[str | None, str | None], make: Make
) -> None:
    job = make(agent=agent, task=task, api_server="https://api.example.org/").setup()
    assert job.job is not None
    base = "https://api.example.org/"
    assert (job.job["agent"], job.job["task"]) == tuple(
        None if path is None else base + path for path in expected
    )


@pytest.mark.parametrize(
    ("agent", "task"),
    [
        ("me", "7"),
        (None, None),
        (None, "D0ZxR0wPLpoJA"),
        ("https://api.example.org/actors/v2/cook", "https://api.example.org/x"),
        ("agave://data/app-1.0", "a b"),
    ],
)
def test_other_agents_and_tasks_stay_as_they_are(
    agent: str | None, task: str | None, make: Make
) -> None:
    job = make(agent=agent, task=task).setup()
    assert job.job is not None
    assert (job.job["agent"], job.job["task"]) == (agent, task)


def test_sources_that_the_catalog_knows_become_uuids(make: Make) -> None:
    given = {
        "patterns": [r"\.csv$"],
        "derived_from": ["agave://data-sd2e-community/uploads/tacc/a.csv", "./later.csv", 7],
        "derived_using": ["PDB:6NOV", "PDB:unknown", SAMPLE],
    }
    job = make(product_patterns=[given, "a text"]).setup()
    assert job.job is not None
    assert job.job["product_patterns"] == [
        {
            "patterns": [r"\.csv$"],
            "derived_from": [UUIDS["/uploads/tacc/a.csv"], "./later.csv", 7],
            "derived_using": [UUIDS["PDB:6NOV"], "PDB:unknown", SAMPLE],
        },
        "a text",
    ]


@pytest.mark.parametrize("name", ["archive_patterns", "product_patterns"])
@pytest.mark.parametrize("given", [{"patterns": [r"\.csv$"], "level": "1"}, r"\.csv$"])
def test_one_request_may_stand_alone(name: str, given: Any, make: Make) -> None:
    job: Any = make(**{name: given}).setup()
    assert getattr(job, name) == job.job[name] == [given]


@pytest.mark.parametrize("given", [7, [7], [None], {"a"}])
def test_patterns_that_are_no_requests_are_refused(given: Any, make: Make) -> None:
    with pytest.raises(ManagedPipelineJobError, match="give an object with patterns"):
        make(archive_patterns=given)


def test_no_patterns_may_be_none(make: Make) -> None:
    job = make(archive_patterns=None, product_patterns=None).setup()
    assert (job.archive_patterns, job.product_patterns) == ([], [])


def test_sources_in_a_tuple_are_sources_as_well(make: Make) -> None:
    given = {"derived_from": ("/uploads/tacc/a.csv", "./later.csv")}
    job = make(product_patterns=(given,)).setup()
    assert job.job is not None
    sources = [UUIDS["/uploads/tacc/a.csv"], "./later.csv"]
    assert job.job["product_patterns"] == [{"derived_from": sources}]
