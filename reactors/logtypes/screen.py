"""The log that the platform keeps: standard error."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any, TextIO

from reactors import logs
from reactors.logtypes.file import LogFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def get_screen_logger(
    name: str,
    subname: str | None = None,
    settings: Mapping[str, Any] | None = None,
    redactions: logs.Redactor | Iterable[str] = (),
    fields: Mapping[str, str] | None = None,
    *,
    stream: TextIO | None = None,
) -> logging.Logger:
    """Return a logger that writes to standard error, and to `logs.file` where that is set.

    Args:
        name: of the logger.
        subname: what is added to its name.
        settings: `logs.level`, `logs.format`, `logs.file` and `debug` count.
        redactions: the secrets, or the redactor that knows them.
        fields: what every line has if it is a JSON object.
        stream: by default standard error.

    Raises:
        SettingsError: there is no such level.
    """
    settings = settings or {}
    redact = logs.redactor(redactions)
    screen = logging.StreamHandler(stream or sys.stderr)
    screen.setFormatter(logs.formatter_of(settings, redact, fields or {}))
    logger = logs.new_logger(logs.full_name(name, subname), logs.level_of(settings), screen)
    LogFile.attach(logger, settings, redact, fields or {})
    return logger
