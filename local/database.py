"""A MongoDB-compatible server of one's own: the program `secantusd-py`, on a loopback port.

Its data, its log and a note of where it listens are in one folder, by which later commands find
it again. It outlives the command that started it.

    python -m local.database start     prints the URI
    python -m local.database status
    python -m local.database stop
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pymongo
from pymongo.errors import PyMongoError

if TYPE_CHECKING:
    from collections.abc import Iterator

GATEWAY_LOCK = "abaco/lock"
"""What the gateway of `make up` holds in the same folder."""
PROGRAM = "secantusd-py"
DEFAULT_FOLDER = Path(".local")
START_SECONDS = 30.0
STOP_SECONDS = 10.0
HIGHEST_PORT = 65535
_POLL_SECONDS = 0.05


class LocalDatabaseError(RuntimeError):
    """The server cannot be started or stopped; the text says what to do."""


class Server(NamedTuple):
    """A server as it was noted in its folder."""

    pid: int
    port: int

    @property
    def uri(self) -> str:
        """What clients connect to."""
        return f"mongodb://127.0.0.1:{self.port}/?directConnection=true"


class LocalDatabase:
    """The server whose data is in a folder.

    Args:
        folder: made where it does not exist.
    """

    def __init__(self, folder: Path = DEFAULT_FOLDER) -> None:
        self.folder = folder.resolve()
        self.data = self.folder / "database"
        self.log = self.folder / "database.log"
        self._note = self.folder / "database.json"

    def start(self) -> Server:
        """Return the running server; start it if it does not run, or has died.

        Raises:
            LocalDatabaseError: it does not come up.
        """
        with self._locked():
            noted = self._read()
            if noted is not None and self._is_ours(noted.pid):
                self._wait(noted, None)
                return noted
            return self._spawn(noted.port if noted is not None else 0)

    def stop(self) -> bool:
        """Stop the server; tell whether it was running."""
        with self._locked():
            server = self._read()
            running = server is not None and self._is_ours(server.pid)
            if server is not None and running:
                self._end(server.pid)
            # the note stays: the next server is at the same port, if that is free then
            return running

    def status(self) -> Server | None:
        """Return the server if it runs and answers."""
        server = self._read()
        if server is None or not self._is_ours(server.pid) or not _answers(server):
            return None
        return server

    def _spawn(self, former_port: int) -> Server:
        port = _free_port(former_port)
        command = [_program(), "--host", "127.0.0.1", "--port", str(port)]
        # with its oplog the server slows down as it grows; what is acknowledged must be on disk
        command += ["--standalone", "--sync-on-commit", "--cache-size", "256M"]
        command += ["--log-level", "WARNING", "--storage-path", str(self.data)]
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        server = Server(process.pid, port)
        self._write(server)
        try:
            self._wait(server, process)
        finally:
            # it is meant to outlive this process, so nobody waits for its end
            process.returncode = 0
        return server

    def _wait(self, server: Server, process: subprocess.Popen[bytes] | None) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(server):
            ended = process is not None and process.poll() is not None
            if ended or time.monotonic() > deadline:
                state = "ended at once" if ended else f"does not answer on port {server.port}"
                message = f"the local database {state}: see {self.log}{self._last_line()}"
                raise LocalDatabaseError(message)
            time.sleep(_POLL_SECONDS)

    def _last_line(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return f" ({lines[-1]})" if lines else ""

    def _end(self, pid: int) -> None:
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while self._is_ours(pid):
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
                deadline = float("inf")
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            time.sleep(_POLL_SECONDS)

    def _is_ours(self, pid: int) -> bool:
        """Tell whether a process is the server of this folder, not a later one with its number."""
        return _command_line(pid).endswith(f"--storage-path {self.data}")

    def _read(self) -> Server | None:
        try:
            note = json.loads(self._note.read_text())
            server = Server(int(note["pid"]), int(note["port"]))
        except (FileNotFoundError, ValueError, KeyError, TypeError, OverflowError):
            return None
        return server if 0 < server.port <= HIGHEST_PORT else None

    def _write(self, server: Server) -> None:
        draft = self._note.with_suffix(".new")
        draft.write_text(json.dumps(server._asdict()))
        draft.replace(self._note)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "database.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _program() -> str:
    beside = Path(sys.executable).with_name(PROGRAM)
    found = str(beside) if beside.exists() else shutil.which(PROGRAM)
    if found is None:
        message = f"{PROGRAM} is not installed: run `make install`, or pip install secantusdb"
        raise LocalDatabaseError(message)
    return found


def _free_port(wanted: int) -> int:
    for port in (wanted, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    message = "there is no free port on 127.0.0.1"
    raise LocalDatabaseError(message)


def _answers(server: Server) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        if probe.connect_ex(("127.0.0.1", server.port)) != 0:
            return False
    client: pymongo.MongoClient[dict[str, object]] = pymongo.MongoClient(
        server.uri, serverSelectionTimeoutMS=1000, timeoutMS=1000
    )
    try:
        client.admin.command("ping")
    except PyMongoError:
        return False
    else:
        return True
    finally:
        client.close()


def _check_unused(folder: Path) -> None:
    """Refuse to take the database from a gateway that runs on it."""
    with contextlib.suppress(FileNotFoundError), (folder / GATEWAY_LOCK).open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = "`make up` is running on this database: end that with Ctrl-C"
            raise LocalDatabaseError(message) from None


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().rstrip()
    except OSError:
        if Path("/proc/self").exists():
            return ""
    command = ["ps", "-o", "command=", "-p", str(pid)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.rstrip()


def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m local.database",
        description="Start, find or stop the database of this machine.",
        epilog="example: python -m local.database start --folder .local",
    )
    parser.add_argument("command", choices=("start", "status", "stop"))
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER, help="of data and log")
    arguments = parser.parse_args()
    database = LocalDatabase(arguments.folder)
    try:
        if arguments.command == "stop":
            _check_unused(arguments.folder)
            print("stopped" if database.stop() else "it was not running")
            return 0
        server = database.start() if arguments.command == "start" else database.status()
    except LocalDatabaseError as error:
        print(f"ERROR {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"ERROR {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    print(server.uri if server else "it is not running: python -m local.database start")
    return 0 if server else 1


if __name__ == "__main__":
    sys.exit(main())
