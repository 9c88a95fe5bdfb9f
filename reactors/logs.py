"""What all logs have in common: one line a record, with all secrets blacked out."""

from __future__ import annotations

import functools
import json
import logging
import re
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

from reactors.exceptions import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

REDACTED = "[redacted]"
# to black out shorter strings would spoil every line, and whoever chose one could do that on purpose
SHORTEST_SECRET = 6
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_SAME_EVERYWHERE = re.compile(r"[\w.~-]+", re.ASCII)
"""What neither URLs nor literals write in another way, as most tokens are."""
# Credentials that nobody told us of: in URLs, and in the text of a mapping or JSON object (where
# a salt is what a token can be computed from)
_PATTERNS = (
    re.compile(r"(?i)(\b(?:x[-_]nonce|(?:access_)?token)=)[^&\s'\"]+"),
    re.compile(r"(?i)((?:x[-_]nonce|token|_salt)['\"]\s*:\s*['\"])[^'\"]+"),
    re.compile(r"(?i)(\bbearer\s+)[-._~+/\w]{8,}=*"),
    re.compile(r"(\bmongodb(?:\+srv)?://)[^@/\s]+(?=@)"),
)


class Redactor:
    """Blacks out the secrets that it was told of, and what looks like one."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: set[str] = set()
        self.add(*secrets)

    def add(self, *secrets: object) -> None:
        """Black out further values from now on; what is not a string or too short is passed over."""
        for secret in secrets:
            if isinstance(secret, str) and len(secret) >= SHORTEST_SECRET:
                self._secrets |= forms(secret)

    def __call__(self, text: str) -> str:
        """Return a string without the secrets in it."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, REDACTED)
        for pattern in _PATTERNS:
            text = pattern.sub(rf"\1{REDACTED}", text)
        return text


def redactor(redactions: Redactor | Iterable[str]) -> Redactor:
    """Return what blacks out secrets: the redactor that is given, or one for the given secrets."""
    return redactions if isinstance(redactions, Redactor) else Redactor(redactions)


def full_name(name: str, subname: str | None) -> str:
    """Return the name of a logger: both parts, if there are two."""
    return f"{name} {subname}" if subname else name


# a warm process meets the same ones with every message
@functools.lru_cache(maxsize=128)
def forms(secret: str) -> frozenset[str]:
    """Return a secret as it stands in strings, URLs, JSON documents and Python literals."""
    if _SAME_EVERYWHERE.fullmatch(secret):
        return frozenset({secret})
    urls = {
        quote(secret, errors="surrogatepass"),
        quote(secret, safe="", errors="surrogatepass"),
        quote_plus(secret, errors="surrogatepass"),
    }
    literals = {json.dumps(secret), json.dumps(secret, ensure_ascii=False), repr(secret)}
    return frozenset({secret, *urls, *(literal[1:-1] for literal in literals)})


class Formatter(logging.Formatter):
    """One line a record: plain text or a JSON object.

    Args:
        redact: applied to every line.
        as_json: write JSON objects instead of plain lines.
        context: what every JSON object has, the ids of actor and execution for instance.
    """

    converter = staticmethod(time.gmtime)

    def __init__(self, redact: Redactor, *, as_json: bool, context: Mapping[str, str]) -> None:
        super().__init__(datefmt="%Y-%m-%dT%H:%M:%SZ")
        self._redact = redact
        self._as_json = as_json
        self.context = context

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        text = self.text(record)
        moment = self.formatTime(record, self.datefmt)
        if not self._as_json:
            return f"{moment} {record.levelname} {text}"
        fields = {"time": moment, "level": record.levelname, "message": text, **self.context}
        return json.dumps(fields, ensure_ascii=False)

    def text(self, record: logging.LogRecord) -> str:
        """Return what a record says, and its error if it has one, on one line."""
        try:
            text = record.getMessage()
        except (TypeError, ValueError):
            # else logging would print the arguments to standard error, and secrets with them
            text = f"{record.msg} {record.args!r}"
        if record.exc_info:
            text = f"{text} {self.formatException(record.exc_info)}"
        return " ".join(self._redact(text).splitlines()).strip()


def level_of(settings: Mapping[str, Any]) -> str:
    """Return the level that the settings name: `logs.level`, or DEBUG where `debug` is on.

    Raises:
        SettingsError: there is no such level.
    """
    level = (
        "DEBUG" if settings.get("debug") else str(section(settings, "logs").get("level") or "INFO")
    )
    if level.upper() not in LEVELS:
        problem = f"logs.level is {level!r:.20}: use one of {', '.join(LEVELS)}"
        raise SettingsError(problem)
    return level.upper()


def formatter_of(
    settings: Mapping[str, Any], redact: Redactor, context: Mapping[str, str]
) -> Formatter:
    """Return a formatter for the form that the settings name: `logs.format`."""
    as_json = str(section(settings, "logs").get("format")).lower() == "json"
    return Formatter(redact, as_json=as_json, context=context)


def section(settings: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a section of the settings, an empty one where there is none."""
    content = settings.get(name)
    return content if isinstance(content, dict) else {}


def new_logger(name: str, level: str, *handlers: logging.Handler) -> logging.Logger:
    """Return a logger of its own, so that the messages of a warm process do not share one."""
    logger = logging.Logger(name, level=level)  # noqa: LOG001 - one a Reactor
    for handler in handlers:
        logger.addHandler(handler)
    return logger
