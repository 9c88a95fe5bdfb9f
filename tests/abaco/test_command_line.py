"""`python -m abaco`: tokens, help, and what is said of wrong arguments."""

from __future__ import annotations

import datetime
import json
import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from abaco import clock
from abaco.command_line import main
from tests.abaco.running import ADMIN, EVERYONE, NOWHERE, Client, RunningGateway, eventually

SETTINGS: dict[str, Any] = {"tenants": {"SD2E": {}, "TACC": {}}}


class Done(NamedTuple):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


Command = Callable[..., Done]


@pytest.fixture
def command(
    gateway: RunningGateway, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Command]:
    """Runs a command with the configuration of the gateway."""
    monkeypatch.chdir(gateway.folder)
    mask = os.umask(0o022)

    def run(*arguments: str) -> Done:
        try:
            code = main(["--config", str(gateway.configuration), *arguments])
        except SystemExit as error:
            code = int(error.code or 0)
        return Done(code, *capsys.readouterr())

    yield run
    os.umask(mask)


def succeed(done: Done) -> str:
    """Return what a command printed that succeeds and complains of nothing."""
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def make(command: Command, *options: str) -> str:
    """Make a token; return it."""
    printed = succeed(command("token", "create", *options))
    (token,) = printed.splitlines()
    return token


def listed(command: Command) -> list[list[str]]:
    """Return the rows of `token list`."""
    return [line.split("\t") for line in succeed(command("token", "list")).splitlines()]


def failure(done: Done) -> str:
    """Return the one line that a command says when it fails."""
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("ERROR ")
    return line.removeprefix("ERROR ")


def usage(done: Done) -> str:
    """Return what a command says that is not understood."""
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: python -m abaco")
    return done.stderr.splitlines()[-1]


# Tokens


def test_a_token_that_is_made_is_good_at_once(gateway: RunningGateway, command: Command) -> None:
    token = make(command, "--user", "eve")
    with Client(gateway.url, token) as client:
        assert client.result("POST", "", json={"image": NOWHERE})["owner"] == "eve"
        profile = client.get(f"{gateway.url}/profiles/v2/me").json()["result"]
    assert profile["username"] == "eve"


def test_a_token_is_of_everyone_unless_roles_are_named(
    gateway: RunningGateway, command: Command
) -> None:
    description = {"image": NOWHERE, "maxWorkers": 2}
    with Client(gateway.url, make(command, "--user", "eve")) as client:
        assert "only admins and privileged users" in client.refusal("POST", "", json=description)
    roles = ("--role", EVERYONE, "--role", "Internal/abaco-privileged")
    with Client(gateway.url, make(command, "--user", "eve", *roles)) as client:
        assert client.result("POST", "", json=description)["maxWorkers"] == 2


def test_a_token_of_an_administrator_may_do_all(
    gateway: RunningGateway, command: Command, ada: Client
) -> None:
    actor = ada.actor(NOWHERE)
    with Client(gateway.url, make(command, "--user", "root", "--role", ADMIN)) as client:
        assert client.result("DELETE", f"/{actor}") is None


@pytest.mark.parametrize("tenant", ["TACC", "tacc"])
def test_a_token_is_of_the_first_tenant_unless_one_is_named(
    gateway: RunningGateway, command: Command, ada: Client, tenant: str
) -> None:
    actor = ada.actor(NOWHERE)
    with Client(gateway.url, make(command, "--user", "ada")) as client:
        assert actor in [each["id"] for each in client.result("GET", "")]
    with Client(gateway.url, make(command, "--user", "ada", "--tenant", tenant)) as client:
        assert client.result("GET", "") == []


@pytest.mark.parametrize(("options", "days"), [((), 30), (("--days", "0.5"), 0.5)])
def test_a_token_holds_for_its_days(
    command: Command, options: tuple[str, ...], days: float
) -> None:
    label = f"for {days} days"
    make(command, "--user", "eve", "--label", label, *options)
    (row,) = [row for row in listed(command) if row[-1] == label]
    state, _, moment = row[4].partition(" ")
    expires = datetime.datetime.fromisoformat(moment.removesuffix("Z"))
    assert state == "until"
    assert abs(expires - clock.now() - datetime.timedelta(days=days)).total_seconds() < 60


def test_tokens_are_listed_without_what_is_secret(command: Command) -> None:
    token = make(command, "--user", "frank", "--tenant", "TACC", "--label", "his", "--role", ADMIN)
    printed = succeed(command("token", "list"))
    assert token not in printed
    (row,) = [row for row in listed(command) if row[2] == "frank"]
    assert [row[1], row[3], row[5]] == ["TACC", ADMIN, "his"]


def test_a_token_that_is_revoked_is_refused(gateway: RunningGateway, command: Command) -> None:
    with Client(gateway.url, make(command, "--user", "grace")) as client:
        assert client.result("GET", "") == []
        (token_id,) = [row[0] for row in listed(command) if row[2] == "grace"]
        assert succeed(command("token", "revoke", token_id)) == "revoked\n"
        eventually(lambda: client.get("").status_code == 401)
    said = failure(command("token", "revoke", token_id))
    assert said == f"there is no token {token_id}: see `python -m abaco token list`"


# The file for clients


@pytest.mark.parametrize("arguments", [("token", "list"), ("token", "create", "--user", "eve")])
def test_a_full_disk_behind_standard_output_is_said_and_makes_no_token(
    command: Command, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    make(command, "--user", "ada")
    before = listed(command)
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr("sys.stdout", full)
        done = command(*arguments)
    monkeypatch.undo()
    assert failure(done) == "standard output cannot be written: No space left on device"
    assert listed(command) == before


@pytest.mark.parametrize(
    "arguments", [("token", "create", "--user", "eve", "--label"), ("token", "revoke")]
)
def test_an_argument_that_is_not_utf_8_is_said_to_be_so(
    command: Command, arguments: tuple[str, ...]
) -> None:
    problem = "an argument has the byte 0xe9, which is not UTF-8: write it in UTF-8"
    assert command(*arguments, os.fsdecode(b"x\xe9")) == (2, "", f"ERROR {problem}\n")


def test_the_file_for_clients_has_what_they_look_for(
    gateway: RunningGateway, command: Command, tmp_path: Path
) -> None:
    cache = tmp_path / "of ada" / "current"
    printed = succeed(command("token", "create", "--user", "heidi", "--cache", str(cache)))
    (row,) = [row for row in listed(command) if row[2] == "heidi"]
    assert printed == f"token {row[0]} is in {cache}\n"
    content = json.loads(cache.read_text())
    with Client(gateway.url, content["access_token"]) as client:
        assert client.result("GET", "") == []
    assert len({content[name] for name in ("apikey", "apisecret", "refresh_token")}) == 3
    shown = {name: content[name] for name in ("tenantid", "username", "baseurl", "verify")}
    assert shown == {
        "tenantid": "SD2E",
        "username": "heidi",
        "baseurl": gateway.url,
        "verify": False,
    }
    assert content["expires_in"] == 30 * 86_400
    assert stat.S_IMODE(cache.stat().st_mode) == 0o600
    assert stat.S_IMODE(cache.parent.stat().st_mode) == 0o700
    assert list(cache.parent.iterdir()) == [cache]


def test_the_file_for_clients_replaces_the_one_before_and_closes_it(
    command: Command, tmp_path: Path
) -> None:
    cache = tmp_path / "current"
    cache.write_text("{}")
    cache.chmod(0o644)
    server = ("--server", "https://api.abaco.local")
    succeed(command("token", "create", "--user", "ivan", "--cache", str(cache), *server))
    assert json.loads(cache.read_text())["baseurl"] == "https://api.abaco.local"
    assert stat.S_IMODE(cache.stat().st_mode) == 0o600


def test_a_token_is_not_made_where_its_file_cannot_be(command: Command, tmp_path: Path) -> None:
    before = listed(command)
    occupied = tmp_path / "occupied"
    occupied.write_text("")
    create = ("token", "create", "--user", "judy", "--cache")
    said = failure(command(*create, str(tmp_path)))
    assert said == f"{tmp_path} is a folder: name a file in it, such as {tmp_path / 'current'}"
    said = failure(command(*create, str(occupied / "current")))
    assert said.startswith(f"{occupied / 'current'} cannot be written: ")
    assert listed(command) == before
    assert list(tmp_path.iterdir()) == [occupied]


# Help, and what is wrong


@pytest.mark.parametrize(
    "arguments",
    [(), ("serve",), ("token",), ("token", "create"), ("token", "list"), ("token", "revoke")],
)
def test_each_command_has_help(command: Command, arguments: tuple[str, ...]) -> None:
    printed = succeed(command(*arguments, "--help"))
    assert printed.startswith(" ".join(("usage: python -m abaco", *arguments)))


def test_the_help_has_examples_that_run(command: Command, gateway: RunningGateway) -> None:
    printed = succeed(command("--help"))
    examples = re.findall(r"^  python -m abaco (.*)$", printed, re.MULTILINE)
    assert [example.split()[:2] for example in examples] == [
        ["serve", "--port"],
        ["--config", "fleet.yml"],
        ["token", "create"],
        ["token", "create"],
        ["token", "list"],
        ["token", "revoke"],
    ]
    for example in examples[2:5]:
        assert succeed(command(*example.split()))
    assert (gateway.folder / "ada" / "current").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "the following arguments are required: command"),
        (("bake",), "invalid choice: 'bake'"),
        (("token",), "the following arguments are required: verb"),
        (("token", "create"), "the following arguments are required: --user"),
        (("token", "create", "--user", ""), "a user's name has 1 to 255 characters"),
        (("token", "create", "--user", "a\nb"), "a user's name has 1 to 255 characters"),
        (("token", "create", "--user", "x", "--days", "0"), "0 is not a number of days"),
        (("token", "create", "--user", "x", "--days", "nan"), "nan is not a number of days"),
        (("token", "create", "--user", "x", "--days", "soon"), "soon is not a number of days"),
        (("token", "create", "--user", "x", "--role", "cook"), "invalid choice: 'cook'"),
        (("token", "revoke"), "the following arguments are required: id"),
        (("serve", "--port", "much"), "invalid int value: 'much'"),
        (
            ("worker", "--queues", "defualt"),
            "'defualt' is not the queue of any actor: there are default",
        ),
        (("copy", ""), "argument former: it names no file: give the name of one"),
        (("token", "create", "--user", "x", "--cache", ""), "argument --cache: it names no file"),
        (("--config", "", "token", "list"), "argument --config: it names no file"),
        (("worker", "--queues", "default,"), "'' is not the queue of any actor"),
        (("worker", "--queues", ""), "'' is not the queue of any actor"),
    ],
)
def test_wrong_arguments_are_explained(
    command: Command, arguments: tuple[str, ...], says: str
) -> None:
    assert says in usage(command(*arguments))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ("token", "create", "--user", "x", "--tenant", "cafe"),
            "tenant CAFE is not in {}: it has",
        ),
        (("serve", "--port", "70000"), "--port: 70000 is not a port: give"),
    ],
)
def test_what_does_not_fit_the_configuration_is_explained(
    command: Command, gateway: RunningGateway, arguments: tuple[str, ...], says: str
) -> None:
    assert failure(command(*arguments)).startswith(says.format(gateway.configuration))


def test_a_configuration_that_is_named_has_to_be_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "missing.yml"
    assert main(["--config", str(missing), "token", "list"]) == 1
    assert capsys.readouterr() == ("", f"ERROR {missing}: there is no such file\n")


def test_tokens_are_made_before_the_first_start(tmp_path: Path) -> None:
    gateway = RunningGateway(tmp_path)
    made = gateway.command("token", "create", "--user", "eve")
    assert (made.returncode, made.stderr) == (0, "")
    assert stat.S_IMODE(gateway.settings.data.stat().st_mode) == 0o700
    for file in gateway.settings.data.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    gateway.start()
    with Client(gateway.url, made.stdout.strip()) as client:
        assert client.result("GET", "") == []
    assert gateway.stop() == 0


@pytest.mark.parametrize(
    "arguments", [("create", "--user", "eve"), ("list",), ("revoke", "3Zb8XQkKOvWwD")]
)
def test_no_token_is_made_in_the_wrong_folder(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["token", *arguments]) == 1
    problem = (
        f"{tmp_path} has no abaco.yml, and no gateway has run there: "
        "go to the folder of the gateway, or name its file with --config"
    )
    assert capsys.readouterr() == ("", f"ERROR {problem}\n")
    assert not [*tmp_path.iterdir()]


def test_a_data_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    gateway = RunningGateway(tmp_path)
    gateway.settings.data.write_text("")
    said = gateway.complaint("token", "create", "--user", "eve")
    assert said.startswith(f"ERROR the data folder {gateway.settings.data} cannot be used: ")


@pytest.mark.parametrize("before", [True, False])
def test_the_configuration_is_named_before_or_after_serve(
    tmp_path: Path, before: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    config = ["--config", str(tmp_path / "nowhere.yml")]
    command = [*config, "serve"] if before else ["serve", *config]
    assert main(command) == 1
    assert "nowhere.yml: there is no such file" in capsys.readouterr().err
