"""A MongoDB-compatible server of one's own: the program `secantusd-py`, on a loopback port.

Its data, its log, its password and a note of where it listens are in one folder, by which later
commands find it again. It outlives the command that started it.

    python -m local.database start     prints its address
    python -m local.database status
    python -m local.database uri       prints the address with user and password; with
                                       `--database catalog`, of a user of that one alone
    python -m local.database stop
"""

from __future__ import annotations

import argparse
import contextlib
import enum
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from abaco import streams
from abaco.loading import uncollected

with uncollected():
    import pymongo
    from pymongo.errors import OperationFailure, PyMongoError

    from local import processes, tables, users
    from local.exceptions import LocalDatabaseError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GATEWAY_LOCK = "abaco/lock"
"""What the gateway of `make up` holds in the same folder."""
DEFAULT_FOLDER = Path(".local")
START_SECONDS = 30.0
STOP_SECONDS = 10.0
_POLL_SECONDS = 0.05
_AUTHENTICATION_FAILED = 18
_PORTS = 5
"""How many are tried that are free, and taken before the server listens there."""
_ENVIRON = {"OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
"""A library that the server imports would else start a thread for each processor, and use none; and the
threads of the server, of which one runs at a time, would each take memory of their own and keep it."""
_CACHE = "64M"
"""Of memory for documents. With half of it, an insert of 1,000 jobs takes minutes."""
_TAKEN = "Address already in use"


@dataclass(frozen=True)
class Server:
    """A server as it was noted in its folder, with the password of its owner."""

    pid: int
    port: int
    password: str = field(default="", repr=False)

    @property
    def address(self) -> str:
        """Where it is, without a user."""
        return f"mongodb://{processes.HOST}:{self.port}"

    @property
    def uri(self) -> str:
        """What its owner connects to."""
        return users.uri(self.port, users.OWNER, self.password)


class LocalDatabase:
    """The server whose data is in a folder.

    Args:
        folder: made where it does not exist.
        is_interrupted: tells whether nobody waits for a start any longer.
    """

    def __init__(
        self, folder: Path = DEFAULT_FOLDER, is_interrupted: Callable[[], bool] = lambda: False
    ) -> None:
        self._is_interrupted = is_interrupted
        self.folder = folder.resolve()
        self.data = self.folder / "database"
        self._draft = self.folder / "database.draft"
        """Where what is new is made, until it is whole."""
        self.log = self.folder / "database.log"
        self.password_file = self.folder / "database.password"
        self._note = self.folder / "database.json"
        self._settings = self.folder / "database.toml"

    def start(self) -> Server:
        """Return the running server; start it if it does not run, has died, or is broken.

        One that asks for no password, as those of earlier versions, is started again with one.

        Raises:
            LocalDatabaseError: it does not come up.
        """
        with self._locked():
            noted = self._read()
            if noted is not None and self._is_ours(noted.pid):
                if processes.asks_for_a_password(noted.pid) and self._is_well(noted):
                    return noted
                self._end(noted.pid)
            return self._bring_up(noted.port if noted is not None else 0)

    def restart(self, failed: Server) -> Server:
        """End a server, even if it is frozen, and start it at the same port.

        Args:
            failed: which one; where another one runs, that is returned.

        Raises:
            LocalDatabaseError: it does not come up, or another program has taken the port.
        """
        with self._locked():
            noted = self._read()
            if noted is not None and noted.pid != failed.pid and self.is_running(noted):
                return noted
            self._end(failed.pid)
            if processes.free_port(failed.port) != failed.port:
                message = f"another program has taken port {failed.port}, where clients look for it"
                raise LocalDatabaseError(message)
            return self._bring_up(failed.port)

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
        if server is None or not self.is_running(server) or _look(server) is not _State.WELL:
            return None
        return server

    def has_process(self) -> bool:
        """Tell whether there is a process of the server, whether or not it answers."""
        server = self._read()
        return server is not None and self.is_running(server)

    def is_running(self, server: Server) -> bool:
        """Tell whether the process of a server is there, whether or not it answers."""
        return self._is_ours(server.pid) and processes.asks_for_a_password(server.pid)

    def answers_errors(self, server: Server) -> bool:
        """Tell whether a server fails when somebody signs in."""
        return _look(server) is _State.BROKEN

    def admit(self, server: Server, database: str) -> str:
        """Return the URI of the user who may read and write one database, and nothing else.

        Args:
            server: as it was started.
            database: the name of the database.

        Raises:
            LocalDatabaseError: the server does not do it.
        """
        try:
            return users.admit(server.port, server.password, database)
        except PyMongoError as error:
            message = f"the local database makes no user ({type(error).__name__}): see {self.log}"
            raise LocalDatabaseError(message) from error

    def _bring_up(self, port: int) -> Server:
        """Start the server; again where another program has taken a port that was just free."""
        for _ in range(_PORTS - 1):
            with contextlib.suppress(_PortTaken):
                return self._begin(port)
        return self._begin(port)

    def _begin(self, port: int) -> Server:
        """Start the server; make its owner where it has none, or none with the password kept."""
        if users.read_password(self.password_file) is not None and self.data.exists():
            with contextlib.suppress(_WrongPassword):
                return self._serve(port)
        self._make_owner(port)
        return self._serve(port)

    def _serve(self, port: int) -> Server:
        port = processes.free_port(port)
        server = self._spawn(port, [processes.PASSWORD_OPTION], port, self.data)
        try:
            self._expect(lambda: _look(server), server)
        except BaseException:  # whatever it is, it goes on after the process has ended
            self._end(server.pid)
            raise
        return server

    def _make_owner(self, later_port: int) -> None:
        """Let the server serve nobody but this process until it has an owner.

        The password is kept when the owner has it: what is interrupted before is done again. What is
        new has all its tables then, and gets its name when it is whole: with tables in pieces no server
        would start. For the same reason, none are made in data that is there.
        """
        password = users.new_password()
        door = users.PrivateDoor(self.folder / "database.keys")
        if self._draft.is_dir() and not self._draft.is_symlink():
            shutil.rmtree(self._draft)
        else:
            self._draft.unlink(missing_ok=True)
        data = self.data if self.data.exists() else self._draft

        def attempt() -> _State:
            if not processes.is_open(server.port):
                return _State.SILENT
            try:
                with door.connect(server.port) as client:
                    users.make_owner(client, password)
                    if data is self._draft:
                        tables.make(client)
            except OperationFailure:
                return _State.BROKEN
            except PyMongoError:
                return _State.SILENT
            return _State.WELL

        with door.opened() as options:
            server = self._spawn(processes.free_port(0), options, later_port, data)
            try:
                self._expect(attempt, server)
            finally:
                # all of that is on disk, and nobody else has written anything
                self._end(server.pid, signal.SIGKILL)
        if data is self._draft:
            data.replace(self.data)
        users.write_password(self.password_file, password)

    def _spawn(self, port: int, options: list[str], noted_port: int, data: Path) -> Server:
        command = [
            processes.find_program(),
            "--host",
            processes.HOST,
            "--port",
            str(port),
            *options,
        ]
        # with its oplog the server slows down as it grows; what is acknowledged must be on disk
        command += ["--standalone", "--sync-on-commit", "--cache-size", _CACHE]
        # or it would look for such a file of the user's, made for another server
        self._settings.write_bytes(b"")
        command += ["--config", str(self._settings)]
        command += ["--log-level", "WARNING", "--storage-path", str(data)]
        data.mkdir(mode=0o700, exist_ok=True)
        data.chmod(0o700)
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **_ENVIRON},
                start_new_session=True,
                umask=0o077,
            )
        # it is meant to outlive this process, so nobody waits for its end
        process.returncode = 0
        try:
            self._write(Server(process.pid, noted_port))
        except BaseException:  # whatever it is, it goes on after the process has ended
            self._end(process.pid)
            raise
        return Server(process.pid, port, users.read_password(self.password_file) or "")

    def _is_well(self, server: Server) -> bool:
        """Tell whether a server that runs can be used; if not, it answers errors."""
        return self._wait(lambda: _look(server), server) is _State.WELL

    def _expect(self, look: Callable[[], _State], server: Server) -> None:
        if self._wait(look, server) is not _State.WELL:
            raise LocalDatabaseError(self._complaint("answers errors"))

    def _wait(self, look: Callable[[], _State], server: Server) -> _State:
        deadline = time.monotonic() + START_SECONDS
        while (state := look()) is _State.SILENT:
            if not self._lives(server.pid):
                complaint = self._complaint("ended at once")
                raise (_PortTaken if _TAKEN in complaint else LocalDatabaseError)(complaint)
            if self._is_interrupted():
                message = "the start of the local database was interrupted"
                raise LocalDatabaseError(message)
            if time.monotonic() > deadline:
                raise LocalDatabaseError(self._complaint(f"does not answer on port {server.port}"))
            time.sleep(_POLL_SECONDS)
        if state is _State.REFUSES:
            message = (
                f"the local database does not accept the password in {self.password_file}: "
                "`python -m local.database stop`, then start it, which makes another"
            )
            raise _WrongPassword(message)
        return state

    def _complaint(self, state: str) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        last = f" ({lines[-1]})" if lines else ""
        return f"the local database {state}: see {self.log}{last}"

    def _end(self, pid: int, number: signal.Signals = signal.SIGTERM) -> None:
        if not self._lives(pid):
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + STOP_SECONDS
        while self._lives(pid):
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
                deadline = float("inf")
            time.sleep(_POLL_SECONDS)

    def _lives(self, pid: int) -> bool:
        child = processes.is_running_child(pid)
        return self._is_ours(pid) if child is None else child

    def _is_ours(self, pid: int) -> bool:
        """Tell whether a process is the server of this folder, not a later one with its number."""
        line = processes.command_line(pid)
        return line.endswith(tuple(f"--storage-path {data}" for data in (self.data, self._draft)))

    def _read(self) -> Server | None:
        try:
            note = json.loads(self._note.read_text())
            server = Server(
                int(note["pid"]),
                int(note["port"]),
                users.read_password(self.password_file) or "",
            )
        except (FileNotFoundError, ValueError, KeyError, TypeError, OverflowError):
            return None
        return server if 0 <= server.port <= processes.HIGHEST_PORT else None

    def _write(self, server: Server) -> None:
        draft = self._note.with_suffix(".new")
        draft.write_text(json.dumps({"pid": server.pid, "port": server.port}))
        draft.replace(self._note)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep others out; an error of a file that names none is given the folder's name."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / "database.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        except OSError as error:
            if error.filename is None:
                error.filename = str(self.folder)
            raise


class _State(enum.Enum):
    """How a server answers."""

    WELL = enum.auto()
    SILENT = enum.auto()
    BROKEN = enum.auto()
    REFUSES = enum.auto()


class _PortTaken(LocalDatabaseError):
    """Another program listens where the server is to."""


class _WrongPassword(LocalDatabaseError):
    """The server knows another password than the one that is kept."""


def _look(server: Server) -> _State:
    if not processes.is_open(server.port):
        return _State.SILENT
    if not server.password:
        return _State.REFUSES
    client: pymongo.MongoClient[dict[str, object]] = pymongo.MongoClient(
        server.uri, serverSelectionTimeoutMS=1000, timeoutMS=1000
    )
    try:
        # whoever signs in makes the server read what it has stored
        client.admin.command("ping")
    except OperationFailure as error:
        return _State.REFUSES if error.code == _AUTHENTICATION_FAILED else _State.BROKEN
    except PyMongoError:
        return _State.SILENT
    else:
        return _State.WELL
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


@streams.guarded()
def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m local.database",
        description="Start, find or stop the database of this machine.",
        epilog="example: python -m local.database start --folder .local",
    )
    parser.add_argument("command", choices=("start", "status", "uri", "stop"))
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER, help="of data and log")
    parser.add_argument(
        "--database", help="with uri: of the user who may read and write this one, and nothing else"
    )
    arguments = parser.parse_args()
    if arguments.database and arguments.command != "uri":
        parser.error("--database goes with uri")
    database = LocalDatabase(arguments.folder)
    # whoever ends the command does not want what it has begun
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if arguments.command == "stop":
            _check_unused(arguments.folder)
            print("stopped" if database.stop() else "it was not running")
            return 0
        server = database.start() if arguments.command == "start" else database.status()
        if server is not None and arguments.command == "uri":
            name = arguments.database
            print(database.admit(server, name) if name else server.uri)
            return 0
    except LocalDatabaseError as error:
        print(f"ERROR {error}", file=sys.stderr)
        return 1
    except OSError as error:
        if streams.complaint(error):
            raise
        print(f"ERROR {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    if server is None:
        print("it is not running: python -m local.database start")
        return 1
    print(server.address)
    return 0


if __name__ == "__main__":
    streams.prepare()
    sys.exit(main())
