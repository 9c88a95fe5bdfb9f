from __future__ import annotations

from typing import Any

import pytest

from pipelinejobs import progress


@pytest.mark.parametrize(
    ("newest_first", "percent"),
    [
        ([{"progress": 0.25}], 25),
        ([{"progress": 60}], 60),
        ([{"percent": "12.5"}], 12),
        ([{"percent": 1}], 1),
        ([{"step": 2, "steps": 4}], 50),
        ([{"step": "align", "steps": 4}], None),
        ([{"step": 2, "steps": 0}], None),
        ([{"message": "no number"}, None, {"progress": 0.5}], 50),
        ([{"progress": 0.9}, {"progress": 0.1}], 90),
        ([{"progress": 1e9}], 100),
        ([{"progress": -3}], 0),
        ([{"progress": float("inf")}, {"progress": "nan"}, {"progress": True}], None),
        ([{"progress": 10**400}, {"progress": "1e400"}], None),
        ([], None),
    ],
)
def test_how_far_a_job_is(newest_first: list[Any], percent: int | None) -> None:
    assert progress.of(newest_first) == percent
