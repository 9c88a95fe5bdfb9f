"""Logs: one line an event on standard error, with all secrets blacked out."""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from typing import TYPE_CHECKING, TextIO
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable

REDACTED = "[redacted]"
# to black out shorter texts would spoil every line, and whoever chose one could do that on purpose
SHORTEST_SECRET = 6
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
# Credentials that nobody told us of: in URLs, and in the text of a mapping or JSON object
_PATTERNS = (
    re.compile(r"(?i)(\b(?:x[-_]nonce|(?:access_)?token)=)[^&\s'\"]+"),
    re.compile(r"(?i)((?:x[-_]nonce|token)['\"]\s*:\s*['\"])[^'\"]+"),
    re.compile(r"(?i)(\bbearer\s+)[-._~+/\w]{8,}=*"),
    re.compile(r"(\bmongodb(?:\+srv)?://)[^@/\s]+(?=@)"),
)


class Redactor:
    """Blacks out the secrets that it was told of, and what looks like one."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: set[str] = set()
        self.add(*secrets)

    def add(self, *secrets: object) -> None:
        """Black out further values from now on; what is no text or too short is passed over."""
        for secret in secrets:
            if isinstance(secret, str) and len(secret) >= SHORTEST_SECRET:
                self._secrets |= _forms(secret)

    def __call__(self, text: str) -> str:
        """Return a text without the secrets in it."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, REDACTED)
        for pattern in _PATTERNS:
            text = pattern.sub(rf"\1{REDACTED}", text)
        return text


def _forms(secret: str) -> set[str]:
    """Return a secret as it stands in texts, URLs, JSON documents and Python literals."""
    urls = {
        quote(secret, errors="surrogatepass"),
        quote(secret, safe="", errors="surrogatepass"),
        quote_plus(secret, errors="surrogatepass"),
    }
    literals = {json.dumps(secret), json.dumps(secret, ensure_ascii=False), repr(secret)}
    return {secret, *urls, *(literal[1:-1] for literal in literals)}


class _Formatter(logging.Formatter):
    """One line a record: plain text or a JSON object."""

    converter = staticmethod(time.gmtime)

    def __init__(self, redact: Redactor, *, as_json: bool, context: dict[str, str]) -> None:
        super().__init__(datefmt="%Y-%m-%dT%H:%M:%SZ")
        self._redact = redact
        self._as_json = as_json
        self._context = context

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        text = record.getMessage()
        if record.exc_info:
            text = f"{text} {self.formatException(record.exc_info)}"
        message = " ".join(self._redact(text).splitlines()).strip()
        moment = self.formatTime(record, self.datefmt)
        if not self._as_json:
            return f"{moment} {record.levelname} {message}"
        fields = {"time": moment, "level": record.levelname, "message": message, **self._context}
        return json.dumps(fields, ensure_ascii=False)


def make_logger(
    redact: Redactor,
    *,
    level: str = "INFO",
    as_json: bool = False,
    context: dict[str, str] | None = None,
    stream: TextIO | None = None,
) -> logging.Logger:
    """Return a logger of its own, so that the messages of a warm process do not share one.

    Args:
        redact: applied to every line.
        level: one of `LEVELS`, in any case.
        as_json: write JSON objects instead of plain lines.
        context: what every JSON object has, the ids of actor and execution for instance.
        stream: by default standard error.
    """
    logger = logging.Logger("reactor", level=level.upper())  # noqa: LOG001 - one a Reactor
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_Formatter(redact, as_json=as_json, context=context or {}))
    logger.addHandler(handler)
    return logger
