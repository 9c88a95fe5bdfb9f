"""What the platform said: the environment of one execution, and the message in it."""

from __future__ import annotations

import contextlib
import os
from functools import cached_property
from typing import TYPE_CHECKING, Any

import strictjson
from reactors import clock, logs, message, tenant
from reactors import settings as settings_files
from reactors.attrdict import AttrDict
from reactors.exceptions import MessageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path
    from typing import TextIO


class Context:
    """One execution, as the platform describes it.

    Args:
        environ: what the platform passed, by default the environment of the process.
        folders: where `config.yml` is looked for, by default `/` and the working directory.
        log_stream: where the log goes, by default standard error.
        redactions: further strings to black out in the log.

    Raises:
        SettingsError: the configuration cannot be used.
    """

    def __init__(
        self,
        environ: Mapping[str, str] | None = None,
        *,
        folders: Sequence[Path] | None = None,
        log_stream: TextIO | None = None,
        redactions: Iterable[str] = (),
    ) -> None:
        self.created = clock.microseconds()
        self.environ: dict[str, str] = dict(os.environ if environ is None else environ)
        self.settings = settings_files.load(self.environ, folders)
        self.redact = logs.Redactor(settings_files.secrets(self.settings, self.environ))
        self.redact.add(self.environ.get("token"), *redactions)
        self._log_stream = log_stream

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
        if not text.removeprefix(strictjson.MARK).strip():
            return None
        declared = self._content_type or message.JSON
        if "MSG" in self.environ and declared == message.BINARY:
            declared = message.JSON
        return message.parse(text, declared)

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
        return self._content_type == message.BINARY and "MSG" not in self.environ

    @property
    def _content_type(self) -> str | None:
        environ = self.environ
        return environ.get("_abaco_Content_Type") or environ.get("_abaco_Content-Type")

    def _text(self) -> str:
        if not self._is_binary:
            return self.environ.get("MSG", "")
        try:
            return message.decode(self.get_binary_message())
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
            return "" if self.message is None or self.message.structured else "not JSON, but text"
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
        return tenant.api_server(self.environ)

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
        return clock.microseconds() - self.created
