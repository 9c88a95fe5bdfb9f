"""The actor: one message in, one job changed.

Run as the platform runs it, with the message and its context in the environment:

    MSG='{"uuid": "107...", "name": "run", "token": "..."}' python reactor.py

or, to tell the subscribers what they have yet to be told:

    python reactor.py drain
"""

from __future__ import annotations

import gc

if __name__ == "__main__":
    # to look for garbage while modules are imported takes a fourteenth of a cold start
    gc.disable()

import contextlib
import io
import json
import logging
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from datacatalog import mongo
from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.settings import CatalogSettings
from manager import actions, announcements, patience, settings
from manager.exceptions import (
    FAILED,
    DatabaseUnavailable,
    InvalidSettings,
    Refusal,
    UnreadableReport,
)
from manager.messages import classify
from reactors import results
from reactors.exceptions import SettingsError
from reactors.runtime import Reactor

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from manager.actions import Outcome
    from manager.messages import Message

FOLDER = Path(__file__).resolve().parent
"""Where `config.yml` is that the actor is shipped with; on the platform the root of its image."""
USAGE = 2


def process(rx: Reactor) -> dict[str, Any]:
    """Handle the message of a Reactor; return what a synchronous caller was answered.

    Raises:
        Refusal: it was not handled; the text is one line that says why.
    """
    jobs = open_jobs(rx)
    try:
        message = classify(rx)
    except UnreadableReport as report:
        keep(rx, report, jobs)
        raise
    rx.redact.add(message.token)
    outcome = patience.wait_for_database(rx, lambda: handle(rx, message, jobs))
    rx.logger.info("%s", outcome.line)
    answer(rx, outcome.result)
    announcements.deliver(rx, jobs)
    return outcome.result


def handle(rx: Reactor, message: Message, jobs: PipelineJobStore) -> Outcome:
    """Do what a message says, if its sender may."""
    with database_errors(rx):
        return actions.handle(rx, message, jobs)


def together(environments: Sequence[dict[str, str]]) -> list[tuple[int, str, list[str]] | None]:
    """Handle the first of several messages that wait, as far as they are simple events.

    Args:
        environments: of the messages, in their order.

    Returns:
        Exit code, log and results of those at the beginning, None for one that was not handled; the
        others were not touched.

    Raises:
        Uncertain: jobs have changed meanwhile; whether messages were handled is unknown.
        DatabaseError: the database failed; whether messages were handled is unknown.
    """
    from manager import batch  # noqa: PLC0415 - most starts are for one message

    logs = [io.StringIO() for _ in environments]
    folders = (FOLDER, Path.cwd())
    try:
        reactors = [
            Reactor(environ, folders=folders, log_stream=log)
            for environ, log in zip(environments, logs, strict=True)
        ]
        outcomes = batch.handle(reactors, open_jobs(reactors[0]))
    except (Refusal, SettingsError):
        # who sent it is told when it comes by itself
        return []
    handled: list[tuple[int, str, list[str]] | None] = []
    for rx, log, outcome in zip(reactors, logs, outcomes, strict=False):
        if outcome is None:
            handled.append(None)
            continue
        rx.logger.info("%s", outcome.line)
        handled.append((0, log.getvalue(), [json.dumps(outcome.result)]))
    return handled


def keep(rx: Reactor, report: UnreadableReport, jobs: PipelineJobStore) -> None:
    """Keep what a platform reports and nobody can read, for an operator to say what it was."""

    def attempt() -> None:
        with database_errors(rx):
            actions.keep_unread(rx, report, jobs)

    patience.wait_for_database(rx, attempt)


def drain(rx: Reactor) -> bool:
    """Tell the subscribers all that waits; tell whether nothing is left.

    Raises:
        Refusal: the settings or the database do not allow it.
    """
    jobs = open_jobs(rx)
    with database_errors(rx):
        told, left = announcements.drain(rx, jobs)
    rx.logger.info("events told: %d, jobs with more to tell: %d", told, left)
    return left == 0


def open_jobs(rx: Reactor) -> PipelineJobStore:
    """Return the store of jobs that the settings name; nothing is sent to the database yet."""
    # not by their values alone: 1 is equal to true, and no switch
    described = repr(rx.settings)
    opened = [each for each in _opened if each.settings == described]
    if not opened:
        settings.check(rx.settings)
    try:
        catalog = CatalogSettings.from_environ(rx.environ)
        if opened and opened[0].jobs.catalog == catalog:
            return opened[0].jobs
        database = mongo.connect(rx.settings.get("mongodb") or {})
    except ValueError as error:
        raise InvalidSettings(str(error)) from error
    jobs = PipelineJobStore(database, catalog=catalog)
    _opened[:] = [_Opened(described, jobs)]
    return jobs


class _Opened(NamedTuple):
    """A store of jobs, and the settings that it was opened with, as Python writes them."""

    settings: str
    jobs: PipelineJobStore


_opened: list[_Opened] = []
"""The store of the last message: a warm process goes on with it, and with what it remembers."""


@contextlib.contextmanager
def database_errors(rx: Reactor) -> Iterator[None]:
    """Turn what the database does not do into one line without credentials."""
    try:
        yield
    except mongo.DatabaseError as error:
        text = mongo.explain(error, rx.settings["mongodb"])
        raise DatabaseUnavailable(text, temporary=not mongo.is_refused(error)) from error


def answer(rx: Reactor, result: dict[str, Any]) -> None:
    """Send the result of the message to a caller who waits for it."""
    rx.send_result(json.dumps(result).encode() + b"\n")


def run(rx: Reactor, *, draining: bool) -> int:
    """Handle the message, or drain the outboxes; log the end of it; return the exit code."""
    try:
        if draining:
            return 0 if drain(rx) else 1
        process(rx)
        return 0
    except Refusal as refusal:
        problem, kind, code = rx.redact(str(refusal)), refusal.kind, refusal.exit_code
    except Exception as error:
        rx.logger.debug("", exc_info=error)
        problem = f"unexpected {type(error).__name__}: set debug: true to see where"
        kind, code = "unexpected", FAILED
    answer(rx, {"error": problem, "kind": kind})
    rx.logger.log(max(logging.ERROR, rx.logger.level), "%s", problem)
    return code


def main(arguments: Sequence[str] = ()) -> int:
    """Run the actor for the message in the environment; return the exit code."""
    if list(arguments) not in ([], ["drain"]):
        sys.stderr.write(f"{__doc__}\n")
        return 0 if "--help" in arguments else USAGE
    try:
        return run(Reactor(folders=(FOLDER, Path.cwd())), draining=bool(arguments))
    except SettingsError as error:
        refusal = {"error": str(error), "kind": InvalidSettings.kind}
        results.send(json.dumps(refusal).encode() + b"\n", os.environ)
        sys.stderr.write(f"ERROR {error}\n")
        return FAILED
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


if __name__ == "__main__":
    gc.freeze()
    gc.enable()
    code = main(sys.argv[1:])
    logging.shutdown()
    # all is on disk: to wait half a second for the driver's threads would serve nobody
    os._exit(code)
