"""PostgreSQL and RabbitMQ for the tests of several machines: on free ports, in folders of their own.

`make services` installs the programs on Debian.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
from amqp import Connection as Broker
from psycopg import sql

from tests.abaco.running import SECONDS, eventually
from tests.conftest import POSTGRES, RABBITMQ

LOOPBACK = "127.0.0.1"
_START_SECONDS = 120.0
"""RabbitMQ takes seconds of processor time, of which a busy machine has few."""


def free_port(host: str = LOOPBACK) -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as free:
        free.bind((host, 0))
        return int(free.getsockname()[1])


class Service:
    """A server of others, in a process group and a folder of its own.

    Args:
        user: whose process it is where root runs the tests.
        host: the address of this machine that it listens at.
    """

    def __init__(self, user: str, host: str) -> None:
        self.host, self.port = host, free_port(host)
        self.folder = Path(tempfile.mkdtemp(prefix="abaco-service-"))
        self._as: list[str] = []
        if os.geteuid() == 0:
            shutil.chown(self.folder, user, user)
            self._as = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
        self._environ = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": str(self.folder)}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """What it prints."""
        return self.folder / "log"

    @property
    def pid(self) -> int:
        """Of the process that has started its others."""
        assert self._process is not None
        return self._process.pid

    def _run(self, *command: str) -> None:
        with self.log.open("ab") as log:
            subprocess.run(
                [*self._as, *command],
                env=self._environ,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                timeout=SECONDS,
                check=True,
            )

    def _start(self, command: list[str], answers: Callable[[], object]) -> None:
        with self.log.open("ab") as log:
            self._process = process = subprocess.Popen(
                [*self._as, *command],
                env=self._environ,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

        def ready() -> bool:
            assert process.poll() is None, self.log.read_text()
            with contextlib.suppress(OSError, psycopg.Error):
                answers()
                return True
            return False

        eventually(ready, _START_SECONDS)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it; what it has on disk stays."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(SECONDS)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """Let it answer nothing meanwhile."""
        server = psutil.Process(self.pid)
        processes = [server, *server.children(recursive=True)]
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()
        try:
            yield
        finally:
            for process in processes:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.resume()

    def close(self) -> None:
        """End it, and remove what it has on disk."""
        self.stop(signal.SIGINT)
        shutil.rmtree(self.folder, ignore_errors=True)


class Postgres(Service):
    """A PostgreSQL server, with a database for each who asks for one.

    Args:
        host: the address of this machine that it listens at.
        fsync: whether what is committed is on disk, which the tests do without.
    """

    def __init__(self, host: str = LOOPBACK, *, fsync: bool = False) -> None:
        super().__init__("postgres", host)
        self._fsync = "on" if fsync else "off"
        self._programs = POSTGRES[-1].parent
        self._data = self.folder / "data"
        self._run(
            *(str(self._programs / "initdb"), "--auth=trust", "--username=postgres"),
            *("--encoding=UTF8", "--no-sync", f"--pgdata={self._data}"),
        )
        with (self._data / "pg_hba.conf").open("a") as rules:
            rules.write("host all all samenet trust\n")
        self.start()

    def start(self) -> None:
        """Start it at its port; return when it answers."""
        options = {
            "listen_addresses": self.host,
            "port": self.port,
            "unix_socket_directories": self.folder,
            "max_connections": 300,
            "fsync": self._fsync,
        }
        command = [str(self._programs / "postgres"), "-D", str(self._data)]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        self._start(command, lambda: self._connect().close())

    def _connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            f"host={self.host} port={self.port} user=postgres dbname=postgres", autocommit=True
        )

    def database(self) -> str:
        """Make an empty database; return its URL, as SQLAlchemy takes it."""
        name = f"abaco_{secrets.token_hex(4)}"
        with self._connect() as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return f"postgresql+psycopg://postgres@{self.host}:{self.port}/{name}"

    def break_connections(self) -> int:
        """End the connections of all clients; return how many there were."""
        with self._connect() as connection:
            found = connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            ).fetchall()
        return len(found)


class RabbitMQ(Service):
    """A RabbitMQ broker of one node.

    Args:
        host: the address of this machine that it listens at.
    """

    def __init__(self, host: str = LOOPBACK) -> None:
        super().__init__("rabbitmq", host)
        configuration = self.folder / "rabbitmq.conf"
        configuration.write_text(
            f"listeners.tcp.1 = {host}:{self.port}\n"
            "loopback_users = none\n"
            "consumer_timeout = 14400000\n"
            "disk_free_limit.absolute = 1MB\n"
            "log.console = true\nlog.file = false\n"
        )
        (self.folder / "plugins").write_text("[].")
        self._environ |= {
            "ERL_EPMD_PORT": str(free_port()),
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "RABBITMQ_NODENAME": f"abaco{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_CONFIG_FILE": str(configuration),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            # few schedulers, which do not spin while they wait
            "RABBITMQ_IO_THREAD_POOL_SIZE": "8",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "+S 1:1 +SDcpu 1:1 +SDio 1 +sbwt none +sbwtdcpu none +sbwtdio none"
            ),
        }
        self.start()

    @property
    def url(self) -> str:
        """Where it is, as Celery takes it."""
        return f"amqp://guest:guest@{self.host}:{self.port}//"

    def start(self) -> None:
        """Start it at its port; return when it answers."""
        self._start([str(RABBITMQ)], lambda: self._connect().close())

    def _connect(self) -> Broker:
        broker = Broker(f"{self.host}:{self.port}", "guest", "guest", connect_timeout=2)
        broker.connect()
        return broker

    def close(self) -> None:
        """End it with the daemon that it leaves, and remove what it has on disk."""
        self.stop(signal.SIGINT)
        self._run("epmd", "-port", self._environ["ERL_EPMD_PORT"], "-kill")
        super().close()

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """Let it be gone meanwhile."""
        self.stop(signal.SIGKILL)
        yield
        self.start()
