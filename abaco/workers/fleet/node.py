"""A node: the program on each machine that runs messages, `python -m abaco worker`.

It starts the processes of Celery, tells them which queues to listen to, says that it is there, and sweeps.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

from kombu.exceptions import OperationalError
from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from abaco import identifiers
from abaco.exceptions import ServerError, SettingsError
from abaco.folders import own_folder
from abaco.settings import CELERY
from abaco.store import actors, leases, nodes, notices
from abaco.store.database import Database, explain
from abaco.workers.container_labels import EXECUTION_LABEL, FENCE_LABEL
from abaco.workers.container_maker import ContainerMaker
from abaco.workers.environment import GATEWAY
from abaco.workers.fleet import CONFIGURATION, NODE, PLATFORM, bell
from abaco.workers.fleet.membership import Membership
from abaco.workers.fleet.sweeper import Sweeper
from abaco.workers.processes import end_left
from abaco.workers.workspace import prefix, remove_left

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from abaco.settings import Settings
    from abaco.store.records import Record

_TICK_SECONDS = 1.0
_LOOK_SECONDS = 10.0
"""Between looks at what there is to listen to, though nobody has said that it changed."""
_REPLY_SECONDS = 2.0
_END_SECONDS = 5.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM)

_logger = logging.getLogger(__name__)


def work(
    settings: Settings, queues: Sequence[str], concurrency: int, show: Callable[[str], None]
) -> None:
    """Run messages until SIGINT or SIGTERM, then end what runs and no more.

    Args:
        settings: the configuration.
        queues: the `queue` of the actors whose messages are run.
        concurrency: how many messages at a time.
        show: prints a line.

    Raises:
        ServerError: the port or the data folder is in use, a gateway runs the messages of the
            database by itself, or the processes end.
        SettingsError: the configuration is not of a fleet, or the database or the broker cannot be
            used.
    """
    if settings.engine != CELERY:
        message = f"{settings.file}: a worker needs engine: celery, see docs/fleet.md"
        raise SettingsError(message)
    stop = threading.Event()
    handlers = {number: signal.signal(number, lambda *_: stop.set()) for number in _SIGNALS}
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(own_folder(settings))
            end_left(GATEWAY, prefix(settings.data))
            remove_left(settings.data)
            database = Database(settings.database)
            stack.callback(database.close)
            membership = Membership(database)
            stack.callback(membership.end)
            membership.begin()
            node = stack.enter_context(Node(settings, database, queues, concurrency, membership))
            show(f"The node {node.id} is at http://{settings.host}:{node.port}/metrics")
            node.serve(stop)
    except SQLAlchemyError as error:
        raise ServerError(explain(settings.database, error)) from error
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


class Node:
    """A node from its start to its end.

    Args:
        settings: the configuration.
        database: of the platform.
        queues: of actors.
        concurrency: the number of processes.
        membership: of the fleet.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        queues: Sequence[str],
        concurrency: int,
        membership: Membership,
    ) -> None:
        self.id = identifiers.new()
        self.port = 0
        self._settings = settings
        self._database = database
        self._queues = list(queues)
        self._concurrency = concurrency
        self._membership = membership
        self._draining = False
        self._changed = threading.Event()
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Node:  # noqa: PYI034 - Self is newer than Python 3.10
        """Say that it is there, and start its processes."""
        with contextlib.ExitStack() as stack:
            self._check_broker()
            self._bell = bell.Bell(self._settings.broker, f"broker in {self._settings.file}")
            stack.callback(self._bell.close)
            self._show_metrics(stack)
            with self._database.write() as tx:
                nodes.enter(tx, self._record())
                self._platform = nodes.platform_of(tx)
            self._containers = ContainerMaker(self._settings, self._platform)
            stack.callback(self._leave)
            self._sweeper = Sweeper(
                self._database,
                self._bell,
                self._settings.public_url_of,
                self._settings.limits.log_seconds,
            )
            listener = notices.Listener(self._database, self._hear)
            listener.start()
            stack.callback(listener.stop)
            self._celery = self._start()
            stack.callback(self._kill)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_exception: object) -> None:
        """End everything that is left."""
        self._stack.close()

    def serve(self, stop: threading.Event) -> None:
        """Serve until it is told to stop, then until what runs has ended, within its limit.

        Raises:
            ServerError: the processes have ended by themselves.
            SettingsError: the broker refuses them.
        """
        looked = 0.0
        while not stop.wait(_TICK_SECONDS):
            if self._celery.poll() is not None:
                self._check_broker()
                message = (
                    f"the processes of the node ended with {self._celery.returncode}: see above"
                )
                raise ServerError(message)
            if self._changed.is_set() or time.monotonic() - looked > _LOOK_SECONDS:
                self._changed.clear()
                if self._guarded(self._listen):
                    looked = time.monotonic()
                self._guarded(self._remove_containers)
            self._guarded(self._membership.keep)
            self._guarded(self._beat)
            self._guarded(self._sweeper.sweep)
        stop.clear()
        self._drain(stop)

    def _drain(self, stop: threading.Event) -> None:
        limits = self._settings.limits
        deadline = time.monotonic() + limits.execution_seconds + limits.stop_seconds
        self._draining = True
        _logger.info("the node takes no further message, and ends when those that run have")
        self._celery.send_signal(signal.SIGTERM)
        answered = time.monotonic()
        while self._celery.poll() is None and time.monotonic() < deadline:
            self._guarded(self._membership.keep)
            if self._guarded(self._beat):
                answered = time.monotonic()
            elif time.monotonic() - answered > leases.LEASE_SECONDS:
                # without a database nothing holds its lease, and what waits for one goes to others
                return
            if stop.wait(_TICK_SECONDS / 4):
                # told twice: what runs goes back into the mailboxes
                return

    def _check_broker(self) -> None:
        """Refuse a broker that lets nobody in; one that does not answer is waited for."""
        try:
            with contextlib.suppress(OperationalError):
                bell.check(self._settings.broker)
        except bell.BrokerRefuses as error:
            message = f"{self._settings.file}: broker: {error}"
            raise SettingsError(message) from error

    def _record(self) -> Record:
        return {
            "id": self.id,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "queues": self._queues,
            "concurrency": self._concurrency,
        }

    @property
    def _name(self) -> str:
        return f"{self.id}@{socket.gethostname()}"

    def _start(self) -> subprocess.Popen[bytes]:
        command = [
            sys.executable,
            "-m",
            "celery",
            "--quiet",
            "-A",
            "abaco.workers.fleet.tasks",
            "worker",
        ]
        command += [
            "--pool=prefork",
            f"--concurrency={self._concurrency}",
            f"--hostname={self._name}",
        ]
        command += ["--without-gossip", "--without-mingle", "--loglevel=WARNING"]
        return subprocess.Popen(  # noqa: S603 - this program's own
            command,
            env={
                **os.environ,
                CONFIGURATION: str(self._settings.file),
                NODE: self.id,
                PLATFORM: self._platform,
            },
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._celery.pid, signal.SIGKILL)
        self._celery.wait(_END_SECONDS)
        end_left(GATEWAY, prefix(self._settings.data))
        self._guarded(lambda: self._remove_containers(besides=self.id))

    def _remove_containers(self, besides: str = "") -> None:
        """Remove the containers of this machine that belong to no lease, since a process was killed.

        Args:
            besides: the id of a node whose leases do not count, since it ends.
        """

        def is_left(labels: Mapping[str, str]) -> bool:
            execution_id, fence = labels.get(EXECUTION_LABEL, ""), int(labels.get(FENCE_LABEL, 0))
            with self._database.read() as tx:
                return not leases.is_held(tx, execution_id, fence, other_than=besides)

        if number := self._containers.remove_left(is_left):
            _logger.warning("%d containers were left over, and are removed", number)

    def _leave(self) -> None:
        with contextlib.suppress(SQLAlchemyError), self._database.write() as tx:
            nodes.leave(tx, self.id)

    def _hear(self, notice: notices.Notice) -> None:
        if notice.kind in (notices.ACTORS, notices.MISSED):
            self._changed.set()

    @staticmethod
    def _guarded(do: Callable[[], None]) -> bool:
        """Do something that is done again anyway; tell whether it succeeded."""
        try:
            do()
        except (SQLAlchemyError, OperationalError, OSError) as error:
            _logger.error("in the background: %s", type(error).__name__)
            return False
        return True

    def _beat(self) -> None:
        with self._database.write() as tx:
            if not nodes.beat(tx, self.id, draining=self._draining):
                nodes.enter(tx, self._record())

    def _listen(self) -> None:
        """Let the processes listen to the queues of the actors that there are, and no others."""
        with self._database.read() as tx:
            wanted = {
                bell.name_of(actor["id"], stateless=actor["stateless"]): actor["stateless"]
                for actor in actors.everywhere(tx)
                if actor["queue"] in self._queues and actor["status"] != actors.SHUTTING_DOWN
            }
        bell.declare_dead_letters(self._bell.app)
        control = self._bell.app.control
        where = {"destination": [self._name], "reply": True, "timeout": _REPLY_SECONDS}
        heard = control.inspect(destination=[self._name], timeout=_REPLY_SECONDS).active_queues()
        if not heard:
            # it has not begun yet, or the broker is away
            self._changed.set()
            return
        listening = {queue["name"] for queue in heard[self._name]}
        for name in wanted.keys() - listening:
            options = {"queue_arguments": bell.arguments_of(stateless=wanted[name])}
            control.add_consumer(name, exchange="", routing_key=name, options=options, **where)
        for name in listening - wanted.keys():
            if name.startswith(bell.PREFIX):
                control.cancel_consumer(name, **where)

    def _show_metrics(self, stack: contextlib.ExitStack) -> None:
        registry = CollectorRegistry()
        registry.register(_State(self))
        ProcessCollector(registry=registry)
        try:
            server, thread = start_http_server(
                self._settings.port, self._settings.host, registry=registry
            )
        except OSError as error:
            address = f"{self._settings.host}:{self._settings.port}"
            message = f"the node cannot listen on {address} ({error.strerror}): "
            message += "choose another port with --port"
            raise ServerError(message) from error
        self.port = int(server.server_address[1])
        stack.callback(thread.join)
        stack.callback(server.server_close)
        stack.callback(server.shutdown)

    def facts(self) -> dict[str, tuple[str, float]]:
        """Return what `/metrics` says of it: the help and the value by name."""
        with self._database.read() as tx:
            busy = leases.held_by(tx, self.id)
        return {
            "abaco_node_processes": ("How many messages it runs at most.", self._concurrency),
            "abaco_node_busy": ("How many messages it runs.", busy),
            "abaco_node_draining": ("1 when it takes no further message.", self._draining),
        }


class _State(Collector):
    """What a node says of itself."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def describe(self) -> list[GaugeMetricFamily]:
        """Say nothing at registration."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Look."""
        for name, (text, value) in self._node.facts().items():
            yield GaugeMetricFamily(name, text, value=float(value))
