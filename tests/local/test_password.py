"""The embedded database asks for a password, which only the owner of its folder can read."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pymongo
import pytest
from pymongo.errors import OperationFailure, PyMongoError

from local import processes, users
from local.database import LocalDatabase, Server
from local.exceptions import LocalDatabaseError
from tests.databases import place
from tests.local.test_database import Command, command_lines, within

__all__ = ["within"]
DATABASE = "tacos"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> LocalDatabase:
    return LocalDatabase(tmp_path_factory.mktemp("local"))


@pytest.fixture(scope="module")
def server(database: LocalDatabase) -> Iterator[Server]:
    """A server that is made from nothing, with one document."""
    started = database.start()
    with connected(started.uri) as client:
        client[DATABASE]["things"].insert_one({"_id": 1})
    yield started
    kill(database)


@pytest.fixture(scope="module")
def user(database: LocalDatabase, server: Server) -> str:
    return database.admit(server, DATABASE)


@contextlib.contextmanager
def connected(uri: str, **options: Any) -> Iterator[pymongo.MongoClient[dict[str, Any]]]:
    with pymongo.MongoClient[dict[str, Any]](uri, timeoutMS=3000, **options) as client:
        yield client


def ids(uri: str, database: str = DATABASE) -> list[int]:
    with connected(uri) as client:
        return [each["_id"] for each in client[database]["things"].find()]


def code(uri: str, database: str = DATABASE) -> int | None:
    """Return the code with which it is refused to read."""
    with pytest.raises(OperationFailure) as caught:
        ids(uri, database)
    return caught.value.code


def kill(database: LocalDatabase) -> None:
    """End all servers of a folder without much ado."""
    for pid in servers(database):
        os.kill(pid, signal.SIGKILL)


def servers(database: LocalDatabase) -> list[int]:
    """Return the processes that keep data in its folder."""
    option = f"--storage-path {database.folder}/"
    return [pid for pid, line in command_lines() if option in line]


def former(database: LocalDatabase, port: int) -> subprocess.Popen[bytes]:
    """Start a server as earlier versions did, which asks for no password."""
    database.folder.mkdir(exist_ok=True)
    options = ["--host", "127.0.0.1", "--port", str(port), "--standalone", "--sync-on-commit"]
    process = subprocess.Popen(
        [processes.find_program(), *options, "--storage-path", str(database.data)],
        stderr=subprocess.DEVNULL,
    )
    with connected(f"mongodb://127.0.0.1:{port}", serverSelectionTimeoutMS=9000) as client:
        deadline = time.monotonic() + 60
        while True:
            try:
                client[DATABASE]["things"].insert_one({"_id": 1})
            except PyMongoError:
                assert time.monotonic() < deadline
            else:
                return process


# Who gets in


def test_nobody_gets_in_without_the_password(server: Server) -> None:
    assert code(server.address) == 13
    assert code(server.uri.replace(server.password, "guessed")) == 18
    assert ids(server.uri) == [1]


def test_a_user_of_a_database_may_use_that_one_and_no_other(user: str) -> None:
    assert ids(user) == [1]
    assert code(user, "other") == 13
    with connected(user) as client:
        client[DATABASE]["other things"].create_index("name")
        client[DATABASE]["other things"].insert_one({"_id": 2})
        with pytest.raises(OperationFailure, match="not authorized"):
            client.admin.command("createUser", "thief", pwd="x", roles=["root"])


def test_a_user_is_the_same_when_asked_for_again(
    database: LocalDatabase, server: Server, user: str
) -> None:
    assert database.admit(server, DATABASE) == user
    assert server.password not in user


def test_the_password_is_for_the_owner_of_the_folder_only(
    database: LocalDatabase, server: Server
) -> None:
    assert database.password_file.read_text() == server.password
    assert len(server.password) >= 32
    assert stat.S_IMODE(database.password_file.stat().st_mode) == 0o600
    for path in (database.data, *database.data.iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_the_password_is_told_to_who_asks_for_it_and_nowhere_else(
    database: LocalDatabase, server: Server, user: str, within: Command
) -> None:
    secrets = (server.password, user.split(":")[2].partition("@")[0])
    shown = [within(name, "--folder", database.folder).stdout for name in ("start", "status")]
    shown += [repr(server), str(server), database.log.read_text()]
    shown += [line for _, line in command_lines()]
    shown += [path.read_text() for path in database.folder.glob("*.json")]
    assert [text for text in shown for secret in secrets if secret in text] == []
    assert within("uri", "--folder", database.folder).stdout == f"{server.uri}\n"


# The first start


@pytest.mark.long
def test_while_the_first_user_is_made_nobody_else_gets_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, refused = LocalDatabase(tmp_path), []
    connect = users.PrivateDoor.connect

    def look_and_connect(
        door: users.PrivateDoor, port: int
    ) -> contextlib.AbstractContextManager[users.Client]:
        for address in (f"127.0.0.1:{port}/?", f"127.0.0.1:{port}/?tls=true&tlsInsecure=true&"):
            with connected(f"mongodb://{address}serverSelectionTimeoutMS=700") as client:
                try:
                    client.admin.command("usersInfo", 1)
                except PyMongoError:
                    refused.append(port)
        return connect(door, port)

    monkeypatch.setattr(users.PrivateDoor, "connect", look_and_connect)
    server = database.start()
    try:
        assert len(refused) >= 2
        assert server.port not in refused
        assert not list(tmp_path.glob("database.keys*"))
    finally:
        kill(database)


@pytest.mark.long
@pytest.mark.parametrize("runs", [True, False], ids=["running", "stopped"])
def test_a_database_of_an_earlier_version_gets_a_password_and_keeps_what_is_in_it(
    tmp_path: Path, runs: bool
) -> None:
    database = LocalDatabase(tmp_path)
    port = processes.free_port(0)
    with former(database, port) as process:
        if not runs:
            process.terminate()
            process.wait()
        (tmp_path / "database.json").write_text(f'{{"pid": {process.pid}, "port": {port}}}')
        assert database.status() is None
        server = database.start()
    try:
        assert process.returncode is not None
        assert server.port == port
        assert ids(server.uri) == [1]
        assert code(server.address) == 13
    finally:
        kill(database)


@pytest.mark.long
def test_a_first_start_that_was_killed_is_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is killed when the owner has a password that is not kept yet, and its server lives on."""
    database = LocalDatabase(tmp_path)

    def die(*_arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(users, "write_password", die)
        patch.setattr(LocalDatabase, "_end", lambda *_arguments: None)
        with pytest.raises(KeyboardInterrupt):
            database.start()
    left = servers(database)
    assert len(left) == 1
    try:
        server = LocalDatabase(tmp_path).start()
        assert ids(server.uri) == []
        assert not psutil.pid_exists(left[0])
        assert not list(tmp_path.glob("database.draft*"))
    finally:
        kill(database)


# What people do to the files


def test_a_lost_password_is_said_and_made_anew_at_the_next_start(tmp_path: Path) -> None:
    database = place(tmp_path)
    server = database.start()
    try:
        with connected(server.uri) as client:
            client[DATABASE]["things"].insert_one({"_id": 1})
        database.password_file.unlink()
        with pytest.raises(LocalDatabaseError, match=r"does not accept the password in .*password"):
            LocalDatabase(tmp_path).start()
        assert database.stop() is True
        again = database.start()
        assert again.password != server.password
        assert ids(again.uri) == [1]
    finally:
        kill(database)


@pytest.mark.long
def test_what_is_put_in_place_of_the_data_and_knows_no_user_gets_a_password(tmp_path: Path) -> None:
    database = LocalDatabase(tmp_path)
    try:
        database.start()
        database.stop()
        shutil.rmtree(database.data)
        database.data.mkdir()
        server = database.start()
        assert ids(server.uri) == []
        assert code(server.address) == 13
    finally:
        kill(database)


@pytest.mark.long
def test_what_cannot_be_a_password_is_as_one_that_is_lost(tmp_path: Path) -> None:
    database = LocalDatabase(tmp_path)
    try:
        with connected(database.start().uri) as client:
            client[DATABASE]["things"].insert_one({"_id": 1})
        for kept in (b"\xff\xfe", b"\0\1"):
            database.stop()
            database.password_file.write_bytes(kept)
            assert ids(database.start().uri) == [1]
    finally:
        kill(database)


@pytest.mark.long
def test_a_file_in_place_of_the_draft_is_no_obstacle(tmp_path: Path) -> None:
    database = LocalDatabase(tmp_path)
    (tmp_path / "database.draft").symlink_to(tmp_path / "nowhere")
    try:
        assert ids(database.start().uri) == []
    finally:
        kill(database)


# A full disk


def test_keys_that_cannot_be_made_are_said_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, within: Command
) -> None:
    # in the place of the library that makes them
    (tmp_path / "trustme.py").write_text("raise OSError(28, 'No space left on device')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    folder = tmp_path / ".local"
    done = within("start", "--folder", folder)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"ERROR no keys for the first start can be made in {folder}/database.keys:"
        " OSError: [Errno 28] No space left on device\n"
    )
    assert not (folder / "database.keys").exists()


def test_a_full_disk_is_said_with_the_folder_and_nothing_is_left_running(
    tmp_path: Path, within: Command
) -> None:
    # the draft of the note of where the server listens
    (tmp_path / "database.new").symlink_to("/dev/full")
    done = within("start", "--folder", tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"ERROR {tmp_path}: No space left on device\n"
    data = str(LocalDatabase(tmp_path).data)
    assert [line for _, line in command_lines() if data in line] == []
