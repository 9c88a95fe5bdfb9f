from __future__ import annotations

import pytest

from tests.reactors.conftest import PLATFORM, MakeReactor, run


def test_success_is_one_line_and_exit_code_0(make_reactor: MakeReactor) -> None:
    rx, stream = make_reactor({})
    with pytest.raises(SystemExit) as caught:
        rx.on_success("the job is running")
    assert caught.value.code == 0
    assert [line.split(maxsplit=1)[1] for line in stream.getvalue().splitlines()] == [
        "INFO the job is running"
    ]


def test_failure_is_one_line_with_the_error_and_exit_code_1(make_reactor: MakeReactor) -> None:
    rx, stream = make_reactor({"token": "0123456789abcdef"})
    with pytest.raises(SystemExit) as caught:
        rx.on_failure("not done", ValueError("the token\n0123456789abcdef is wrong"))
    assert caught.value.code == 1
    assert [line.split(maxsplit=1)[1] for line in stream.getvalue().splitlines()] == [
        "ERROR not done: the token [redacted] is wrong"
    ]


@pytest.mark.parametrize(("method", "code"), [("on_success", 0), ("on_failure", 1)])
def test_a_process_ends_with_the_exit_code_and_one_line_on_stderr(method: str, code: int) -> None:
    child = run(
        f"from reactors.runtime import Reactor; Reactor().{method}('100% of {{x}} %s')", **PLATFORM
    )
    assert child.returncode == code
    assert child.stdout == ""
    assert child.stderr.count("\n") == 1
    assert child.stderr.endswith("100% of {x} %s\n")
