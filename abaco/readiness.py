"""Whether messages can be accepted and run: asked of each part again and again, in the background.

A part that does not answer in time counts as one that is not well, so that nobody who asks for the
state has to wait for it.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from abaco.settings import Settings
    from abaco.store.database import Database

CHECK_SECONDS = 1.0
"""Between two checks of a part."""
ANSWER_SECONDS = 3.0
"""Until a check that goes on is held to be one that hangs."""
_JOIN_SECONDS = 1.0
_MEBIBYTE = 1024 * 1024

_logger = logging.getLogger(__name__)


def sentence(reason: str) -> str:
    """Return a reason as clients are told it."""
    return f"{reason[:1].upper()}{reason[1:]}."


class Watch:
    """The state of one part, which a thread of its own looks at.

    Args:
        name: of the part.
        check: returns None if it is well, or a line that says what it is not.
    """

    def __init__(self, name: str, check: Callable[[], str | None]) -> None:
        self._name = name
        self._check = check
        self._reason: str | None = None
        self._since: float | None = None
        self._looked = threading.Event()
        self._stop = threading.Event()
        # nobody waits for a check that hangs
        self._thread = threading.Thread(target=self._run, name=f"watch {name}", daemon=True)

    def start(self) -> None:
        """Look from now on."""
        self._since = time.monotonic()
        self._thread.start()

    def reason(self) -> str | None:
        """Return why the part is not well, or None, as before it is looked at."""
        if (
            self._since is not None
            and time.monotonic() - self._since > CHECK_SECONDS + ANSWER_SECONDS
        ):
            return f"{self._name} does not answer"
        return self._reason

    def first(self) -> None:
        """Wait for the first answer, as long as a check may take."""
        self._looked.wait(ANSWER_SECONDS)

    def stop(self) -> None:
        """Stop looking, when the present look is over."""
        self._stop.set()

    def join(self) -> None:
        """Wait a moment for the end of what goes on."""
        self._thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        while True:
            try:
                reason = self._check()
            except Exception as error:  # noqa: BLE001 - a part may be anything: it is not well
                reason = f"{self._name} cannot be checked: {type(error).__name__}"
            if reason != self._reason:
                _logger.warning("%s", reason or f"{self._name}: all right again")
            self._reason, self._since = reason, time.monotonic()
            self._looked.set()
            if self._stop.wait(CHECK_SECONDS):
                return


class Readiness:
    """The parts on which messages depend.

    Args:
        settings: of the gateway.
        database: of the platform.
        folders: besides that of the data, whose disks need the reserve.
        check: of what the setup module has prepared.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        folders: Iterable[Path] = (),
        check: Callable[[], str | None] | None = None,
    ) -> None:
        self._database = database
        self._reserve = settings.limits.reserve_bytes
        self._folders = [settings.data, *folders]
        self._room = Watch("the disk", self._check_room)
        self._watches = [self._room, Watch("the platform's database", self._check_database)]
        if check is not None:
            self._watches.append(Watch("what the actors need", check))

    def reason(self) -> str | None:
        """Return in one line why messages cannot be accepted or run, or None."""
        reasons = (watch.reason() for watch in self._watches)
        return next((reason for reason in reasons if reason is not None), None)

    def lacks_room(self) -> str | None:
        """Return why nothing more may be written, or None."""
        return self._room.reason()

    def start(self) -> None:
        """Look from now on; return when every part has been looked at, or hangs."""
        for watch in self._watches:
            watch.start()
        for watch in self._watches:
            watch.first()

    def stop(self) -> None:
        """Stop looking."""
        for watch in self._watches:
            watch.stop()
        for watch in self._watches:
            watch.join()

    def _check_room(self) -> str | None:
        for folder in self._folders:
            try:
                free = shutil.disk_usage(folder).free
            except OSError as error:
                return f"the disk cannot be read: {error.strerror}"
            if free < self._reserve:
                most = f"{self._reserve // _MEBIBYTE:,} MiB (limits.reserve_bytes)"
                return f"the disk has less than the {most} free that are kept for what was accepted"
        return None

    def _check_database(self) -> str | None:
        try:
            self._database.check()
        except SQLAlchemyError as error:
            reason = type(getattr(error, "orig", None) or error).__name__
            return f"the platform's database does not answer: {reason}"
        return None
