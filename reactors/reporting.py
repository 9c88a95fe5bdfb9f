"""How an execution reports: its logs, its end, its answer to a caller who waits."""

from __future__ import annotations

import logging
import sys
from functools import cached_property
from typing import NoReturn

from reactors import logtypes, results
from reactors.attrdict import AttrDict
from reactors.context import Context


class Reporting(Context):
    """An execution that can be heard of."""

    @cached_property
    def logger(self) -> logging.Logger:
        """A logger that blacks out secrets: standard error, as the section `logs` says."""
        return logtypes.get_screen_logger(
            "reactor", None, self.settings, self.redact, self._log_fields, stream=self._log_stream
        )

    @cached_property
    def loggers(self) -> AttrDict:
        """`screen`, which is `logger`, and `slack`, which goes where the section `slack` says."""
        name = self.environ.get("_abaco_actor_name")
        slack = logtypes.get_slack_logger(
            # the platform writes None for an actor without a name
            name if name and name != "None" else self.uid,
            None,
            self.settings,
            self.redact,
            self._log_fields,
            complain=self.logger.warning,
        )
        return AttrDict(screen=self.logger, slack=slack)

    @property
    def _log_fields(self) -> dict[str, str]:
        fields = {
            "actor_id": self.environ.get("_abaco_actor_id"),
            "execution_id": self.environ.get("_abaco_execution_id"),
        }
        return {name: value for name, value in fields.items() if value}

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
