from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from audit import __main__ as audit
from audit import checks
from audit.accepted import Acceptance

ACCEPTED = """
[[tool.audit.accepted]]
test = "{}"
files = ["{}"]
reason = "{}"
"""
DANGEROUS = (
    "import yaml\n\n\ndef read(text):\n    return yaml.load(text, Loader=yaml.UnsafeLoader)\n"
)
# in two parts, so that this file has no secret
SECRET = 'KEY = "' + "AKIA" + 'Z4XQ7PLM2RTB9WVC"\n'
PINNED = "PyYAML==6.0.3 --hash=sha256:" + "0" * 64 + "\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project under version control in which nothing is wrong."""
    files = {
        "pyproject.toml": "",
        "requirements.txt": PINNED,
        "code.py": "ANSWER = 42\n",
        checks.BASELINE: json.dumps({"results": {}}),
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    for command in (["init", "--quiet"], ["add", "."]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)  # noqa: S607 - as the audit does
    return tmp_path


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing outside of this machine can be reached."""
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")


def accept(project: Path, test: str, file: str, reason: str = "tried here") -> Acceptance:
    (project / "pyproject.toml").write_text(ACCEPTED.format(test, file, reason))
    return Acceptance(project)


def test_dangerous_code_is_found_unless_it_is_accepted(project: Path) -> None:
    assert checks.code(project, Acceptance(project)) == []
    (project / "code.py").write_text(DANGEROUS)
    (found,) = checks.code(project, Acceptance(project))
    assert found.startswith("code.py:5: B506 ")
    assert checks.code(project, accept(project, "B506", "code.py")) == []
    assert checks.code(project, accept(project, "B506", "other.py"))[0] == found


def test_what_is_accepted_and_no_longer_there_is_found(project: Path) -> None:
    assert checks.code(project, accept(project, "B506", "code.py")) == [
        "pyproject.toml accepts B506 in code.py, where it is no longer found: remove it"
    ]


def test_nothing_is_accepted_without_a_reason(project: Path) -> None:
    with pytest.raises(ValueError, match="accepts B506 without a reason"):
        accept(project, "B506", "code.py", " ")


def test_a_secret_is_found_unless_the_baseline_has_it_with_a_reason(project: Path) -> None:
    assert checks.secrets(project, Acceptance(project)) == []
    (project / "code.py").write_text(SECRET)
    (found, *_) = checks.secrets(project, Acceptance(project))
    assert found == "code.py:1: AWS Access Key"
    scan = checks._run(project, "detect_secrets", "scan", "--no-verify", "code.py")
    (project / checks.BASELINE).write_text(scan.stdout)
    assert found in checks.secrets(project, Acceptance(project))
    assert checks.secrets(project, accept(project, "secret", "*.py")) == []


@pytest.mark.long
def test_where_the_service_is_away_a_line_says_so_and_the_rest_is_looked_for(
    project: Path, away: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit.main(project) == 0
    first, *rest = capsys.readouterr().out.splitlines()
    assert first.startswith("vulnerabilities: not looked for, the service cannot be reached: ")
    assert rest == ["code: nothing found", "secrets: nothing found"]
    (project / "code.py").write_text(DANGEROUS)
    assert audit.main(project) == 1
    assert "  code.py:5: B506 " in capsys.readouterr().out


def test_a_program_that_fails_is_told_in_a_line_and_the_others_look_on(
    project: Path, away: None, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "requirements.txt").unlink()
    assert audit.main(project) == 1
    first, *rest = capsys.readouterr().out.splitlines()
    assert first.startswith("vulnerabilities: pip_audit failed: ")
    assert rest == ["code: nothing found", "secrets: nothing found"]


def test_a_program_that_does_not_end_is_told_without_its_arguments(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "MAX_SECONDS", 0.01)
    with pytest.raises(checks.Failed, match=r"^bandit did not end within 0.01 s$"):
        checks.code(project, Acceptance(project))
