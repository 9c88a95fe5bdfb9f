"""How an execution reports: its logs, its end, its answer to a caller who waits."""

from __future__ import annotations

import logging
import sys
from functools import cached_property
from typing import NoReturn

from reactors import logs, results
from reactors.context import Context
from reactors.exceptions import SettingsError


class Reporting(Context):
    """An execution that can be heard of."""

    @cached_property
    def logger(self) -> logging.Logger:
        """A logger that blacks out secrets; level and form as in the section `logs`."""
        section = self.settings.get("logs")
        section = section if isinstance(section, dict) else {}
        level = "DEBUG" if self.settings.get("debug") else str(section.get("level") or "INFO")
        if level.upper() not in logs.LEVELS:
            problem = f"logs.level is {level!r:.20}: use one of {', '.join(logs.LEVELS)}"
            raise SettingsError(problem)
        return logs.make_logger(
            self.redact,
            level=level,
            as_json=str(section.get("format")).lower() == "json",
            context={
                name: value
                for name, value in {
                    "actor_id": self.environ.get("_abaco_actor_id"),
                    "execution_id": self.environ.get("_abaco_execution_id"),
                }.items()
                if value
            },
            stream=self._log_stream,
        )

    def on_success(self, successMessage: str = "Success") -> NoReturn:
        """Log a line and end the process with exit code 0."""
        self.logger.info("%s", successMessage)
        sys.exit(0)

    def on_failure(
        self,
        failMessage: str = "Failure",
        exceptionObject: BaseException | None = None,
    ) -> NoReturn:
        """Log a line, with the error if one is given, and end the process with exit code 1."""
        tail = f": {exceptionObject}" if exceptionObject is not None else ""
        self.logger.log(max(logging.ERROR, self.logger.level), "%s%s", failMessage, tail)
        sys.exit(1)

    def send_result(self, result: bytes) -> bool:
        """Answer a synchronous caller, if there is one; tell whether an answer was sent."""
        return results.send(result, self.environ)
