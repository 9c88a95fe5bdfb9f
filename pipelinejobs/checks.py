"""What `doctor` looks at: each check says what it found, and what to do if that is not good."""

from __future__ import annotations

import datetime
import email.utils
import platform
import shutil
import stat
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from abaco import settings
from abaco.exceptions import SettingsError
from abaco.settings import MEBIBYTE, Limits
from datacatalog import mongo
from datacatalog.linkedstores import condition
from local.database import LocalDatabase
from manager.exceptions import InvalidSettings
from pipelinejobs import fleet, subscribing
from pipelinejobs.backend import SECRETS, SERVER
from pipelinejobs.exceptions import CommandError
from pipelinejobs.gateway_client import message_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pipelinejobs.backend import Backend

GOOD, WARNING, BAD = "ok", "warning", "bad"
MAX_SKEW = 2.0
_OLDEST_SERVER = (5, 0)
_FIRST_YEAR = 2000
_NOT_FOUND = 404
_PACKAGES = ("pipelinejobs-manager", "pymongo", "typer", "httpx")


class Finding(NamedTuple):
    """What a check found."""

    subject: str
    status: str
    found: str
    remedy: str = ""


def examine(backend: Backend) -> Iterator[Finding]:
    """Yield what all checks find, one after the other; none of them changes anything."""
    for subject, check in _CHECKS.items():
        try:
            yield from check(backend, subject)
        except CommandError as error:
            found, _, remedy = str(error).partition(": ")
            yield Finding(subject, BAD, found, remedy)
        except InvalidSettings as error:
            yield Finding(subject, BAD, str(error), "correct it in config.yml")
        except mongo.DatabaseError as error:
            yield Finding(
                subject,
                BAD,
                mongo.explain(error, backend.mongodb).partition(": ")[0],
                "start it (`make up`), or correct mongodb.authn; see its log",
            )


def _versions(_backend: Backend, subject: str) -> Iterator[Finding]:
    found = [f"{name} {metadata.version(name)}" for name in _PACKAGES]
    yield Finding(subject, GOOD, ", ".join([f"Python {platform.python_version()}", *found]))


def _settings(backend: Backend, subject: str) -> Iterator[Finding]:
    backend.reactor()
    origin = f"the local folder {backend.folder}" if backend.is_local else "the settings"
    yield Finding(subject, GOOD, f"usable; the database is named by {origin}")


def _secrets(backend: Backend, subject: str) -> Iterator[Finding]:
    if backend.catalog.admin_key and backend.catalog.admin_secret:
        lifetime = backend.catalog.admin_lifetime
        yield Finding(subject, GOOD, f"can be made, each for {lifetime:,} s or more")
        return
    yield Finding(
        subject,
        WARNING,
        "cannot be made: reset and ready are not possible",
        "set CATALOG_ADMIN_TOKEN_KEY and CATALOG_ADMIN_TOKEN_SECRET, here and for the actor",
    )


def _database(backend: Backend, subject: str) -> Iterator[Finding]:
    state = condition.examine(backend.mongodb)
    where = f"{mongo.hosts(backend.mongodb)}, database {state.database}"
    answered = f"{where}: version {state.version}, answers in {state.seconds * 1000:.0f} ms"
    if state.version_info < _OLDEST_SERVER:
        yield Finding(subject, BAD, answered, "use MongoDB 5.0 or newer")
    else:
        yield Finding(subject, GOOD, answered)
    yield _skew("clock of the database", state.clock)
    if state.refused:
        yield Finding(
            "database permissions",
            BAD,
            f"the user may not {', '.join(state.refused)}",
            f"give it the role readWrite on {state.database}",
        )
    else:
        yield Finding("database permissions", GOOD, "read and write")


def _indexes(backend: Backend, subject: str) -> Iterator[Finding]:
    missing = condition.missing_indexes(backend.jobs, backend.pipelines)
    if missing:
        yield Finding(
            subject,
            WARNING,
            f"missing: {', '.join(missing)}",
            "create a job or a pipeline: that creates them, or says which documents do not allow it",
        )
    elif left_over := condition.superfluous_indexes(backend.jobs):
        yield Finding(
            subject,
            WARNING,
            f"of a former version, and slow: {', '.join(left_over)}",
            "create a job: that drops them",
        )
    else:
        yield Finding(subject, GOOD, "all there")


def _subscriptions(backend: Backend, subject: str) -> Iterator[Finding]:
    """Say who is behind."""
    is_well = True
    for each in subscribing.overview(backend):
        events = "1 event" if each.lag.events == 1 else f"{each.lag.events:,} events"
        found = f"{each.name} is {each.status}: {events}, {each.lag_seconds:,.0f} s"
        if each.status == subscribing.ENDED:
            is_well = False
            yield Finding(
                subject,
                WARNING,
                f"{each.name} has ended: {each.kept.get('note')}",
                f"remove it by `pipelinejobs subscriptions rm {each.name}`, and add it again if that was a mistake",
            )
        elif each.status != subscribing.WELL:
            is_well = False
            reason = f" ({each.kept['error']})" if each.kept.get("error") else ""
            yield Finding(
                subject,
                WARNING,
                f"{found}{reason}",
                f"see `pipelinejobs subscriptions ls`; try with `pipelinejobs subscriptions test {each.name}`",
            )
        if each.dead:
            is_well = False
            yield Finding(
                subject,
                WARNING,
                f"{each.name} has {each.dead:,} dead letter{'s' if each.dead > 1 else ''}",
                f"see `pipelinejobs subscriptions dead {each.name}`, then `replay`",
            )
    if is_well:
        yield Finding(subject, GOOD, "nobody is behind")


def _gateway(backend: Backend, subject: str) -> Iterator[Finding]:
    server = backend.environ.get(SERVER)
    if not server:
        yield Finding(
            subject,
            WARNING,
            "none is known: jobs are created, moved and deleted with --direct only",
            f"start the local one with `make up`, or set {SERVER} or AGAVE_CACHE_DIR",
        )
        return
    reply = backend.gateway.ready()
    if reply.is_success:
        yield Finding(subject, GOOD, f"{server}: accepts messages")
    elif reply.status_code == _NOT_FOUND:
        yield Finding(subject, GOOD, f"{server}: answers, as a tenant does")
    else:
        found = f"{server}: {message_of(reply)}"
        yield Finding(subject, BAD, found, "see the log of the gateway")
    yield _skew("clock of the gateway", _told(reply.headers.get("Date", "")), grain=1.0)
    manager = backend.gateway.manager()
    status, name = manager.get("status"), f"{backend.actor} ({manager.get('id')})"
    yield from _mailbox(backend)
    if status == "READY":
        yield Finding("manager", GOOD, f"{name}: READY")
    elif status == "SUBMITTED":
        yield Finding("manager", WARNING, f"{name}: is starting", "look again in a moment")
    else:
        yield Finding(
            "manager",
            BAD,
            f"{name}: {status} {manager.get('statusMessage', '')}".strip(),
            "see why in its status message, fix the image, and update the actor",
        )


def _mailbox(backend: Backend) -> Iterator[Finding]:
    """Say which messages cannot be handled yet; a tenant does not tell."""
    found = backend.gateway.ask("GET", backend.actor, "messages")
    waiting = f"{found.get('messages', 0):,} waiting"
    postponed = found.get("postponed", [])
    if not postponed:
        yield Finding("mailbox", GOOD, waiting)
        return
    oldest = postponed[0]
    # one of these may just be tried again, and does not wait then
    reason = f"the oldest since {oldest['messageReceivedTime']} (tries: {oldest['tries']})"
    yield Finding(
        "mailbox",
        BAD,
        f"{waiting}; {len(postponed)} could not be handled yet, {reason}: {oldest['reason']}",
        "bring back what is away: they are tried again by themselves, or drop them on the actor's page",
    )


def _fleet(_backend: Backend, _subject: str) -> Iterator[Finding]:
    for each in fleet.examine():
        status = BAD if each.is_bad else WARNING if each.remedy else GOOD
        yield Finding(each.subject, status, each.found, each.remedy)


def _containers(_backend: Backend, subject: str) -> Iterator[Finding]:
    """Look at the engine that the configuration of a gateway in this folder names."""
    try:
        containers = settings.load(Path(settings.FILE_NAME)).containers
    except SettingsError as error:
        yield Finding(subject, BAD, str(error), f"correct it in {settings.FILE_NAME}")
        return
    if containers.engine == settings.NONE:
        return
    from abaco.workers.container_engine import Engine  # noqa: PLC0415 - most gateways do without
    from abaco.workers.processes import NotStarted  # noqa: PLC0415 - as the engine

    try:
        yield Finding(subject, GOOD, Engine(containers, "").version())
    except NotStarted as error:
        remedy = f"start it, or correct `containers` in {settings.FILE_NAME}"
        yield Finding(subject, BAD, str(error), remedy)


def _disk(backend: Backend, subject: str) -> Iterator[Finding]:
    if not backend.is_local or not backend.folder.exists():
        return
    free = shutil.disk_usage(backend.folder).free
    found = f"{free // MEBIBYTE:,} MiB free in {backend.folder}"
    if free < Limits().reserve_bytes:
        yield Finding(subject, BAD, found, "make room: messages are refused until there is some")
    else:
        yield Finding(subject, GOOD, found)


def _told(date: str) -> datetime.datetime | None:
    """Return the moment that a header says, or None if it says none."""
    try:
        found = email.utils.parsedate_to_datetime(date)
    except (ValueError, OverflowError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=datetime.timezone.utc)


def _skew(subject: str, moment: datetime.datetime | None, grain: float = 0.0) -> Finding:
    if moment is None or moment.year < _FIRST_YEAR:
        return Finding(subject, WARNING, "is not told", "compare it with `date -u` there")
    seconds = (moment - datetime.datetime.now(datetime.timezone.utc)).total_seconds()
    seconds = max(0.0, abs(seconds) - grain)
    if seconds <= MAX_SKEW:
        return Finding(subject, GOOD, "as the one here")
    return Finding(
        subject, BAD, f"differs from the one here by {seconds:,.0f} s", "set both by NTP"
    )


def _files(backend: Backend, subject: str) -> Iterator[Finding]:
    files = [backend.folder / "abaco", backend.client_cache]
    files += [backend.folder / "abaco" / name.lower() for name in SECRETS]
    files += [LocalDatabase(backend.folder).password_file]
    there = [file for file in files if file is not None and file.exists()]
    exposed = [str(file) for file in there if _is_open(file)]
    if exposed:
        yield Finding(
            subject,
            BAD,
            f"others may read {', '.join(exposed)}",
            f"chmod go-rwx {' '.join(exposed)}",
        )
    else:
        yield Finding(
            subject, GOOD, "secrets in files are their owner's" if there else "no secrets"
        )


def _is_open(file: Path) -> bool:
    return bool(file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))


_CHECKS: dict[str, Callable[[Backend, str], Iterator[Finding]]] = {
    "versions": _versions,
    "settings": _settings,
    "administrative tokens": _secrets,
    "database": _database,
    "indexes": _indexes,
    "subscriptions": _subscriptions,
    "gateway": _gateway,
    "containers": _containers,
    "fleet": _fleet,
    "disk": _disk,
    "files": _files,
}
