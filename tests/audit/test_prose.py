from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from audit import prose

WRONG = "carr" + "y out"
"""In two parts, so that this file has nothing to find."""


@pytest.fixture(scope="module")
def looked_for() -> list[Any]:
    return prose.checks()


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("page.md", f"# Title\n\nYou {WRONG} a\nmessage.\n", 3),
        ("page.md", "One\nof the\nthe two.\n", 2),
        ("code.py", f'"""{WRONG.capitalize()} a message."""\n', 1),
        ("code.py", f"x = 1\n# first,\n# {WRONG} it\n", 3),
        ("code.py", f'def fail(name):\n    raise ValueError(f"{{name}}: {WRONG} it")\n', 2),
        (
            "code.py",
            '# What users recognise.\nx = 1\n"""They recognize it, and recognize it."""\n',
            1,
        ),
        ("page.html", f"<p>\n<b>{WRONG.capitalize()}</b> it</p>\n", 2),
    ],
)
def test_what_should_be_said_otherwise_is_found_where_it_is(
    name: str, content: str, line: int, looked_for: list[Any], tmp_path: Path
) -> None:
    file = tmp_path / name
    file.write_text(content)
    (found,) = prose.findings(file, looked_for)
    assert found.line == line


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("page.md", f"Write `{WRONG}` here.\n\n```text\n{WRONG}\n```\n"),
        ("page.md", "There is no job, and it is no longer kept.\n"),
        ("code.py", f'NAMES = ["{WRONG.replace(" ", "-")}"]\n'),
    ],
)
def test_code_and_good_english_are_left_alone(
    name: str, content: str, looked_for: list[Any], tmp_path: Path
) -> None:
    file = tmp_path / name
    file.write_text(content)
    assert prose.findings(file, looked_for) == []


def test_what_tests_send_is_not_prose_but_their_comments_are(
    looked_for: list[Any], tmp_path: Path
) -> None:
    file = tmp_path / "tests" / "test_it.py"
    file.parent.mkdir()
    file.write_text(f'SENT = "{WRONG} it"\n# {WRONG} it\n')
    assert [each.line for each in prose.findings(file, looked_for)] == [2]


def test_all_files_under_version_control_are_looked_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "page.md").write_text(f"You {WRONG} it.\n")
    for command in (["git", "init", "-q"], ["git", "add", "."]):
        subprocess.run(command, cwd=tmp_path, check=True)
    assert prose.main([], tmp_path) == 1
    assert capsys.readouterr().out.startswith("page.md:1: ")
    (tmp_path / "page.md").write_text("You run it.\n")
    assert prose.main([], tmp_path) == 0
