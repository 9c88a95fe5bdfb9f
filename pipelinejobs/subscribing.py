"""Subscriptions as an operator sees them: how each is doing, and what can be done about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import addresses
from datacatalog.linkedstores.basestore.store import now
from datacatalog.linkedstores.subscriptions import DEFINITION, SubscriptionExists, Subscriptions
from manager.exceptions import InvalidSettings
from manager.subscriptions import actor, definition, replaying, roster
from manager.subscriptions.posting import DeliveryFailed
from pipelinejobs.exceptions import CommandError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from datacatalog.linkedstores.basestore.paging import Page
    from datacatalog.linkedstores.pipelinejob.untold import Lag
    from datacatalog.mongo import Document
    from manager.subscriptions.subscriber import Subscriber
    from pipelinejobs.backend import Backend

WELL, BEHIND, FAILING, ENDED, ABSENT = "ok", "behind", "failing", "ended", "not in the settings"
MAX_LAG_SECONDS = 60.0
FIELDS = (
    *("name", "where", "only", "origin", "status", "lag_events", "lag_jobs", "lag_seconds"),
    *("dead", "delivered", "failed", "last_delivery", "error", "error_date", "until"),
)
"""What is known of a subscription."""
LETTER_FIELDS = ("id", "subscriber", "job_uuid", "event", "date", "died", "tries", "reason")
"""What is known of a dead letter."""
SETTINGS, KEPT = "settings", "database"


class _Place(NamedTuple):
    """What is told where."""

    where: str = ""
    only: str = ""
    """what it is told of; empty for everything"""
    origin: str = SETTINGS


class Health(NamedTuple):
    """How it goes with one subscription."""

    name: str
    place: _Place
    status: str
    lag: Lag
    dead: int
    kept: Mapping[str, Any]

    @property
    def lag_seconds(self) -> float:
        """For how long the first event waits that was not told."""
        return 0.0 if self.lag.oldest is None else (now() - self.lag.oldest).total_seconds()

    def row(self) -> dict[str, Any]:
        """Return it as a row of a table."""
        return {
            "name": self.name,
            "where": self.place.where,
            "only": self.place.only or None,
            "origin": self.place.origin,
            "status": self.status,
            "lag_events": self.lag.events,
            "lag_jobs": self.lag.jobs,
            "lag_seconds": round(self.lag_seconds),
            "dead": self.dead,
            "delivered": self.kept.get("delivered", 0),
            "failed": self.kept.get("failed", 0),
            "last_delivery": self.kept.get("last_delivery"),
            "error": self.kept.get("note") or self.kept.get("error"),
            "error_date": self.kept.get("error_date"),
            "until": self.kept.get("until"),
        }


def overview(backend: Backend) -> list[Health]:
    """Return how it goes with all subscriptions; nothing is changed.

    Raises:
        InvalidSettings: one in the settings makes no sense.
    """
    subscriptions = Subscriptions(backend.jobs.db)
    kept, places = subscriptions.kept(), _places(backend)
    found = []
    for name in sorted({*kept, *places}):
        document = kept.get(name, {})
        lag = backend.jobs.untold.lag(name)
        place = places.get(name, _Place())
        if name not in places and DEFINITION in document:
            given = document[DEFINITION]
            place = _Place(_shown(str(given.get("url"))), _only(given), KEPT)
        dead = subscriptions.count_dead(name)
        health = Health(name, place, WELL, lag, dead, document)
        found.append(health._replace(status=_status(health)))
    return found


def waiting(backend: Backend, cursor: str | None, limit: int) -> Page:
    """Return who has yet to be told something of which jobs, as `JobSearch.untold` does.

    What waits behind something else, since its subscriber is away, is due when that is tried again.
    """
    kept = Subscriptions(backend.jobs.db).kept()
    page = backend.search.untold(cursor=cursor, limit=limit)
    rows = []
    for row in page.rows:
        subscriber = kept.get(row["subscriber"], {})
        if row["due"] is None and subscriber.get("failures"):
            row |= {"due": subscriber.get("until"), "reason": subscriber.get("error")}
        rows.append(row)
    return page._replace(rows=rows)


def behind(backend: Backend) -> list[str]:
    """Return the names of the subscribers that have yet to be told something."""
    kept = Subscriptions(backend.jobs.db).kept()
    return [name for name in sorted(kept) if backend.jobs.untold.is_behind(name)]


def _places(backend: Backend) -> dict[str, _Place]:
    """Return what is told where, of the subscriptions in the settings."""
    rx = backend.reactor()
    found = {
        each.name: _Place(_shown(each.url), _only(vars(each)))
        for each in definition.of_settings(rx)
    }
    if events_manager := actor.actor_id(rx):
        found[actor.NAME] = _Place(f"actor {events_manager}")
    return found


def _only(given: Mapping[str, Any]) -> str:
    """Return of which events, states and pipelines a subscriber is told; empty for all."""
    chosen = {name: given.get(name) for name in ("events", "states", "pipelines")}
    lists = {name: each for name, each in chosen.items() if isinstance(each, list | tuple) and each}
    return "; ".join(f"{name} {', '.join(map(str, each))}" for name, each in lists.items())


def _status(health: Health) -> str:
    if health.kept.get("ended"):
        return ENDED
    if not health.place.where:
        return ABSENT
    if health.kept.get("failures"):
        return FAILING
    return BEHIND if health.lag_seconds > MAX_LAG_SECONDS else WELL


def _shown(url: str) -> str:
    """Return a URL without what may be secret in it: the user, the password and the query."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "not a URL"
    query = "?…" if parts.query else ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}{query}"


def add(backend: Backend, given: Mapping[str, Any]) -> None:
    """Keep a subscription in the database, from now on.

    Raises:
        CommandError: there is one of this name, or there is no such pipeline.
        UsageError: it makes no sense.
    """
    pipelines = [backend.pipeline_uuid(name) for name in given.get("pipelines") or ()]
    given = {**given, "pipelines": pipelines}
    try:
        made = definition.parse(dict(given), backend.environ)
    except InvalidSettings as error:
        raise UsageError(str(error).removeprefix("settings: ")) from error
    host = urlsplit(made.url).hostname or ""
    if addresses.is_named_private(host) and not made.allow_private:
        message = f"{host} is a private address: add it with --allow-private"
        raise UsageError(message)
    fields = {name: value for name, value in given.items() if name != "name" and value}
    try:
        if made.name in _places(backend):
            message = f"there is a subscription {made.name!r} in the settings"
            raise CommandError(message)
        Subscriptions(backend.jobs.db).add(made.name, fields)
    except SubscriptionExists as error:
        raise CommandError(str(error)) from error


def remove(backend: Backend, name: str) -> None:
    """Drop a subscription, what it has yet to be told, and its dead letters.

    Raises:
        CommandError: there is none, or it is in the settings.
    """
    if name in _places(backend):
        message = (
            f"{name} is in the settings: take it out there, and then remove what is kept of it"
        )
        raise CommandError(message)
    if not Subscriptions(backend.jobs.db).remove(name):
        raise _unknown(name)
    backend.jobs.untold.forget(name)


def test(backend: Backend, name: str) -> str:
    """Send a test; return what it was answered.

    Raises:
        CommandError: there is no such subscription, or it did not answer well.
    """
    subscriber = _subscriber(backend, name)
    try:
        answer = subscriber.test()
    except DeliveryFailed as failure:
        message = f"{name}: {failure}"
        raise CommandError(message) from failure
    finally:
        subscriber.close()
    return f"HTTP status {answer.status}"


def replay(backend: Backend, name: str, key: str | None = None) -> replaying.Replayed:
    """Tell a subscriber what became dead letters, and try at once what has failed.

    Args:
        backend: where.
        name: of the subscription.
        key: of one dead letter; None for all.

    Returns:
        What became of them.

    Raises:
        CommandError: there is no such subscription or dead letter.
    """
    subscriptions = Subscriptions(backend.jobs.db)
    subscriber = _subscriber(backend, name)
    letters: list[Document] = subscriptions.dead_letters(name, limit=0)
    if key is not None:
        letters = [each for each in letters if each["_id"] == key]
        if not letters:
            message = f"{name} has no dead letter {key!r:.80}"
            raise CommandError(message)
    subscriptions.retry(name)
    try:
        return replaying.replay(subscriber, letters, backend.jobs, subscriptions)
    finally:
        subscriber.close()


def dead_letters(backend: Backend, name: str | None = None, limit: int = 100) -> list[Document]:
    """Return dead letters as rows of a table, the oldest event first.

    Raises:
        CommandError: there is no subscription of this name, nor a dead letter of a former one.
    """
    subscriptions = Subscriptions(backend.jobs.db)
    found = subscriptions.dead_letters(name, limit=limit)
    if name is not None and not found and name not in {*subscriptions.kept(), *_places(backend)}:
        raise _unknown(name)
    rows = ({"id": each["_id"], **each} for each in found)
    return [{name: row.get(name) for name in LETTER_FIELDS} for row in rows]


def _subscriber(backend: Backend, name: str) -> Subscriber:
    subscribers, kept = roster.read(backend.reactor(), backend.jobs, Subscriptions(backend.jobs.db))
    for each in subscribers:
        if each.name == name:
            return each
    if kept.get(name, {}).get("ended"):
        message = f"{name} has ended: {kept[name].get('note')}; remove it, and add it again"
        raise CommandError(message)
    raise _unknown(name)


def _unknown(name: str) -> CommandError:
    return CommandError(
        f"there is no subscription {name!r:.60}: see `pipelinejobs subscriptions ls`"
    )
