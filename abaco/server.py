"""A gateway from its start to its end."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import logging
import resource
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import uvicorn
from sqlalchemy.exc import SQLAlchemyError

from abaco import cron
from abaco.certificates import FOLDER_NAME, CertificateAuthority
from abaco.exceptions import ServerError, SettingsError
from abaco.folders import own_folder
from abaco.http import hosts, protocol, tunnels
from abaco.http.application import make_application
from abaco.http.envelope import VERSION
from abaco.http.gateway import Gateway
from abaco.loading import uncollected
from abaco.passes import Passes
from abaco.platform import Platform, Prepared
from abaco.readiness import Readiness
from abaco.store import actors, executions, posts, sessions, tokens
from abaco.store.database import Database, explain
from abaco.webhooks import Webhooks

if TYPE_CHECKING:
    import datetime
    from collections.abc import Awaitable, Callable, Iterator

    from starlette.types import ASGIApp

    from abaco.settings import Settings
    from abaco.store.rows import Actor

THREADS = 48
STOP_SECONDS = 8.0
"""Until whoever is still connected is let go."""
_IDLE_SECONDS = 75
"""Until a connection without a request is closed: longer than most senders wait between two reports."""
_BACKLOG = 1024
_DESCRIPTORS = 1024
"""For the database, processes, logs and sockets of executions."""
_TICK_SECONDS = 1.0
_MINUTE_TICKS, _HOUR_TICKS = 60, 3600
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_logger = logging.getLogger(__name__)


async def serve(settings: Settings, show: Callable[[str], None]) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP, then end in order.

    Args:
        settings: the configuration.
        show: prints a line.

    Raises:
        ServerError: a port or the data folder is in use, or the database cannot be written to.
        SettingsError: the database or the setup module cannot be used.
    """
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(THREADS, thread_name_prefix="abaco"))
    stop = asyncio.Event()
    for number in _SIGNALS:
        # nohup ignores it, so that what it starts outlives the terminal
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            loop.add_signal_handler(number, stop.set)
    _allow_descriptors(settings)
    with contextlib.ExitStack() as stack:
        note_address = stack.enter_context(own_folder(settings))
        option = f"--port (with make up, PORT=), or port in {settings.file}"
        listening = [stack.enter_context(_listen(settings, settings.port, option))]
        address = f"http://{_shown(settings.host)}:{listening[0].getsockname()[1]}"
        note_address(address)
        if settings.tls_port is not None:
            option = f"tls_port in {settings.file}"
            listening.append(stack.enter_context(_listen(settings, settings.tls_port, option)))
        database = await asyncio.to_thread(Database, settings.database)
        stack.callback(database.close)
        try:
            await asyncio.to_thread(database.check)
            passes = Passes()
            platform = Platform(settings, database, address, passes, stop.is_set)
            prepared = await asyncio.to_thread(_prepare, settings, platform)
            stack.callback(prepared.close)
            if stop.is_set():
                return
            readiness = Readiness(settings, database, prepared.folders, prepared.ready)
            await asyncio.to_thread(readiness.start)
            stack.callback(readiness.stop)
            gateway = Gateway(settings, database, address, passes, readiness)
            if prepared.collector is not None:
                gateway.metrics.register(prepared.collector)
            await _run(gateway, listening, stop, prepared, show)
        except SQLAlchemyError as error:
            raise ServerError(explain(settings.database, error)) from error


async def _run(
    gateway: Gateway,
    sockets: list[socket.socket],
    stop: asyncio.Event,
    prepared: Prepared,
    show: Callable[[str], None],
) -> None:
    settings, database = gateway.settings, gateway.database
    application = make_application(gateway, prepared.page)
    authority = CertificateAuthority(settings.data / FOLDER_NAME)
    servers = [_make_server(gateway, application, authority, None)]
    if settings.tls_port is not None:
        servers.append(_make_server(gateway, application, authority, settings.host))
    serving: list[asyncio.Task[None]] = []
    background: list[asyncio.Task[None]] = []
    webhooks = Webhooks(database, private=settings.private_webhooks)
    try:
        # what is running before anybody can send a message was left by an earlier gateway
        await gateway.engine.start()
        serving += [
            asyncio.create_task(server.serve(sockets=[listening]))
            for server, listening in zip(servers, sockets, strict=True)
        ]
        background += [
            asyncio.create_task(_repeat(lambda: _do_what_is_due(gateway, webhooks))),
            asyncio.create_task(_repeat(lambda: _write_uses(gateway))),
            asyncio.create_task(_repeat(gateway.engine.follow_images)),
            asyncio.create_task(_repeat(lambda: forget(database), _MINUTE_TICKS)),
            asyncio.create_task(
                _repeat(lambda: asyncio.to_thread(follow_clock, database), _MINUTE_TICKS)
            ),
        ]
        if (hourly := prepared.hourly) is not None:
            work = functools.partial(asyncio.to_thread, hourly)
            background.append(asyncio.create_task(_repeat(work, _HOUR_TICKS)))
        while not all(server.started for server in servers):
            if any(task.done() for task in serving):
                break
            await asyncio.sleep(_TICK_SECONDS / 100)
        for line in (f"The gateway is at {gateway.address}", *prepared.lines):
            show(line)
        waiting = asyncio.create_task(stop.wait())
        await asyncio.wait({waiting, *serving}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
    finally:
        gateway.stop()
        for task in background:
            task.cancel()
        for server in servers:
            server.end()
        # who waits for an execution is answered before the connections are closed
        await gateway.engine.stop()
        if serving:
            await asyncio.wait(serving, timeout=STOP_SECONDS)
        await asyncio.gather(*background, return_exceptions=True)
        await asyncio.to_thread(gateway.uses.write, database)
        await webhooks.close()


class _Server(uvicorn.Server):
    """uvicorn, without its signal handlers: a signal ends more than this."""

    def __init__(self, configuration: uvicorn.Config) -> None:
        super().__init__(configuration)
        self._over = asyncio.Event()

    def end(self) -> None:
        """Serve no longer, once those who are connected are answered."""
        self.should_exit = True
        self._over.set()

    async def main_loop(self) -> None:
        """Do once a second what uvicorn does ten times, so that a gateway costs little while nobody asks."""
        while not await self.on_tick(0):
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._over.wait(), _TICK_SECONDS)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to `serve`."""
        yield


def _make_server(
    gateway: Gateway,
    application: ASGIApp,
    authority: CertificateAuthority,
    tls_host: str | None,
) -> _Server:
    limits = gateway.settings.limits
    connections = protocol.Limits(
        head_seconds=limits.head_seconds, most_connections=limits.connections
    )
    configuration = uvicorn.Config(
        application,
        http=tunnels.gateway_protocol(
            authority,
            version=VERSION,
            hosts=hosts.names_of(gateway.settings),
            limits=connections,
            tls_host=tls_host,
        ),
        ws="none",
        lifespan="off",
        loop="asyncio",
        log_config=None,
        access_log=False,  # URLs hold nonces and tokens
        server_header=False,
        proxy_headers=False,  # whoever may connect could forge them
        timeout_keep_alive=_IDLE_SECONDS,
        timeout_graceful_shutdown=int(STOP_SECONDS) - 1,
        backlog=_BACKLOG,
    )
    return _Server(configuration)


def _prepare(settings: Settings, platform: Platform) -> Prepared:
    if settings.setup is None:
        return Prepared([], lambda: None)
    try:
        with uncollected():
            prepare = importlib.import_module(settings.setup).prepare
    except (ImportError, AttributeError) as error:
        message = f"{settings.file}: setup: {settings.setup} cannot be used: {error}"
        raise SettingsError(message) from error
    prepared: Prepared = prepare(platform)
    return prepared


def _allow_descriptors(settings: Settings) -> None:
    """Let there be descriptors for as many connections as the settings allow, and for the rest."""
    ports = 1 if settings.tls_port is None else 2
    wanted = settings.limits.connections * ports + _DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        _logger.warning(
            "%d connections need %d open files, and the system allows %d: raise ulimit -Hn, or "
            "lower limits.connections in %s",
            settings.limits.connections,
            wanted,
            hard,
            settings.file,
        )
        wanted = hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@contextlib.contextmanager
def _listen(settings: Settings, port: int, option: str) -> Iterator[socket.socket]:
    """Take a port; who connects before the gateway serves is served then."""
    host = settings.host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends small packets at once only where it is told that this is TCP
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(AttributeError):
            # Linux lets a client go that takes nothing of its answer for as long
            milliseconds = int(settings.limits.body_seconds * 1000)
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
        try:
            listening.bind((host, port))
            listening.listen(_BACKLOG)
        except OSError as error:
            reason = error.strerror or str(error)
            message = f"the gateway cannot listen on {host}:{port} ({reason}): choose another with {option}"
            raise ServerError(message) from error
        yield listening


def _shown(host: str) -> str:
    if host in hosts.ANYWHERE:
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


async def _repeat(work: Callable[[], Awaitable[object]], ticks: int = 1) -> None:
    while True:
        await asyncio.sleep(_TICK_SECONDS * ticks)
        await _attempt(work)


async def _attempt(work: Callable[[], Awaitable[object]]) -> None:
    try:
        await work()
    except SQLAlchemyError as error:
        _logger.error("in the background: the database: %s", type(error).__name__)
    except Exception:  # of one round: the next one may succeed
        _logger.exception("in the background")


async def _do_what_is_due(gateway: Gateway, webhooks: Webhooks) -> None:
    """Deliver events and run crons whose time has come, where this is the gateway that does it for all."""
    if not await gateway.engine.leads():
        return
    due = await asyncio.to_thread(_look, gateway.database)
    if due.posts:
        await _attempt(webhooks.deliver)
    if due.crons:
        await _attempt(lambda: _run_crons(gateway))


class _Due(NamedTuple):
    """Whether there is anything to do now."""

    posts: bool
    crons: bool


def _look(database: Database) -> _Due:
    with database.read() as tx:
        return _Due(posts.is_any_due(tx), actors.is_any_due(tx))


async def _write_uses(gateway: Gateway) -> None:
    if gateway.uses.are_counted:
        await asyncio.to_thread(gateway.uses.write, gateway.database)


async def _run_crons(gateway: Gateway) -> None:
    for accepted in await asyncio.to_thread(_submit_crons, gateway.database):
        gateway.engine.deliver(accepted)


def _submit_crons(database: Database) -> list[executions.Accepted]:
    message = executions.Message(
        cron.MESSAGE.encode(), executions.TEXT, {"_abaco_Content_Type": executions.TEXT}
    )
    accepted = []
    with database.write() as tx:
        for actor in actors.due(tx):
            schedule, planned = actor["cron_schedule"], actor["cron_next_ex"]
            if schedule is None or planned is None:
                # it has just been taken away
                continue
            try:
                following = cron.following(schedule, planned)
            except OverflowError:
                # an older gateway took schedules that end with the calendar
                actors.change(tx, actor["id"], cron_on=False, cron_next_ex=None)
            else:
                actors.change(tx, actor["id"], cron_next_ex=following)
            with contextlib.suppress(LookupError):
                # it may have been deleted meanwhile
                accepted.append(executions.submit(tx, actor, cron.SENDER, message))
    return accepted


def follow_clock(database: Database) -> None:
    """Plan crons again that were planned before the clock was set back: else they would wait for that time."""
    with database.read() as tx:
        is_any_late = any(_is_late(actor) for actor in actors.planned(tx))
    if is_any_late:
        with database.write() as tx:
            for actor in filter(_is_late, actors.planned(tx)):
                actors.change(tx, actor["id"], cron_next_ex=_planned(actor))


def _is_late(actor: Actor) -> bool:
    return _planned(actor) != actor["cron_next_ex"]


def _planned(actor: Actor) -> datetime.datetime | None:
    schedule, planned = actor["cron_schedule"], actor["cron_next_ex"]
    return planned and cron.not_too_late(schedule or "", planned)


async def forget(database: Database) -> None:
    """Remove what has expired, a few rows at a time: whoever writes meanwhile does not wait for all of them."""
    await asyncio.to_thread(_forget_credentials, database)
    while await asyncio.to_thread(_forget_output, database):
        pass


def _forget_credentials(database: Database) -> None:
    with database.write() as tx:
        tokens.forget_expired(tx)
        sessions.forget_expired(tx)


def _forget_output(database: Database) -> bool:
    with database.write() as tx:
        return executions.forget_expired(tx)
