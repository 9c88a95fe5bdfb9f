"""Lines for people who read Slack."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from reactors import logs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

OPTIONS = ("channel", "username", "icon_emoji")
POST_SECONDS = 3.0
"""How long Slack is waited for, each time that nothing comes from it."""
END_SECONDS = 5.0
"""How long the end of the process is put off for lines that have not arrived yet."""
MAX_WAITING = 200
MAX_TEXT = 4000
"""Of one message: Slack recommends no more."""


def get_slack_logger(
    name: str,
    subname: str | None = None,
    settings: Mapping[str, Any] | None = None,
    redactions: logs.Redactor | Iterable[str] = (),
    fields: Mapping[str, str] | None = None,
    *,
    complain: Callable[[str], object] | None = None,
) -> logging.Logger:
    """Return a logger that posts to the incoming webhook `slack.webhook`; without that, to none.

    Args:
        name: of the logger, which each message begins with.
        subname: what is added to its name.
        settings: `slack.webhook`, `slack.channel`, `slack.username`, `slack.icon_emoji`,
            `logs.level` and `debug` count.
        redactions: the secrets, or the redactor that knows them.
        fields: what each message ends with.
        complain: told the first time that a line does not arrive, and why.

    Raises:
        SettingsError: there is no such level.
    """
    settings = settings or {}
    options = logs.section(settings, "slack")
    webhook = options.get("webhook")
    handler: logging.Handler = logging.NullHandler()
    if webhook:
        redact = logs.redactor(redactions)
        redact.add(webhook)
        message = {key: options[key] for key in OPTIONS if options.get(key)}
        handler = SlackHandler(str(webhook), message, complain or (lambda _: None))
        handler.setFormatter(_Formatter(redact, as_json=False, context=fields or {}))
    return logs.new_logger(logs.full_name(name, subname), logs.level_of(settings), handler)


class _Formatter(logs.Formatter):
    """The text of a message in Slack, in which nothing of the line is markup."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a record."""
        fields = ", ".join(f"{name} {value}" for name, value in self.context.items())
        text = f"{record.name}: {record.levelname} {self.text(record)}"
        text = text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"
        text = f"{text} ({fields})" if fields else text
        return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


class SlackHandler(logging.Handler):
    """Posts lines in the background, in their order, each once.

    Args:
        webhook: the URL.
        message: what each message has besides its text.
        complain: told the first time that a line does not arrive, and why.
    """

    def __init__(
        self, webhook: str, message: Mapping[str, str], complain: Callable[[str], object]
    ) -> None:
        super().__init__()
        self._webhook = webhook
        self._message = dict(message)
        self._complain = complain
        self._has_complained = False
        self._waiting: deque[str] = deque()
        self._changed = threading.Condition()
        self._at_work = False
        self._patience = END_SECONDS

    def emit(self, record: logging.LogRecord) -> None:
        """Let a line be posted; nothing is waited for."""
        try:
            text = self.format(record)
            with self._changed:
                if len(self._waiting) >= MAX_WAITING:
                    self._failed("too many lines are waiting")
                    return
                self._waiting.append(text)
                if not self._at_work:
                    threading.Thread(target=self._work, name="slack", daemon=True).start()
                    self._at_work = True
        except Exception as error:  # noqa: BLE001 - a log must not make its actor fail
            self._failed(type(error).__name__)

    def flush(self) -> None:
        """Wait until all lines have been posted, but no longer than `END_SECONDS` in all."""
        began = time.monotonic()
        with self._changed:
            self._changed.wait_for(lambda: not self._at_work, self._patience)
        self._patience = max(0.0, self._patience - (time.monotonic() - began))

    def close(self) -> None:
        """Do as `flush`, then as every handler."""
        self.flush()
        super().close()

    def _work(self) -> None:
        while True:
            with self._changed:
                if not self._waiting:
                    self._at_work = False
                    self._changed.notify_all()
                    return
                text = self._waiting.popleft()
            try:
                self._post(text)
            except Exception as error:  # noqa: BLE001 - a log must not make its actor fail
                status = getattr(error, "code", None)
                self._failed(f"HTTP status {status}" if status else type(error).__name__)

    def _post(self, text: str) -> None:
        from urllib.request import Request, urlopen  # noqa: PLC0415 - most actors do without

        if urlsplit(self._webhook).scheme not in ("http", "https"):
            self._failed("slack.webhook is not an http(s) URL")
            return
        request = Request(  # noqa: S310 - http or https, as was checked
            self._webhook,
            json.dumps({**self._message, "text": text}).encode(),
            {"Content-Type": "application/json"},
        )
        with urlopen(request, timeout=POST_SECONDS):  # noqa: S310 - http or https, as was checked
            pass

    def _failed(self, problem: str) -> None:
        if not self._has_complained:
            self._has_complained = True
            self._complain(f"a line did not reach Slack: {problem}")
