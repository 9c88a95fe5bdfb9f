"""Who may use the database of this machine: its owner, and a user for each catalog.

The owner may do everything; a catalog's user may read and write that catalog. The owner's password
is in a file, from which those of the others are derived. The server knows no way to make a first
user but to serve without passwords: then only who has a certificate may connect, of an authority
that is made for this one time.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import secrets
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote

import pymongo
from pymongo.errors import OperationFailure

from abaco import folders
from local.exceptions import LocalDatabaseError
from local.processes import HOST

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

Client: TypeAlias = "pymongo.MongoClient[dict[str, object]]"

OWNER = "owner"
_USER_NOT_FOUND = 11


def uri(port: int, user: str, password: str) -> str:
    """Return the URI by which a user connects."""
    return (
        f"mongodb://{quote(user, safe='')}:{quote(password, safe='')}@{HOST}:{port}"
        "/?directConnection=true&authSource=admin"
    )


def read_password(file: Path) -> str | None:
    """Return the owner's password, or None where none is kept, or nothing that can be one."""
    try:
        password = file.read_bytes().decode("ascii").strip()
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    return password if password and password.isprintable() else None


def write_password(file: Path, password: str) -> None:
    """Keep the owner's password where only the owner of the folder may read it."""
    folders.write_whole(file, password.encode())


def new_password() -> str:
    """Return a password that nobody can guess."""
    return secrets.token_hex(24)


def admit(port: int, password: str, database: str) -> str:
    """Let the user of a database read and write it; return the URI.

    Args:
        port: of the server.
        password: of the owner.
        database: its name.

    Raises:
        PyMongoError: the server does not do it.
    """
    user = f"user-of-{database}"
    derived = hmac.new(password.encode(), user.encode(), hashlib.sha256).hexdigest()
    with _connect(uri(port, OWNER, password)) as client:
        _set(client, user, derived, [{"role": "readWrite", "db": database}])
    return uri(port, user, derived)


class PrivateDoor:
    """A way into a server that asks for no password, for this process only.

    Args:
        folder: of its keys, which exist while it is open.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._authority = folder / "client.pem"
        self._certificate = folder / "server.pem"
        self._pair = folder / "pair.pem"

    @contextlib.contextmanager
    def opened(self) -> Iterator[list[str]]:
        """Make the keys; give the options with which the server must be started.

        Raises:
            LocalDatabaseError: they cannot be made.
        """
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(mode=0o700)
        folder, key = str(self._folder), self._folder / "server.key"
        # not imported: what that takes, 8 MiB, would stay as long as this process
        command = [sys.executable, "-m", "trustme", "--quiet"]
        command += ["--dir", folder, "--identities", HOST]
        try:
            # a Ctrl-C is for this process
            done = subprocess.run(
                command, stderr=subprocess.PIPE, text=True, check=False, start_new_session=True
            )
            if done.returncode:
                reason = done.stderr.strip().rpartition("\n")[2]
                message = f"no keys for the first start can be made in {folder}: {reason}"
                raise LocalDatabaseError(message)
            self._pair.write_bytes(key.read_bytes() + self._certificate.read_bytes())
            yield [
                *("--tls-cert-file", str(self._certificate), "--tls-key-file", str(key)),
                *("--tls-ca-file", str(self._authority), "--tls-require-client-cert"),
            ]
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def connect(self, port: int) -> AbstractContextManager[Client]:
        """Connect to the server."""
        door = {"tls": True, "tlsCAFile": str(self._authority)}
        door |= {"tlsCertificateKeyFile": str(self._pair)}
        return _connect(f"mongodb://{HOST}:{port}/?directConnection=true", **door)


def make_owner(client: Client, password: str) -> None:
    """Make the owner, or give the owner another password.

    Raises:
        PyMongoError: the server does not answer yet, or does not do it.
    """
    _set(client, OWNER, password, ["root"])


@contextlib.contextmanager
def _connect(address: str, **options: Any) -> Iterator[Client]:
    """Connect to a server that answers soon, or not at all."""
    client: Client = pymongo.MongoClient(
        address, timeoutMS=5000, serverSelectionTimeoutMS=1000, **options
    )
    try:
        yield client
    finally:
        client.close()


def _set(client: Client, user: str, password: str, roles: list[object]) -> None:
    try:
        client.admin.command("updateUser", user, pwd=password, roles=roles)
    except OperationFailure as error:
        if error.code != _USER_NOT_FOUND:
            raise
        client.admin.command("createUser", user, pwd=password, roles=roles)
