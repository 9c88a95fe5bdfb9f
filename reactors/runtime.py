"""The `Reactor`: what an actor knows about the message it was started for."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import sys
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

from reactors import agaveutils, logs, message, results, utils
from reactors import settings as settings_files
from reactors.attrdict import AttrDict
from reactors.exceptions import DeliveryError, MessageError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import TextIO

__all__ = ["Reactor", "agaveutils"]

_BINARY = "application/octet-stream"
_NOT_FOUND = 404
_LONGEST_DELAY = 30.0


class Reactor:
    """One execution of an actor.

    Args:
        environ: what the platform passed, by default the environment of the process.
        folders: where `config.yml` is looked for, by default `/` and the working directory.
        log_stream: where the log goes, by default standard error.

    Raises:
        SettingsError: the configuration cannot be used.
    """

    def __init__(
        self,
        environ: Mapping[str, str] | None = None,
        *,
        folders: Sequence[Path] | None = None,
        log_stream: TextIO | None = None,
    ) -> None:
        self.created = utils.microseconds()
        self.environ: dict[str, str] = dict(os.environ if environ is None else environ)
        self.settings = settings_files.load(self.environ, folders)
        self.redact = logs.Redactor(settings_files.secrets(self.settings, self.environ))
        self.redact.add(self.environ.get("token"))
        self._log_stream = log_stream

    # What the platform said

    @cached_property
    def context(self) -> AttrDict:
        """The environment, and under the SDK's names what it says about the message.

        `context.state` is the actor's own state; a URL parameter of that name is not here but in
        `environ`.
        """
        environ = self.environ
        named: dict[str, Any] = {
            "raw_message": self._raw_message,
            "message_dict": self.message_dict,
            "raw_message_parse_log": self._parse_log,
            "content_type": self._content_type,
            "execution_id": environ.get("_abaco_execution_id"),
            "username": environ.get("_abaco_username"),
            "state": environ.get("_abaco_actor_state"),
            "actor_dbid": environ.get("_abaco_actor_dbid"),
            "actor_id": environ.get("_abaco_actor_id"),
        }
        return AttrDict({**environ, **named})

    @cached_property
    def message(self) -> message.Parsed | None:
        """The parsed message, or None where there is none.

        Raises:
            MessageError: it cannot be read.
        """
        text = self._text()
        return message.parse(text) if text.strip() else None

    @cached_property
    def message_dict(self) -> AttrDict:
        """The message if it is an object, else an empty one."""
        with contextlib.suppress(MessageError):
            if self.message is not None and isinstance(self.message.value, dict):
                return AttrDict(self.message.value)
        return AttrDict()

    def get_binary_message(self) -> bytes:
        """Return the message as it was posted, if it is binary (`application/octet-stream`).

        Returns:
            The same bytes each time; none where the message is not binary.

        Raises:
            MessageError: it is too large, does not come to an end, or cannot be read.
        """
        if isinstance(self._binary, MessageError):
            raise self._binary
        return self._binary

    @cached_property
    def _binary(self) -> bytes | MessageError:
        """The binary message, or why there is none: what was taken from the FIFO is gone."""
        if not self._is_binary:
            return b""
        from reactors import binary  # noqa: PLC0415 - most messages are not binary

        try:
            return binary.read(self.environ)
        except MessageError as error:
            return error

    @property
    def _is_binary(self) -> bool:
        return self._content_type == _BINARY and "MSG" not in self.environ

    @property
    def _content_type(self) -> str | None:
        environ = self.environ
        return environ.get("_abaco_Content_Type") or environ.get("_abaco_Content-Type")

    def _text(self) -> str:
        if not self._is_binary:
            return self.environ.get("MSG", "")
        try:
            return self.get_binary_message().decode()
        except UnicodeDecodeError as error:
            problem = (
                f"the binary message is not UTF-8 (byte {error.start:,} is "
                f"0x{error.object[error.start]:02x}): send JSON or text in UTF-8"
            )
            raise MessageError(problem) from error

    @property
    def _raw_message(self) -> str:
        try:
            return self._text()
        except MessageError:
            return ""

    @property
    def _parse_log(self) -> str:
        try:
            return "" if self.message is None or self.message.structured else "not JSON, but a text"
        except MessageError as error:
            return str(error)

    @property
    def uid(self) -> str:
        """The actor's id; a name in a local run."""
        return self.environ.get("_abaco_actor_id") or self.nickname

    @property
    def execid(self) -> str:
        """The execution's id; a name in a local run."""
        return self.environ.get("_abaco_execution_id") or self.nickname

    @property
    def username(self) -> str | None:
        """Who sent the message, as the platform authenticated them."""
        return self.environ.get("_abaco_username") or None

    @property
    def session(self) -> str:
        """The name of the session that the message belongs to, else the nickname."""
        return self.environ.get("x_session") or self.environ.get("SESSION") or self.nickname

    @cached_property
    def nickname(self) -> str:
        """A name, `adjective-animal`, for this execution."""
        import petname  # noqa: PLC0415 - 20 ms, and most executions do without

        return str(petname.generate(2, "-"))

    @property
    def api_server(self) -> str:
        """The base URL of the tenant."""
        return (
            self.environ.get("_abaco_api_server")
            or self.environ.get("TACC_API_SERVER")
            or "https://api.sd2e.org"
        )

    @property
    def local(self) -> bool:
        """Whether this is a local test run (`LOCALONLY=1`)."""
        return self.environ.get("LOCALONLY") == "1"

    @cached_property
    def state(self) -> dict[str, Any]:
        """The actor's own state, empty where it has none."""
        text = self.environ.get("_abaco_actor_state") or "{}"
        try:
            value = message.parse(text).value
        except MessageError:
            return {}
        return value if isinstance(value, dict) else {}

    @cached_property
    def client(self) -> Any:
        """An agavepy client for the tenant, made when it is first used.

        Raises:
            SettingsError: the platform gave no access token.
        """
        from reactors.client import make_client  # noqa: PLC0415 - most executions do without

        return make_client(self.environ)

    def elapsed(self) -> int:
        """Return the time since this Reactor was made, in microseconds."""
        return utils.microseconds() - self.created

    # Logs and the end

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

    # Messages

    def validate_message(
        self,
        messagedict: Any,
        messageschema: str = "/message.jsonschema",
        permissive: bool = True,
    ) -> bool:
        """Tell whether a message fits the JSON Schema in a file.

        Raises:
            MessageError: it does not, and `permissive` is off.
        """
        from reactors import schema  # noqa: PLC0415 - costs a third of an event

        errors = sorted(schema.load(messageschema).iter_errors(messagedict), key=str)
        if not errors:
            return True
        if permissive:
            return False
        problem = f"the message does not fit: {self.redact(errors[0].message):.300}"
        raise MessageError(problem)

    def send_message(
        self,
        actorId: str,
        message: Any,
        environment: Mapping[str, str] | None = None,
        ignoreErrors: bool = True,
        senderTags: bool = True,
        retryMaxAttempts: int = 5,
        retryDelay: float = 1,
        sync: bool = False,
        *,
        nonce: str | None = None,
    ) -> str | None:
        """Send a message to another actor.

        Args:
            actorId: the actor's id or alias.
            message: a JSON value or a text.
            environment: further URL parameters.
            ignoreErrors: log a failure and return None instead of raising.
            senderTags: add `x_src_actor_id` and the like, which say where the message is from.
            retryMaxAttempts: how often it is tried; an actor that does not exist ends it at once.
            retryDelay: seconds before the second attempt; doubled for each further one, and
                varied, so that many senders do not come back together.
            sync: wait for the other actor's execution to end; tried once, since nobody knows how
                far an execution has come that takes longer than the client waits.
            nonce: what to authenticate with where the platform gave no access token.

        Returns:
            The id of the other actor's execution; None where `sync` is on.

        Raises:
            DeliveryError: it was not delivered, and `ignoreErrors` is off.
        """
        parameters = {**(self._sender_tags() if senderTags else {}), **(environment or {})}
        if sync:
            parameters["_abaco_synchronous"] = "true"
        problem = "not tried"
        for attempt in range(1 if sync else max(1, retryMaxAttempts)):
            if attempt:
                self._pause(retryDelay, attempt)
            try:
                return self._post(actorId, message, parameters, nonce)
            except SettingsError as error:
                problem = str(error)
                break
            except Exception as error:  # noqa: BLE001 - agavepy raises what it comes upon
                if sync and isinstance(error, json.JSONDecodeError):
                    # what a synchronous message is answered is no JSON, and agavepy drops it
                    return None
                status = getattr(getattr(error, "response", None), "status_code", None)
                problem = f"HTTP status {status}" if status else type(error).__name__
                self.logger.debug("attempt %d to message %s: %s", attempt + 1, actorId, problem)
                if status == _NOT_FOUND:
                    break
        failure = f"the message to actor {actorId} was not delivered: {problem}"
        if not ignoreErrors:
            raise DeliveryError(failure)
        self.logger.error("%s", failure)
        return None

    def _post(
        self, actor_id: str, message: Any, parameters: Mapping[str, str], nonce: str | None
    ) -> str | None:
        arguments: dict[str, Any] = {
            "actorId": actor_id,
            "body": {"message": message},
            "environment": dict(parameters),
        }
        if nonce and not self.environ.get("_abaco_access_token"):
            reply = self._nonce_client.actors.sendMessage(nonce=nonce, **arguments)
        else:
            reply = self.client.actors.sendMessage(**arguments)
        execution = reply.get("executionId") if isinstance(reply, dict) else None
        return None if execution is None else str(execution)

    @cached_property
    def _nonce_client(self) -> Any:
        from reactors.client import make_client  # noqa: PLC0415 - most executions do without

        return make_client(self.environ, use_nonce=True)

    def _sender_tags(self) -> dict[str, str]:
        tags = {
            "x_src_actor_id": self.environ.get("_abaco_actor_id"),
            "x_src_execution_id": self.environ.get("_abaco_execution_id"),
            "x_src_app_id": self.environ.get("appId"),
            "x_src_job_id": self.environ.get("id"),
            "x_src_event": self.environ.get("event"),
            "x_src_uuid": self.environ.get("uuid"),
            "x_session": self.session,
        }
        return {name: value for name, value in tags.items() if value}

    @staticmethod
    def _pause(delay: float, attempt: int) -> None:
        longest = min(_LONGEST_DELAY, delay * 2 ** (attempt - 1))
        time.sleep(random.uniform(longest / 2, longest))  # noqa: S311 - jitter, no secret
