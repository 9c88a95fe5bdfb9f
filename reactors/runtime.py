"""The `Reactor`: what an actor knows about the message it was started for, and what it can do."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from reactors import agaveutils, logtypes, process
from reactors.clock import microseconds, utcnow
from reactors.exceptions import MessageError
from reactors.nonces import Nonces
from reactors.sending import Sending

__all__ = ["Reactor", "agaveutils", "logtypes", "microseconds", "process", "utcnow"]


class Reactor(Sending, Nonces):
    """One execution of an actor.

    Args:
        environ: what the platform passed, by default the environment of the process.
        folders: where `config.yml` is looked for, by default `/` and the working directory.
        log_stream: where the log goes, by default standard error.
        redactions: further strings to black out in the log.

    Raises:
        SettingsError: the configuration cannot be used.
    """

    @cached_property
    def pemagent(self) -> agaveutils.PemAgent:
        """Grants permissions on files.

        Raises:
            SettingsError: the platform gave no access token.
        """
        return agaveutils.PemAgent(self.client)

    def validate_message(
        self,
        messagedict: Any,
        messageschema: str = "/message.jsonschema",
        permissive: bool = True,
    ) -> bool:
        """Tell whether a message fits the JSON Schema in a file.

        Args:
            messagedict: the message.
            messageschema: the file's path, as it is in an image that has the actor in `/`. What is
                not there is looked for in the working directory, as the settings are.
            permissive: return False instead of raising.

        Raises:
            MessageError: it does not, and `permissive` is off.
            SettingsError: there is no such schema.
        """
        from reactors import schema  # noqa: PLC0415 - costs a third of an event

        file = schema.find(messageschema)
        errors = sorted(schema.load(file).iter_errors(messagedict), key=str)
        if not errors:
            return True
        if permissive:
            return False
        problem = f"the message does not fit: {self.redact(errors[0].message):.300}"
        raise MessageError(problem)
