"""Why a job failed is said where somebody looks first."""

from __future__ import annotations

from typing import Any

import pytest

from pipelinejobs import failures
from tests.pipelinejobs.running import Run

TRACE = "Traceback (most recent call last):\n  File 'taco.py', line 3\nTacoError: no salsa\n"


def reason(data: Any, state: str = "FAILED") -> failures.Failure | None:
    entries = [{"name": "fail", "data": data}, {"name": "run", "data": {"message": "starts"}}]
    return failures.of({"state": state}, entries)


@pytest.mark.parametrize(
    ("data", "message", "lines"),
    [
        ({"message": "no tacos", "traceback": TRACE}, "no tacos", 3),
        ({"traceback": TRACE}, "TacoError: no salsa", 3),
        ({"error": {"message": "deep"}}, "deep", 0),
        ({"exit_code": 3, "stderr": ["one\n", "two\n"]}, "exit code 3: two", 2),
        ({"exit_code": 3, "stderr": ["no salsa left\n"]}, "exit code 3: no salsa left", 0),
        ({"message": "no tacos", "stderr": ["no salsa left\n"]}, "no tacos", 1),
        ({"exit_code": 137, "signal": "SIGKILL", "stderr": []}, "exit code 137, signal SIGKILL", 0),
        ({"stderr": "\n".join(map(str, range(99)))}, "98", failures.MAX_LINES),
        ({"tacos": 3}, "", 0),
        (["not", "an", "object"], "", 0),
        (None, "", 0),
    ],
)
def test_the_message_and_the_end_of_the_traceback_are_found(
    data: Any, message: str, lines: int
) -> None:
    found = reason(data)
    assert found is not None
    assert (found.message, len(found.trace.splitlines())) == (message, lines)


def test_a_job_that_did_not_fail_has_no_reason() -> None:
    assert reason({"message": "no tacos"}, "RETIRED") is None
    assert failures.of({"state": "FAILED"}, []) is None


def test_what_somebody_made_long_is_cut() -> None:
    found = reason({"message": "x" * 99_999, "stderr": "y" * 99_999})
    assert found is not None
    assert len(found.message) == len(found.trace) == failures.MAX_LETTERS


def test_the_command_line_says_it(cli: Run, job: dict[str, Any], jobs: Any) -> None:
    data = {"message": "no tacos", "traceback": TRACE}
    jobs.handle({"uuid": job["uuid"], "name": "fail", "data": data}, job["_update_token"])
    row = cli("jobs", "show", job["uuid"], "--output", "json").rows
    assert (row["failure"], row["trace"]) == ("no tacos", TRACE.rstrip())
    shown = cli("jobs", "show", job["uuid"]).out
    names = [line.split()[0] for line in shown.splitlines() if line[:1].strip()]
    assert names[:4] == ["uuid", "state", "failure", "trace"]
    assert "TacoError: no salsa" in shown
    assert not {"agent", "acted_on", "product_patterns"} & set(names)
