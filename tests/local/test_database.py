from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pymongo
import pytest
from pymongo.errors import OperationFailure

import local.database
import local.processes
from local.database import LocalDatabase, Server, main
from local.exceptions import LocalDatabaseError
from tests.abaco.running import eventually
from tests.conftest import ROOT
from tests.databases import place

PS = [shutil.which("ps") or "/bin/ps", "-A", "-ww", "-o", "pid=,command="]
SLEEP = "import time; time.sleep(60)"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder for a database, which is ended in the end without much ado."""
    folder = tmp_path / "of the database"
    yield folder
    for pid in processes(folder):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process that has nothing to do with any database."""
    with bystander() as process:
        yield process


@contextlib.contextmanager
def bystander(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    code = f"print(flush=True); {SLEEP}"
    command_line = [sys.executable, "-c", code, *arguments]
    with subprocess.Popen(command_line, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()  # from now on its command line can be seen
        yield process
        process.kill()


def processes(folder: Path) -> list[int]:
    """The ids of the servers whose data is in a folder."""
    data = str(LocalDatabase(folder).data)
    return [pid for pid, line in command_lines() if f"--storage-path {data}" in line]


def command_lines() -> Iterator[tuple[int, str]]:
    if not Path("/proc/self").exists():
        listing = subprocess.run(PS, capture_output=True, text=True, check=True).stdout
        for line in listing.splitlines():
            pid, _, rest = line.strip().partition(" ")
            yield int(pid), rest
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            yield int(path.parent.name), path.read_text(errors="replace").replace("\0", " ")


def kill(server: Server) -> None:
    """End a server as a lack of memory or power would."""
    os.kill(server.pid, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while is_open(server.port) and time.monotonic() < deadline:
        time.sleep(0.01)


def is_open(port: int, host: str = "127.0.0.1") -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0


def write(server: Server, **document: Any) -> None:
    with pymongo.MongoClient[dict[str, Any]](server.uri) as client:
        client["test"]["things"].insert_one(document)


def read(server: Server) -> list[dict[str, Any]]:
    with pymongo.MongoClient[dict[str, Any]](server.uri) as client:
        return list(client["test"]["things"].find({}, {"_id": 0}))


def note(folder: Path, content: str | Server) -> None:
    """Note a server in a folder, as an earlier command would have."""
    folder.mkdir(exist_ok=True)
    text = (
        content
        if isinstance(content, str)
        else json.dumps({"pid": content.pid, "port": content.port})
    )
    (folder / "database.json").write_text(text)


def program(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Put a program of the test where the server is looked for."""
    folder.mkdir(exist_ok=True)
    path = folder / "server-of-the-test"
    path.write_text(f"#!{sys.executable}\n{text}\n")
    path.chmod(0o755)
    monkeypatch.setattr(local.processes, "PROGRAM", path.name)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "local.database", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def within(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run the command in this process, which takes less time."""

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["database", *map(str, arguments)])
        capsys.readouterr()
        handler = signal.getsignal(signal.SIGTERM)
        try:
            code = main()
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            signal.signal(signal.SIGTERM, handler)
        return subprocess.CompletedProcess([], code, *capsys.readouterr())

    return run


# Start, status, stop


def test_a_server_is_started_found_again_and_stopped(folder: Path) -> None:
    database = LocalDatabase(folder)
    assert database.status() is None
    server = database.start()
    assert server.address == f"mongodb://127.0.0.1:{server.port}"
    write(server, a=1)

    other = LocalDatabase(folder)
    assert database.start() == other.start() == other.status() == server
    assert processes(folder) == [server.pid]

    assert other.stop() is True
    assert not is_open(server.port)
    assert processes(folder) == []
    assert database.status() is None
    assert database.stop() is False

    again = database.start()
    assert read(again) == [{"a": 1}]
    # what was told its address finds it again
    assert again.uri == server.uri


def test_the_server_listens_on_the_loopback_address_only_whatever_the_user_has_set_for_others(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / ".secantus/secantusd.toml"
    own.parent.mkdir()
    own.write_text('host = "0.0.0.0"\nno such setting')
    monkeypatch.setenv("HOME", str(tmp_path))
    server = place(folder).start()
    assert is_open(server.port)
    assert not is_open(server.port, "127.0.0.2")


def test_a_killed_server_comes_back_with_its_data_and_port(folder: Path) -> None:
    database = place(folder)
    first = database.start()
    for number in range(20):
        write(first, number=number)
    kill(first)
    assert database.status() is None
    second = LocalDatabase(folder).start()
    assert second.pid != first.pid
    assert second.port == first.port
    assert read(second) == [{"number": number} for number in range(20)]


def test_all_tables_are_made_before_a_kill_can_leave_one_in_pieces(folder: Path) -> None:
    database = place(folder)
    server = database.start()
    made = set(database.data.glob("*.wt"))
    with pymongo.MongoClient[dict[str, Any]](server.uri) as client:
        assert client.list_database_names() == []
        for number in range(40):
            client["test"][f"collection {number}"].insert_one({})
    assert set(database.data.glob("*.wt")) == made


@pytest.mark.long
def test_a_server_comes_back_on_another_port_if_its_own_is_taken(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        # no process has this id: it is beyond the greatest that Linux and macOS give
        note(folder, Server(2**22 + 1, port))
        server = LocalDatabase(folder).start()
        assert server.port != port
        assert read(server) == []


def test_starts_at_the_same_time_give_one_server(folder: Path) -> None:
    ready = threading.Barrier(4)

    def start() -> Server:
        ready.wait()
        return LocalDatabase(folder).start()

    with ThreadPoolExecutor(4) as pool:
        tasks = [pool.submit(start) for _ in range(4)]
    servers = {task.result() for task in tasks}
    assert [server.pid for server in servers] == processes(folder)


@pytest.mark.long
def test_two_folders_have_two_servers(folder: Path, tmp_path: Path) -> None:
    # the name of the one ends with that of the other
    inner = tmp_path / str(folder).lstrip("/")
    one, two = LocalDatabase(folder), LocalDatabase(inner)
    try:
        first, second = one.start(), two.start()
        assert first.port != second.port
        write(first, a=1)
        assert read(second) == []
        # the first has died, and the system has given its number to the second
        note(folder, Server(second.pid, first.port))
        assert one.status() is None
        assert one.stop() is False
        assert two.status() == second
    finally:
        for pid in processes(inner):
            os.kill(pid, signal.SIGKILL)


# Stale notes


def test_a_stranger_with_the_noted_id_is_left_alone(
    folder: Path, stranger: subprocess.Popen[bytes]
) -> None:
    place(folder)
    note(folder, Server(stranger.pid, 9))
    assert LocalDatabase(folder).status() is None
    assert LocalDatabase(folder).stop() is False
    note(folder, Server(stranger.pid, 9))
    server = LocalDatabase(folder).start()
    assert server.pid != stranger.pid
    assert read(server) == []
    assert stranger.poll() is None


@pytest.mark.parametrize("name", ["data", "log"])
def test_whoever_only_reads_the_files_of_the_server_is_left_alone(folder: Path, name: str) -> None:
    database = LocalDatabase(folder)
    with bystander(str(getattr(database, name))) as reader:
        note(folder, Server(reader.pid, 9))
        assert database.stop() is False
        assert reader.poll() is None


def test_a_stranger_with_the_noted_id_may_have_any_name(folder: Path) -> None:
    code = f"import os; os.execv({sys.executable!r}, [b'\\xff\\xfe', b'-c', {SLEEP!r}])"
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        eventually(lambda: b"\xff" in Path(f"/proc/{process.pid}/cmdline").read_bytes())
        note(folder, Server(process.pid, 0))
        assert LocalDatabase(folder).status() is None
        process.kill()


@pytest.mark.parametrize(
    "content",
    ["", "not JSON", "[]", "{}", '{"pid": 1}', '{"pid": "x", "port": 1}', '{"pid": -1, "port": 1}'],
)
def test_a_note_that_says_nothing_is_no_server(folder: Path, content: str) -> None:
    note(folder, content)
    assert LocalDatabase(folder).status() is None
    assert LocalDatabase(folder).stop() is False


# What can go wrong


def test_a_missing_program_says_what_to_do(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(local.processes, "PROGRAM", "no-such-server")
    monkeypatch.setenv("PATH", "")
    expected = "no-such-server is not installed: run `make install`, or pip install secantusdb"
    with pytest.raises(LocalDatabaseError) as caught:
        LocalDatabase(folder).start()
    assert str(caught.value) == expected
    monkeypatch.setattr(sys, "argv", ["database", "start", "--folder", str(folder)])
    assert main() == 1
    assert capsys.readouterr() == ("", f"ERROR {expected}\n")


def test_a_program_that_fails_is_told_with_its_last_line(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, monkeypatch, "raise SystemExit('starting\\nthe disk is full')")
    with pytest.raises(LocalDatabaseError, match=r"ended at once: see .*database\.log \(the disk"):
        LocalDatabase(folder).start()
    assert LocalDatabase(folder).status() is None
    assert "starting\n" in (folder / "database.log").read_text()


def test_a_program_that_does_not_answer_is_told_and_ended(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, monkeypatch, SLEEP)
    monkeypatch.setattr(local.database, "START_SECONDS", 0.3)
    database = LocalDatabase(folder)
    with pytest.raises(LocalDatabaseError, match=r"does not answer on port \d+: see .*\.log"):
        database.start()
    assert database.status() is None
    assert processes(folder) == []


def test_a_program_that_ignores_the_polite_signal_is_ended(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaf = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}"
    program(tmp_path, monkeypatch, deaf)
    monkeypatch.setattr(local.database, "START_SECONDS", 1)
    monkeypatch.setattr(local.database, "STOP_SECONDS", 0.2)
    start = time.monotonic()
    with pytest.raises(LocalDatabaseError, match="does not answer"):
        LocalDatabase(folder).start()
    assert time.monotonic() - start < 30
    assert processes(folder) == []


@pytest.mark.parametrize("name", ["start", "status", "stop"])
def test_a_file_in_place_of_the_folder_is_no_stack_trace(
    within: Command, tmp_path: Path, name: str
) -> None:
    path = tmp_path / "file"
    path.write_text("mine")
    done = within(name, "--folder", path)
    assert done.returncode == 1
    assert str(path) in done.stderr
    assert path.read_text() == "mine"


# The command line


def test_the_command_line_starts_shows_and_stops(folder: Path, within: Command) -> None:
    started = command("start", "--folder", folder)
    assert (started.returncode, started.stderr) == (0, "")
    server = LocalDatabase(folder).status()
    assert server is not None
    assert started.stdout == f"{server.address}\n"
    asked = within("uri", "--folder", folder)
    assert (asked.returncode, asked.stdout, asked.stderr) == (0, f"{server.uri}\n", "")
    lesser = within("uri", "--database", "catalog", "--folder", folder).stdout.strip()
    with pymongo.MongoClient[dict[str, Any]](lesser) as client:
        client["catalog"]["jobs"].insert_one({})
        with pytest.raises(OperationFailure, match="not authorized"):
            client["other"]["jobs"].insert_one({})
    assert within("status", "--database", "catalog", "--folder", folder).returncode == 2
    write(server, a=1)

    for name in ("start", "status"):
        shown = within(name, "--folder", folder)
        assert (shown.returncode, shown.stdout, shown.stderr) == (0, started.stdout, "")

    stopped = command("stop", "--folder", folder)
    assert (stopped.returncode, stopped.stdout, stopped.stderr) == (0, "stopped\n", "")
    assert processes(folder) == []


def test_the_command_line_takes_no_database_from_a_gateway_that_runs(
    folder: Path, within: Command
) -> None:
    lock = folder / "abaco" / "lock"
    lock.parent.mkdir(parents=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        refused = within("stop", "--folder", folder)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "`make up` is running on this database: end that with Ctrl-C" in refused.stderr
    assert within("stop", "--folder", folder).returncode == 0


def test_the_command_line_says_when_nothing_runs(folder: Path, within: Command) -> None:
    status = within("status", "--folder", folder)
    assert status.returncode == 1
    assert "not running" in status.stdout
    assert "python -m local.database start" in status.stdout
    stop = within("stop", "--folder", folder)
    assert (stop.returncode, stop.stdout) == (0, "it was not running\n")


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)]
)
def test_a_first_start_that_is_ended_leaves_no_server_and_no_traceback(
    folder: Path, within: Command, number: signal.Signals
) -> None:
    arguments = [sys.executable, "-m", "local.database", "start", "--folder", str(folder)]
    with subprocess.Popen(arguments, cwd=ROOT, stderr=subprocess.PIPE, text=True) as starting:
        assert starting.stderr is not None
        eventually((folder / "database.draft").exists)
        starting.send_signal(number)
        assert (starting.stderr.read(), starting.wait()) == ("", 130)
    left = [line for _, line in command_lines() if f"--storage-path {folder}/" in line]
    assert left == []
    assert within("start", "--folder", folder).returncode == 0


def test_a_full_disk_behind_standard_output_is_said(
    folder: Path, within: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr("sys.stdout", full)
        done = within("status", "--folder", folder)
    problem = "standard output cannot be written: No space left on device"
    assert (done.returncode, done.stderr) == (1, f"ERROR {problem}\n")


def test_help_has_an_example(within: Command) -> None:
    shown = within("--help")
    assert shown.returncode == 0
    assert "example: python -m local.database start --folder .local" in shown.stdout


def test_an_unknown_command_names_those_that_exist(within: Command) -> None:
    done = within("restart")
    assert done.returncode == 2
    for name in ("start", "status", "uri", "stop"):
        assert name in done.stderr


@pytest.mark.long
def test_a_port_that_somebody_takes_just_before_is_left_to_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free_port = local.processes.free_port
    with socket.socket() as other:
        other.bind((local.processes.HOST, 0))
        other.listen()
        taken = [other.getsockname()[1]]
        monkeypatch.setattr(
            local.processes, "free_port", lambda port: taken.pop() if taken else free_port(port)
        )
        server = LocalDatabase(folder).start()
        assert taken == []
        assert server.port != other.getsockname()[1]
    assert LocalDatabase(folder).status() == server
