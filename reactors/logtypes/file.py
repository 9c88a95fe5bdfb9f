"""A log in a file."""

from __future__ import annotations

import contextlib
import logging
import os
from typing import TYPE_CHECKING, Any

from reactors import logfiles, logs
from reactors.exceptions import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


def get_file_logger(
    name: str,
    subname: str | None = None,
    settings: Mapping[str, Any] | None = None,
    redactions: logs.Redactor | Iterable[str] = (),
    fields: Mapping[str, str] | None = None,
) -> logging.Logger:
    """Return a logger that appends to the file `logs.file`; without that setting, to none.

    Args:
        name: of the logger.
        subname: what is added to its name.
        settings: `logs.level`, `logs.format`, `logs.file` and `debug` count.
        redactions: the secrets, or the redactor that knows them.
        fields: what every line has if it is a JSON object.

    Raises:
        SettingsError: there is no such level.
    """
    settings = settings or {}
    level = logs.level_of(settings)
    logger = logs.new_logger(logs.full_name(name, subname), level, logging.NullHandler())
    LogFile.attach(logger, settings, logs.redactor(redactions), fields or {})
    return logger


class LogFile(logging.Handler):
    """A file that lines are appended to, as long as it takes them.

    It is open while a line is written and no longer, so that it may be moved away, and so that an
    actor that handles many messages in one process leaves none open.

    Args:
        path: the file.
        allowed: where it may be, as for `logfiles.open_to_append`.

    Raises:
        OSError: it cannot be written.
        SettingsError: it is not where it may be.
    """

    def __init__(self, path: str, allowed: Sequence[str] | None = None) -> None:
        super().__init__()
        self._path, self._allowed = path, allowed
        self._append("")

    @classmethod
    def attach(
        cls,
        logger: logging.Logger,
        settings: Mapping[str, Any],
        redact: logs.Redactor,
        fields: Mapping[str, str],
    ) -> None:
        """Let a logger write to the file of the settings too; warn if that cannot be written."""
        section = logs.section(settings, "logs")
        path = section.get("file")
        if not path:
            return
        try:
            handler = cls(str(path), section.get("folders"))
        except OSError as error:
            logger.warning("logs.file %s cannot be written: %s", path, error.strerror)
            return
        handler.setFormatter(logs.formatter_of(settings, redact, fields))
        logger.addHandler(handler)

    def emit(self, record: logging.LogRecord) -> None:
        """Append a line, or do without it."""
        with contextlib.suppress(OSError, SettingsError):
            self._append(self.format(record) + "\n")

    def _append(self, text: str) -> None:
        descriptor = logfiles.open_to_append(self._path, self._allowed)
        with os.fdopen(descriptor, "a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
