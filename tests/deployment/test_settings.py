"""reactor.rc and secrets.json: what they mean, and what is said of what they cannot mean."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from deployment.exceptions import DeploymentError
from deployment.settings import DEFAULTS, Reactor, Secrets, read_reactor, read_secrets
from tests.conftest import ROOT


def reactor(folder: Path, text: str, **environ: str) -> Reactor:
    file = folder / "reactor.rc"
    file.write_text(text)
    return read_reactor(environ, file)


def secrets(folder: Path, content: Any, mode: int = 0o600) -> Secrets:
    file = folder / "secrets.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    file.chmod(mode)
    return read_secrets(file)


def test_the_sample_has_every_key_and_is_good_as_it_is() -> None:
    sample = ROOT / "reactor.rc.sample"
    keys = re.findall(r"^(\w+)=", sample.read_text(), re.MULTILINE)
    assert sorted(keys) == sorted(DEFAULTS)
    found = read_reactor({}, sample)
    version = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    assert found.image == f"pipelinejobs-manager:{version[1]}"
    assert found == read_reactor({"DOCKER_IMAGE_VERSION": version[1]}, sample)


def test_it_is_read_as_a_shell_reads_it(tmp_path: Path) -> None:
    text = """\
# a comment
export REACTOR_NAME='the name'  # another one

REACTOR_DESCRIPTION="it's # good"
DOCKER_HUB_ORG=registry.example.org:5000/tacos
DOCKER_IMAGE_TAG=manager
DOCKER_IMAGE_VERSION=1.2-rc3
REACTOR_STATELESS=0
REACTOR_USE_UID=true
OTHER=x
"""
    found = reactor(tmp_path, text)
    assert (found.name, found.description) == ("the name", "it's # good")
    assert found.image == "registry.example.org:5000/tacos/manager:1.2-rc3"
    assert found.image_name == "manager"
    assert (found.stateless, found.use_uid, found.privileged) == (False, True, False)
    assert found.unused == ("OTHER",)


def test_a_byte_order_mark_is_no_part_of_it(tmp_path: Path) -> None:
    assert reactor(tmp_path, "\ufeffREACTOR_NAME=tacos\r\n").name == "tacos"
    assert secrets(tmp_path, '\ufeff{"A": "b"}') == {"A": "b"}


def test_the_environment_wins(tmp_path: Path) -> None:
    found = reactor(tmp_path, "DOCKER_IMAGE_VERSION=2\n", DOCKER_IMAGE_VERSION="1", HOME="/")
    assert found.image == "pipelinejobs-manager:1"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("REACTOR_NAME=a b", "line 1: this is not KEY=VALUE; a value with blanks needs quotes"),
        ("\nREACTOR_NAME", "line 2: this is not KEY=VALUE"),
        ('REACTOR_NAME="', "line 1: this is not KEY=VALUE"),
        ("REACTOR_NAME=", "REACTOR_NAME is empty"),
        ("REACTOR_WORKERS=0", "REACTOR_WORKERS is '0': give a number from 1"),
        (f"REACTOR_WORKERS={'9' * 5_000}", "give a number from 1"),
        (
            "DOCKER_PYTHON=--privileged",
            "DOCKER_PYTHON is '--privileged', which is not the name of an image",
        ),
        ("REACTOR_STATELESS=maybe", "REACTOR_STATELESS is 'maybe', which is neither 1 nor 0"),
        ("REACTOR_STATELESS=0\nREACTOR_WORKERS=2", "is not stateless has one worker, not 2"),
        ("DOCKER_IMAGE_TAG=Tacos", "'Tacos:latest' is not the name of an image"),
        ("DOCKER_IMAGE_VERSION='$V'", "'pipelinejobs-manager:$V' is not the name of an image"),
    ],
)
def test_what_is_wrong_in_it_is_said_with_the_place(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(DeploymentError, match=re.escape(says)) as caught:
        reactor(tmp_path, text)
    assert str(caught.value).startswith(str(tmp_path / "reactor.rc"))


def test_a_file_that_is_missing_can_be_made_of_a_sample(tmp_path: Path) -> None:
    for read, name in (
        (lambda f: read_reactor({}, f), "reactor.rc"),
        (read_secrets, "secrets.json"),
    ):
        file = tmp_path / name
        with pytest.raises(
            DeploymentError, match=f"there is no {re.escape(str(file))} here: "
        ) as caught:
            read(file)
        assert f"{file}.sample {file}, and edit it" in str(caught.value)
        assert (ROOT / f"{name}.sample").is_file()


def test_the_sample_of_the_secrets_has_to_be_filled_in(tmp_path: Path) -> None:
    text = (ROOT / "secrets.json.sample").read_text()
    with pytest.raises(DeploymentError, match="_REACTOR_MONGODB_AUTHN is empty: give it a value"):
        secrets(tmp_path, text)
    filled = dict.fromkeys(json.loads(text), "x")
    assert secrets(tmp_path, filled) == filled


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_secrets_that_others_may_read_are_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(DeploymentError, match=r"chmod 600 .*/secrets\.json$"):
        secrets(tmp_path, {"A": "x"}, mode)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{\n"A": hush}', "not valid JSON (Expecting value at line 2 column 6, where 'h' is)"),
        (["hush"], "does not hold an object of variables and their values"),
        ({"A B": "hush"}, "'A B' is not the name of a variable"),
        ({"A": {"hush": 1}}, "the value of A is not a string"),
        ({"A": 4711}, "the value of A is not a string"),
        ("[" * 100_000, "not valid JSON"),
        ('{"A": "1", "A": "2"}', "not valid JSON (it has the key 'A' twice in one object)"),
        ({"A": "hush \ud800"}, "the value of A has a surrogate"),
    ],
)
def test_what_is_wrong_in_the_secrets_is_said_without_them(
    tmp_path: Path, content: Any, says: str
) -> None:
    with pytest.raises(DeploymentError, match=re.escape(says)) as caught:
        secrets(tmp_path, content)
    assert "hush" not in str(caught.value)
    assert "4711" not in str(caught.value)


def test_secrets_are_blacked_out_the_longest_first() -> None:
    hidden = Secrets(A="tacos", B="tacos-and-more", C="1").hide("1 tacos-and-more, tacos")
    assert hidden == "1 ***, ***"


@pytest.mark.parametrize(
    "form",
    [
        str,
        repr,
        json.dumps,
        lambda value: json.dumps(value, ensure_ascii=False),
        quote,
        quote_plus,
        lambda value: value.splitlines()[0],
        lambda value: json.dumps(value.splitlines()[1]),
    ],
)
def test_a_secret_is_blacked_out_in_every_form_that_a_program_repeats_it_in(
    form: Callable[[str], str],
) -> None:
    value = 'hush & "quoted" \'ä\nsecond/l\\ine ü'
    hidden = Secrets(A=value).hide(f"refused: {form(value)}!")
    assert hidden.strip("'\"") in ("refused: ***!", "refused: '***'!", 'refused: "***"!')
