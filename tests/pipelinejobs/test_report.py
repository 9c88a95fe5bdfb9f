"""`pipelinejobs report`: a command runs as it would by itself, and its job knows."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from datacatalog.mongo import Document
from pipelinejobs import client
from pipelinejobs import report as wrapper
from pipelinejobs.client import VARIABLE
from tests.abaco.running import SECONDS, eventually
from tests.conftest import ROOT
from tests.pipelinejobs.relay import Relay
from tests.pipelinejobs.running import COMMAND, Run, environment, read_until
from tests.site import Site

REPORT = [*COMMAND, "report"]
NOWHERE = (
    "http://127.0.0.1:1/actors/v2/x/messages?x-nonce=SD2E_nowhere&token=0123456789abcdef&uuid=107"
)
COUNTS_SIGNALS = """
import os, signal, sys, time
caught = []
for name in ("HUP", "INT", "QUIT", "TERM", "USR1", "USR2"):
    signal.signal(getattr(signal, "SIG" + name), lambda number, _: caught.append(number))
print("ready", flush=True)
while len(caught) < int(sys.argv[1]):
    time.sleep(0.01)
time.sleep(0.2)
print(*caught, flush=True)
sys.exit(len(caught))
"""


@pytest.fixture
def variables(site: Site, work: Document) -> dict[str, str]:
    """What names the job."""
    return environment({VARIABLE: site.callback(work)})


def report(
    *arguments: str, variables: dict[str, str], folder: Path, **options: Any
) -> subprocess.CompletedProcess[bytes]:
    """Run `pipelinejobs report`."""
    return subprocess.run(
        [*REPORT, *arguments],
        env=variables,
        cwd=folder,
        capture_output=True,
        check=False,
        timeout=SECONDS,
        **options,
    )


def started(*arguments: str, variables: dict[str, str], folder: Path) -> subprocess.Popen[bytes]:
    """Start it."""
    return subprocess.Popen(
        [*REPORT, *arguments],
        env=variables,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    )


def counting(signals: int, variables: dict[str, str], folder: Path) -> subprocess.Popen[bytes]:
    """Start a command that ends after so many signals, and wait until it can be sent them."""
    code = ("--", sys.executable, "-c", COUNTS_SIGNALS, str(signals))
    process = started(*code, variables=variables, folder=folder)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


# How it runs


def test_a_command_that_succeeds_has_finished(
    site: Site, work: Document, variables: dict[str, str], tmp_path: Path
) -> None:
    done = report("--", "sh", "-c", "echo salsa", variables=variables, folder=tmp_path)

    assert (done.returncode, done.stdout, done.stderr) == (0, b"salsa\n", b"")
    assert site.events(work) == ["run", "finish"]
    begun, ended = (entry["data"] for entry in site.stored(work)["history"][1:])
    assert set(begun) == {"command", "host"}
    assert begun["command"] == "sh"
    assert (ended["exit_code"], ended["seconds"] >= 0) == (0, True)


def test_a_command_that_fails_has_its_last_lines_in_the_history(
    site: Site, work: Document, variables: dict[str, str], tmp_path: Path
) -> None:
    script = "for n in $(seq 100); do echo line $n >&2; done; exit 7"
    done = report("--", "sh", "-c", script, variables=variables, folder=tmp_path)

    assert (done.returncode, done.stdout) == (7, b"")
    assert done.stderr.decode().splitlines() == [f"line {n}" for n in range(1, 101)]
    assert site.events(work) == ["run", "fail"]
    kept = site.data(work)
    assert kept["exit_code"] == 7
    assert kept["stderr"] == [f"line {n}" for n in range(81, 101)]


def test_what_it_reads_and_writes_is_not_touched(variables: dict[str, str], tmp_path: Path) -> None:
    every_byte = bytes(range(256)) * 5000
    script = "cat; head -c 1000000 /dev/zero >&2; exit 1"
    done = report("sh", "-c", script, variables=variables, folder=tmp_path, input=every_byte)

    assert done.returncode == 1
    assert done.stdout == every_byte
    assert done.stderr == b"\0" * 1_000_000


@pytest.mark.parametrize("patience", ["-1", "inf", "soon"])
def test_a_patience_that_is_none_is_said(
    patience: str, bare: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    said = f"{patience} is not a number of seconds: give 0 or"
    done = bare("report", "--patience", patience, "--", "true")
    assert (done.code, said in done.err) == (2, True)
    for alone in (wrapper.main, client.main):
        with pytest.raises(SystemExit, match="2"):
            alone(["--patience", patience, "run"])
        assert said in capsys.readouterr().err


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
def test_streams_may_be_closed(closed: str, tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", "-c", f'"$@" {closed}', "-", *REPORT, "--", "sh", "-c", "exit 7"],  # noqa: S607 - found by PATH
        env=environment({}),
        cwd=tmp_path,
        capture_output=True,
        check=False,
        timeout=SECONDS,
    )
    assert done.returncode == 7
    assert b"Traceback" not in done.stderr


def test_options_behind_the_command_are_its_own(variables: dict[str, str], tmp_path: Path) -> None:
    done = report("printf", "%s|", "--patience", "-x", variables=variables, folder=tmp_path)
    assert (done.returncode, done.stdout) == (0, b"--patience|-x|")


def test_the_name_of_a_command_may_be_any_bytes(
    site: Site, work: Document, variables: dict[str, str], tmp_path: Path
) -> None:
    name = os.fsdecode(b"./sals\xe1")
    (tmp_path / name).symlink_to("/bin/true")
    done = report(name, variables=variables, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    assert site.events(work) == ["run", "finish"]
    missing = report(f"{name}-verde", variables=variables, folder=tmp_path)
    assert missing.returncode == 127
    assert missing.stderr.startswith(b"./sals\xe1-verde: No such file")


@pytest.mark.parametrize(
    ("command", "code", "problem"),
    [
        (("nothing-like-it",), 127, "nothing-like-it: No such file or directory"),
        (("/",), 126, "/: Permission denied"),
    ],
)
def test_a_command_that_cannot_be_run_ends_as_in_a_shell(
    site: Site,
    work: Document,
    variables: dict[str, str],
    tmp_path: Path,
    command: tuple[str, ...],
    code: int,
    problem: str,
) -> None:
    done = report("--", *command, variables=variables, folder=tmp_path)

    assert (done.returncode, done.stderr.decode()) == (code, f"{problem}\n")
    assert site.events(work) == ["fail"]
    assert site.data(work) == {"exit_code": code, "error": problem}


def test_the_command_may_report_as_well(
    site: Site, work: Document, variables: dict[str, str], tmp_path: Path
) -> None:
    code = "from pipelinejobs.client import Job; Job.from_callback().update({'progress': 0.4})"
    done = report("--", sys.executable, "-c", code, variables=variables, folder=tmp_path)

    assert done.returncode == 0, done.stderr
    assert sorted(site.events(work)) == ["finish", "run", "update"]


def test_what_goes_on_in_the_background_is_not_waited_for(
    site: Site, work: Document, variables: dict[str, str], tmp_path: Path
) -> None:
    script = "sleep 60 & echo $!"
    process = started("--", "sh", "-c", script, variables=variables, folder=tmp_path)
    assert process.stdout is not None
    left = psutil.Process(int(process.stdout.readline()))
    try:
        assert process.wait(SECONDS) == 0
        assert left.is_running()
        assert site.events(work) == ["run", "finish"]
    finally:
        left.kill()
        process.communicate()


def test_in_a_terminal_it_has_the_terminal(
    site: Site, work: Document, variables: dict[str, str], tmp_path: Path
) -> None:
    controller, terminal = pty.openpty()
    script = "test -t 0 && test -t 1 && test -t 2 && echo all of them"
    with subprocess.Popen(
        [*REPORT, "--", "sh", "-c", script],
        env=variables,
        cwd=tmp_path,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    ) as process:
        os.close(terminal)
        shown = read_until(controller, None)
    os.close(controller)

    assert (process.returncode, shown.strip()) == (0, "all of them")
    assert site.events(work) == ["run", "finish"]


# Signals


@pytest.mark.parametrize(
    "name",
    [
        "SIGHUP",
        "SIGINT",
        "SIGTERM",
        *(pytest.param(name, marks=pytest.mark.long) for name in ("SIGQUIT", "SIGUSR1", "SIGUSR2")),
    ],
)
def test_a_signal_is_passed_on_once(
    site: Site, work: Document, variables: dict[str, str], tmp_path: Path, name: str
) -> None:
    process = counting(1, variables, tmp_path)
    process.send_signal(signal.Signals[name])
    out, err = process.communicate(timeout=SECONDS)

    assert (process.returncode, out, err) == (1, b"%d\n" % signal.Signals[name], b"")
    assert site.events(work) == ["run", "fail"]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGKILL"])
def test_a_command_that_a_signal_ends_has_failed_by_it(
    site: Site, work: Document, variables: dict[str, str], tmp_path: Path, name: str
) -> None:
    script = f"kill -s {name.removeprefix('SIG')} $$; sleep 60"
    done = report("--", "sh", "-c", script, variables=variables, folder=tmp_path)

    assert done.returncode == 128 + signal.Signals[name]
    assert site.events(work) == ["run", "fail"]
    kept = site.data(work)
    assert (kept["exit_code"], kept["signal"]) == (128 + signal.Signals[name], name)


def test_a_command_that_a_signal_without_a_name_ends_has_failed_by_its_number(
    site: Site, work: Document, variables: dict[str, str], tmp_path: Path
) -> None:
    number = signal.SIGRTMIN + 1
    code = f"import os; os.kill(os.getpid(), {number})"
    done = report("--", sys.executable, "-c", code, variables=variables, folder=tmp_path)

    assert (done.returncode, done.stderr) == (128 + number, b"")
    assert site.events(work) == ["run", "fail"]
    assert site.data(work)["signal"] == f"SIG{number}"


@pytest.mark.parametrize(("key", "name"), [(b"\x03", "SIGINT"), (b"\x1c", "SIGQUIT")])
def test_a_key_of_the_terminal_reaches_the_command_once(
    site: Site,
    work: Document,
    variables: dict[str, str],
    tmp_path: Path,
    key: bytes,
    name: str,
) -> None:
    """The terminal tells all processes in its foreground, the command among them."""
    pid, controller = pty.fork()
    if not pid:
        os.chdir(tmp_path)
        command = [*REPORT, "--", sys.executable, "-c", COUNTS_SIGNALS, "1"]
        os.execve(command[0], command, variables)  # noqa: S606 - no shell is needed
    read_until(controller, "ready")
    os.write(controller, key)
    shown = read_until(controller, None)
    _, status = os.waitpid(pid, 0)
    os.close(controller)

    assert os.waitstatus_to_exitcode(status) == 1
    assert re.findall(r"\d+", shown) == [str(int(signal.Signals[name]))]
    assert site.events(work) == ["run", "fail"]


def test_ctrl_c_while_it_reports_ends_it_with_the_code_of_the_command(tmp_path: Path) -> None:
    script = "touch done; exit 5"
    variables = environment({VARIABLE: NOWHERE})
    process = started("--", "sh", "-c", script, variables=variables, folder=tmp_path)
    eventually((tmp_path / "done").exists)
    # until it has ended, the signal would be the command's
    eventually(lambda: not psutil.Process(process.pid).children())
    began = time.monotonic()
    while process.poll() is None:
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)
        assert time.monotonic() - began < SECONDS
    process.communicate()

    assert process.returncode == 5


# The manager is away


@pytest.mark.parametrize("code", [0, 3])
def test_without_a_manager_the_command_runs_and_a_line_says_so(code: int, tmp_path: Path) -> None:
    variables = environment({VARIABLE: NOWHERE})
    script = f"echo salsa; exit {code}"
    done = report(
        "--patience", "0.2", "--", "sh", "-c", script, variables=variables, folder=tmp_path
    )

    assert (done.returncode, done.stdout) == (code, b"salsa\n")
    assert done.stderr.decode() == (
        "pipelinejobs: run event and 1 after it: "
        "not reported: no answer from 127.0.0.1:1 (Connection refused)\n"
    )


def test_without_a_callback_the_command_runs_and_a_line_says_so(tmp_path: Path) -> None:
    done = report("--", "true", variables=environment({}), folder=tmp_path)

    assert done.returncode == 0
    assert done.stderr.decode() == (
        f"pipelinejobs: nothing will be reported: there is no callback: set {VARIABLE}\n"
    )


def test_the_command_does_not_wait_and_is_reported_when_the_manager_is_back(
    site: Site, work: Document, variables: dict[str, str], tmp_path: Path
) -> None:
    assert site.gateway.stop() == 0
    script = "echo begun; until [ -e end ]; do sleep 0.05; done"
    process = started("--", "sh", "-c", script, variables=variables, folder=tmp_path)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
    finally:
        site.gateway.start()
    # while it still runs
    eventually(lambda: site.events(work) == ["run"])
    (tmp_path / "end").touch()
    _, err = process.communicate(timeout=SECONDS)

    assert (process.returncode, err) == (0, b"")
    assert site.events(work) == ["run", "finish"]


@pytest.mark.long
def test_a_gateway_that_is_killed_while_it_runs_is_told_the_end(
    site: Site, work: Document, variables: dict[str, str], tmp_path: Path
) -> None:
    script = "until [ -e end ]; do sleep 0.05; done; exit 4"
    process = started("--", "sh", "-c", script, variables=variables, folder=tmp_path)
    eventually(lambda: site.events(work) == ["run"])
    site.gateway.kill()
    (tmp_path / "end").touch()
    site.gateway.start()
    _, err = process.communicate(timeout=SECONDS)

    assert (process.returncode, err) == (4, b"")
    assert site.events(work) == ["run", "fail"]


# Secrets


def test_the_callback_is_in_no_list_of_processes_and_in_no_output(
    site: Site, work: Document, variables: dict[str, str], tmp_path: Path
) -> None:
    with Relay(site.gateway.url) as relay:
        given = {**variables, VARIABLE: relay.of(variables[VARIABLE])}
        script = f'echo "$${VARIABLE}" >&2; until [ -e end ]; do sleep 0.05; done; exit 1'
        script = script.replace("$$", "$")
        process = started("--", "sh", "-c", script, variables=given, folder=tmp_path)
        eventually(lambda: site.events(work) == ["run"])
        of_all = [process.pid, *(each.pid for each in psutil.Process(process.pid).children())]
        commands = " ".join(Path(f"/proc/{pid}/cmdline").read_text() for pid in of_all)
        (tmp_path / "end").touch()
        process.communicate(timeout=SECONDS)

    assert site.events(work) == ["run", "fail"]
    history = str(site.stored(work)["history"])
    assert "***" in history
    for secret in (site.nonce, work["_update_token"]):
        assert secret not in commands
        assert secret not in history


def test_it_loads_nothing_of_what_the_other_commands_need() -> None:
    command = [sys.executable, "-X", "importtime", *REPORT[1:], "--", "true"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = set(re.findall(r"\| +(\w+)", done.stderr))
    assert {"typer", "pipelinejobs"} <= loaded
    assert not loaded & {"pymongo", "datacatalog", "manager", "jsonschema", "yaml", "httpx"}
