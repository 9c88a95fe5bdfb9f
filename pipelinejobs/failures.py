"""Why a job failed, as far as whoever reported it has said so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from datacatalog.mongo import Document

FAILED = "FAILED"
_MESSAGES = ("message", "error", "reason", "exception", "detail", "status_message", "lastMessage")
_TRACES = ("traceback", "stack_trace", "stacktrace", "stderr", "trace")
MAX_LINES, MAX_LETTERS = 12, 2000
_DEPTH = 3


class Failure(NamedTuple):
    """Why a job failed."""

    message: str
    trace: str
    """the last lines of a traceback, or of what was written to standard error"""
    entry: Mapping[str, Any]
    """the entry of the history that says so"""


def of(job: Mapping[str, Any], newest_first: Iterable[Document]) -> Failure | None:
    """Return why a job failed; None where it is not in the state FAILED, or nobody has said it.

    Args:
        job: with its state.
        newest_first: entries of its history.
    """
    if job.get("state") != FAILED:
        return None
    entry = next((each for each in newest_first if each.get("name") == "fail"), None)
    if entry is None:
        return None
    data = entry.get("data")
    trace, message = _find(data, _TRACES), _find(data, _MESSAGES)
    lines = trace.rstrip().splitlines()
    if not message:
        message = ": ".join(filter(None, (_outcome(data), *(line.strip() for line in lines[-1:]))))
        # a single line is said already
        lines = lines if len(lines) > 1 else []
    end = "\n".join(lines[-MAX_LINES:])
    return Failure(message.strip()[:MAX_LETTERS], end[-MAX_LETTERS:], entry)


def _find(data: Any, names: Iterable[str], depth: int = _DEPTH) -> str:
    """Return the first text that is under one of the names, in an object or in those within it."""
    if not isinstance(data, dict) or not depth:
        return ""
    for name in names:
        value = data.get(name)
        if isinstance(value, list) and value and all(isinstance(line, str) for line in value):
            return "\n".join(line.rstrip("\n") for line in value)
        if isinstance(value, str) and value.strip():
            return value
    return next(filter(None, (_find(each, names, depth - 1) for each in data.values())), "")


def _outcome(data: Any) -> str:
    """Return what else tells how a command ended."""
    if not isinstance(data, dict):
        return ""
    parts = [
        f"{name.replace('_', ' ')} {data[name]}"
        for name in ("exit_code", "signal")
        if data.get(name)
    ]
    return ", ".join(parts)
