"""Whether the job database is well; the embedded one is started again when it is not."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from datacatalog import mongo
from datacatalog.linkedstores import condition
from local.exceptions import LocalDatabaseError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from local.database import LocalDatabase, Server

CHECK_SECONDS = 1.5
"""Until a database that does not answer is held to be away."""
FROZEN_SECONDS = 60.0
"""Until one that runs and does not answer is killed: it may be busy, and come to itself."""
_MAX_ERRORS = 2
_MAX_PAUSE = 4.0
_STARTING = "the job database is being started again"

_logger = logging.getLogger(__name__)


def look(mongodb: Mapping[str, Any]) -> mongo.DatabaseError | None:
    """Return what keeps a database from taking writes, or None."""
    try:
        # a connection of its own, which gives up soon: so that it finds out soon, too, that all is well
        condition.check_writable({**mongodb, "timeout": CHECK_SECONDS}, CHECK_SECONDS)
    except mongo.DatabaseError as error:
        return error
    return None


def explain(error: mongo.DatabaseError | None) -> str | None:
    """Return in a few words, without a name or an address, what a database does not do."""
    if error is None:
        return None
    if mongo.answers_errors(error):
        return "the job database answers errors"
    return f"the job database does not answer ({type(error).__name__})"


class DatabaseSupervisor:
    """Keeps the embedded database running while the gateway does.

    Args:
        database: the embedded one.
        server: as it runs.
        note: the file that says which process this gateway has to stop in the end; None if that is
            somebody else's to stop.
    """

    def __init__(self, database: LocalDatabase, server: Server, note: Path | None) -> None:
        self._database = database
        self._server = server
        self._note = note
        self._well = time.monotonic()
        self._errors = 0
        self._pause = 0.0
        self._complaint = ""
        self._closing = threading.Event()
        self._starting: threading.Thread | None = None
        self._note_process()

    def check(self, mongodb: Mapping[str, Any]) -> str | None:
        """Return why the database cannot be used at the moment, or None; start it if need be.

        Args:
            mongodb: the settings with which the actor uses it.
        """
        if self._starting is not None and self._starting.is_alive():
            return _STARTING
        if not self._database.is_running(self._server):
            return self._start_again("died")
        error = look(mongodb)
        if error is None:
            self._well, self._errors, self._pause = time.monotonic(), 0, 0.0
            return None
        # to a client that it knows, one that has failed inside may not answer at all
        failed = mongo.answers_errors(error) or self._database.answers_errors(self._server)
        self._errors = self._errors + 1 if failed else 0
        if self._errors >= _MAX_ERRORS:
            return self._start_again("failed")
        if time.monotonic() - self._well > FROZEN_SECONDS:
            return self._start_again(f"did not answer for {FROZEN_SECONDS:g} s")
        return explain(error)

    def close(self) -> None:
        """No longer start it; stop it, unless another program started it."""
        self._closing.set()
        if self._starting is not None:
            self._starting.join()
        if self._note is not None:
            self._database.stop()

    def _start_again(self, what: str) -> str:
        self._starting = threading.Thread(target=self._restart, args=(what,), daemon=True)
        self._starting.start()
        return _STARTING

    def _restart(self, what: str) -> None:
        if self._closing.wait(self._pause):
            return
        try:
            self._server = self._database.restart(self._server)
            self._note_process()
        except (LocalDatabaseError, OSError) as error:
            complaint = str(error)
            if isinstance(error, OSError):
                complaint = f"{error.filename}: {error.strerror}"
            # it will be tried again; what is said once need not be said each time
            if complaint != self._complaint:
                _logger.error("the job database %s and cannot be started: %s", what, complaint)
            self._complaint = complaint
            self._pause = min(_MAX_PAUSE, self._pause * 2 or 1.0)
            return
        self._complaint = ""
        self._well, self._errors = time.monotonic(), 0
        _logger.warning("the job database %s and was started again", what)

    def _note_process(self) -> None:
        if self._note is not None:
            # on a full disk: a gateway that comes after a killed one then leaves the database running
            with contextlib.suppress(OSError):
                self._note.write_text(str(self._server.pid))
