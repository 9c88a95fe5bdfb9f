"""What the processes of a node do when the bell is rung: the application that Celery is started with.

Which configuration it reads, and for which node, its environment says.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celery import signals
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from abaco import settings as configuration
from abaco.exceptions import SettingsError
from abaco.store.database import Database
from abaco.workers.fleet import CONFIGURATION, NODE, PLATFORM, bell
from abaco.workers.fleet.process_workers import ProcessWorkers

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

_PR_SET_PDEATHSIG = 1
_RETRY_SECONDS = 1.0
_AWAY = (OperationalError, InterfaceError, InternalError, PoolTimeoutError)
"""What is said of a database that does not answer, or takes nothing."""

_logger = logging.getLogger(__name__)

_settings = configuration.load(Path(os.environ[CONFIGURATION]))
app = bell.application(_settings.broker)


class _Process:
    """What a process has after its fork."""

    def __init__(self) -> None:
        self._database = Database(_settings.database)
        self._bell = bell.Bell(_settings.broker, f"broker in {_settings.file}")
        self._loop = asyncio.new_event_loop()
        node_id, platform = os.environ[NODE], os.environ[PLATFORM]
        self.workers = ProcessWorkers(_settings, self._database, self._bell, node_id, platform)

    def do(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something in the event loop, which stands still otherwise."""
        self._loop.run_until_complete(work)

    def close(self) -> None:
        """End everything."""
        self.do(self.workers.close())
        self._loop.close()
        self._bell.close()
        self._database.close()


_here: list[_Process] = []


@app.task(name=bell.RUN)  # type: ignore[untyped-decorator]
def run(execution_id: str) -> None:
    """Run an execution."""
    _do(lambda workers: workers.run(execution_id))


@app.task(name=bell.PREPARE)  # type: ignore[untyped-decorator]
def prepare(actor_id: str) -> None:
    """Make an actor ready for messages."""
    _do(lambda workers: workers.prepare(actor_id))


def _do(work: Callable[[ProcessWorkers], Coroutine[Any, Any, None]]) -> None:
    """Do something; keep its ring while the database is away, as nothing is taken or written then.

    A ring that is given back to RabbitMQ as often would be given up.
    """
    is_away = False
    while True:
        try:
            process = _process()
            process.do(work(process.workers))
        except (*_AWAY, SettingsError) as error:
            # where it could not be opened, the cause says why
            found = error.__cause__ if isinstance(error, SettingsError) else error
            if not isinstance(found, _AWAY):
                raise
            if not is_away:
                reason = type(getattr(found, "orig", None) or found).__name__
                _logger.warning("a ring is kept until the database answers: %s", reason)
            is_away = True
            time.sleep(_RETRY_SECONDS)
        else:
            return


def _process() -> _Process:
    if not _here:
        _here.append(_Process())
    return _here[0]


@signals.worker_init.connect  # type: ignore[untyped-decorator]
def _begin(**_: object) -> None:
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # without its node nobody would tell it what to listen to: it ends in order then
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


@signals.worker_process_shutdown.connect  # type: ignore[untyped-decorator]
def _end(**_: object) -> None:
    for process in _here:
        process.close()
