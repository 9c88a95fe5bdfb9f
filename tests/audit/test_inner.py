from __future__ import annotations

from pathlib import Path

import pytest

from audit import inner
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("file", "tests"),
    [
        ("manager/messages.py", ["tests/manager/test_messages.py"]),
        ("tests/manager/test_messages.py", ["tests/manager/test_messages.py"]),
        ("tests/conftest.py", []),
        ("manager/settings.py", ["tests/manager/test_settings.py"]),
        ("abaco/store/writer.py", ["tests/abaco/store/test_writer.py"]),
        # those of `datacatalog/schemas.py` have the same name
        ("manager/schemas.py", []),
    ],
)
def test_the_tests_of_a_file_are_called_after_it(file: str, tests: list[str]) -> None:
    assert inner.tests_of(ROOT / file, ROOT) == [ROOT / name for name in tests]


def test_a_page_is_only_read() -> None:
    (only,) = inner.commands(ROOT / "docs" / "page.md", ROOT)
    assert only[-2:] == ["audit.prose", "docs/page.md"]


def test_the_first_command_that_fails_ends_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ugly.py").write_text("x=1\n")
    assert inner.main(["ugly.py"], tmp_path) == 1
    shown = capfd.readouterr().out
    assert "$ ruff format --check ugly.py" in shown
    assert "mypy" not in shown


@pytest.mark.parametrize("name", ["", "missing.py", "../outside.py"])
def test_what_is_not_a_file_of_the_repository_is_refused(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "repository"
    folder.mkdir()
    (tmp_path / "outside.py").touch()
    assert inner.main([name], folder) == 2
    assert "make check FILE=" in capsys.readouterr().err
