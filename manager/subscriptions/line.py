"""One subscriber's line: what it is told next, in a thread of its own, so that nobody waits for it."""

from __future__ import annotations

import datetime
import random
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from datacatalog import mongo
from datacatalog.linkedstores.basestore.store import now
from datacatalog.linkedstores.pipelinejob.replay import DAMAGE, unreadable
from datacatalog.linkedstores.pipelinejob.untold import UNTOLD, total
from manager.subscriptions.posting import (
    ANSWER_SECONDS,
    MAX_RETRY_AFTER,
    DeliveryFailed,
    Unformattable,
)
from manager.subscriptions.subscriber import News, moment_of, tell

if TYPE_CHECKING:
    from datacatalog.linkedstores.subscriptions import Noted, Subscriptions
    from datacatalog.mongo import Document
    from manager.subscriptions.dispatcher import Dispatcher
    from manager.subscriptions.handout import Handout
    from manager.subscriptions.subscriber import Subscriber

FIRST_PAUSE, MAX_PAUSE, MAX_SILENCE = 1.0, 3600.0, 300.0
"""Until an event is tried again, the longest for one event, and the longest for a subscriber."""
_LATEST = max(MAX_PAUSE, MAX_RETRY_AFTER)
"""Seconds for which an event is put off: what is due later was noted before the clock was set back."""
MAX_QUEUED = 200
LATE_SECONDS = 5.0
_DOUBLINGS = 16
MARK_SECONDS = 0.5
"""After which it is noted how far a job was told, where that goes on: so much of it is told again after a crash."""
_PAGE, _TURN = 50, 50
_MOMENT, _REST = 0.02, 0.5


class Limits(NamedTuple):
    """When an event that a subscriber cannot be told becomes a dead letter."""

    attempts: int = 50
    age: float = 7 * 86_400.0


class Line:
    """Tells one subscriber, one event after the other.

    Args:
        subscriber: who.
        dispatcher: hands out what is new.
        subscriptions: where it is noted how it goes.
        failures: in a row, until the subscriber is left alone for a while.
        kept: what is known of the subscription.
        backlog: whether the subscriber may be behind on a job.
    """

    def __init__(
        self,
        subscriber: Subscriber,
        dispatcher: Dispatcher,
        subscriptions: Subscriptions,
        *,
        failures: int,
        kept: Document,
        backlog: bool,
    ) -> None:
        self.subscriber = subscriber
        self.name = subscriber.name
        self.queue: deque[Handout] = deque()
        self.backlog = backlog
        self.ended = False
        """whether the subscriber has unsubscribed"""
        self.closed = False
        """whether it is told nothing any more"""
        self.delivered = 0
        self._dispatcher = dispatcher
        self._subscriptions = subscriptions
        self._most_failures = failures
        self._failures = int(kept.get("failures") or 0)
        until = kept.get("until")
        wait = seconds_until(until) if until else 0.0
        self._until = time.monotonic() + max(0.0, min(MAX_RETRY_AFTER, wait))
        self._retry = kept.get("retry")
        self._late = 0.0
        self._rests = 0.0
        self._cursor: tuple[datetime.datetime, Any] | None = None
        self._unfinished: set[str] = set()
        self._told_too_late: dict[object, int] = {}
        """by jobs, the last entry that was told after the others had stopped waiting for it"""
        self._has_told = self._is_kept_waiting = False
        self._is_looking = False
        """whether it is still unknown if there is something that it is behind on"""
        self._counts = {"delivered": 0, "failed": 0, "dead": 0}
        self._values: Document = {}
        self.news = threading.Condition(dispatcher.lock)
        self._thread = threading.Thread(target=self._run, name=f"tell {self.name}", daemon=True)

    def start(self) -> None:
        """Begin to tell."""
        self._thread.start()

    def join(self, seconds: float) -> None:
        """Wait until the thread has ended, at most so long."""
        self._thread.join(seconds)

    @property
    def is_left_alone(self) -> bool:
        """Whether the subscriber has failed, and is not to be asked yet."""
        return self.ended or time.monotonic() < self._until

    @property
    def is_ready(self) -> bool:
        """Whether it would be told something new at once."""
        moment = time.monotonic()
        busy = self.backlog or len(self.queue) >= MAX_QUEUED or moment < self._late
        return not (busy or self.is_left_alone)

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to do at the moment."""
        return not self.queue and (
            not (self.backlog or self._is_looking)
            or self.is_left_alone
            or (time.monotonic() < self._rests and not self._is_kept_waiting)
        )

    def leave_behind(self, *, late: bool) -> None:
        """Have it look at what it is behind on.

        Args:
            late: it was too slow for the others to wait, and is not waited for in a while.
        """
        if late:
            self._late = time.monotonic() + LATE_SECONDS
        self.backlog = True
        self._rests = 0.0
        self.news.notify()

    def try_again(self, kept: Document) -> None:
        """Forget that the subscriber has failed, if somebody has asked for that."""
        if kept.get("retry") != self._retry:
            self._retry = kept.get("retry")
            self.begin_again()

    def begin_again(self) -> None:
        """Let everything be due at once."""
        self._dispatcher.untold.due_now(self.name)
        self._until = self._rests = 0.0
        self._cursor = None

    def report(self) -> Noted:
        """Return how it went since the last time: what is to be counted, and what has changed."""
        with self._dispatcher.lock:
            counts = {name: count for name, count in self._counts.items() if count}
            values, self._values = self._values, {}
            self._counts = dict.fromkeys(self._counts, 0)
        return counts, values

    # In the thread

    @property
    def _is_over(self) -> bool:
        return self.closed or self._dispatcher.stopping

    def _run(self) -> None:
        while not self._is_over:
            try:
                self._turn()
            except mongo.DatabaseError as error:
                self._dispatcher.logger.warning("%s: %s", self.name, type(error).__name__)
                self._pause(1.0)
        self.subscriber.close()

    def _turn(self) -> None:
        with self._dispatcher.lock:
            handout = self.queue.popleft() if self.queue else None
            if handout is None and (self.is_idle or time.monotonic() < self._rests):
                moment = time.monotonic()
                wake = [t - moment for t in (self._until, self._rests) if t > moment]
                self.news.wait(min([*wake, 1.0]) if self.backlog else 1.0)
                return
        if handout is not None:
            self._tell_new(handout)
        else:
            self._catch_up()

    def _pause(self, seconds: float) -> None:
        with self._dispatcher.lock:
            self.news.wait(seconds)

    def _tell_new(self, handout: Handout) -> None:
        with self._dispatcher.lock:
            if self.name not in handout.waiting:
                return
            if self.is_left_alone:
                self._let_go_on(handout, {})
                return
            news = handout.news
        try:
            self._tell(news)
        except DeliveryFailed as failure:
            place = self._failed_place(news, 1, failure)
            with self._dispatcher.lock:
                is_waited_for = handout.waits_for(self.name, news.number)
                if is_waited_for or failure.gone:
                    self._let_go_on(handout, place)
            if place and not (is_waited_for or failure.gone):
                self._dispatcher.untold.note_failure(handout.job["_id"], self.name, place)
            return
        with self._dispatcher.lock:
            is_waited_for = handout.waits_for(self.name, news.number)
            if is_waited_for:
                handout.was_told(self.name)
                if not handout.waiting:
                    self._dispatcher.progress.notify()
        if not is_waited_for:
            self._told_too_late[handout.job["_id"]] = news.number
            self._dispatcher.untold.note_told(handout.job["_id"], self.name, news.number)

    def _let_go_on(self, handout: Handout, place: Document) -> None:
        """Have the others wait no longer for this subscriber, which was not told."""
        if self.ended:
            handout.drop(self.name)
        else:
            handout.failed[self.name] = place
        self._dispatcher.progress.notify()

    # What it is behind on

    def _catch_up(self) -> None:
        """Walk over some jobs that it is behind on, the longest waiting first, and tell what is due."""
        if self._cursor is None:
            self._unfinished, self._has_told, self._is_kept_waiting = set(), False, False
            self._rests = 0.0
            with self._dispatcher.lock:
                self.backlog, self._is_looking = False, True
        page = self._dispatcher.untold.pending(self.name, self._cursor, _PAGE)
        with self._dispatcher.lock:
            self.backlog = self.backlog or bool(page) or self._cursor is not None
            self._is_looking = False
        for document in page:
            self._cursor = document["since"], document["_id"]
            place, uuid = document["behind"][self.name], document["job_uuid"]
            # another job that had this UUID before goes first
            if uuid in self._unfinished:
                continue
            if (due := place.get("due")) and 0 < seconds_until(due) <= _LATEST:
                self._unfinished.add(uuid)
                continue
            if self._tell_what_can_be_read(document, place):
                self._has_told = True
            else:
                self._unfinished.add(uuid)
            with self._dispatcher.lock:
                if self.is_left_alone or self._is_over or self.queue:
                    return
        if len(page) < _PAGE:
            self._cursor = None
            if not self._has_told:
                self._rests = time.monotonic() + (_MOMENT if self._is_kept_waiting else _REST)

    def _tell_what_can_be_read(self, document: Document, place: Document) -> bool:
        """Do as `_tell_job` does; a job that cannot be read waits, and keeps no other waiting."""
        try:
            return self._tell_job(document, place)
        except DAMAGE as error:
            failure = DeliveryFailed(f"the job {unreadable(error)}")
            tries = int(place.get("tries") or 0) + 1
            noted = {"tries": tries, "reason": str(failure), "due": self._due(tries, failure)}
            self._dispatcher.untold.note_failure(document["_id"], self.name, noted)
            return False

    def _tell_job(self, document: Document, place: Document) -> bool:
        """Tell what can be told of one job; tell whether that was anything."""
        untold, job_id = self._dispatcher.untold, document["_id"]
        head = untold.head(job_id)
        if head is None:
            untold.caught_up(job_id, self.name)
            return True
        number = max(place["told"], self._told_too_late.pop(job_id, -1)) + 1
        end = head.get(UNTOLD, total(head))
        told, marked = 0, time.monotonic()
        while number < end and told < _TURN:
            entries = untold.entries(head, max(0, number - 1), _PAGE)
            before = entries.pop(0) if number and entries else None
            if not entries:
                break
            for entry in entries[: end - number]:
                news = News(head, number, entry, before)
                if wants(self.subscriber, news):
                    if not self._tell_behind(news, place if number == place["told"] + 1 else {}):
                        return bool(told)
                    told += 1
                number, before = number + 1, entry
                is_over = self._is_over
                if is_over or time.monotonic() - marked >= MARK_SECONDS:
                    untold.note_told(job_id, self.name, number - 1)
                    marked = time.monotonic()
                if is_over:
                    return True
        return self._note_caught_up(document, number) or bool(told)

    def _note_caught_up(self, document: Document, number: int) -> bool:
        """Note that all of a job was told, unless more has been handed out meanwhile."""
        untold, job_id = self._dispatcher.untold, document["_id"]
        with self._dispatcher.gate:
            if self._dispatcher.has_in_hand(document["job_uuid"]):
                self._is_kept_waiting = True
            else:
                head = untold.head(job_id)
                if head is None or number >= head.get(UNTOLD, total(head)):
                    untold.caught_up(job_id, self.name)
                    return True
        # what is noted of the failures of the next entry stays, where nothing was told
        if number - 1 > document["behind"][self.name]["told"]:
            untold.note_told(job_id, self.name, number - 1)
        return False

    def _tell_behind(self, news: News, failed: Document) -> bool:
        """Tell something that it is behind on; return whether it is done with.

        Args:
            news: what.
            failed: what was noted when it could not be told before.
        """
        untold, job_id = self._dispatcher.untold, news.job["_id"]
        tries = int(failed.get("tries") or 0)
        if failed.get("dead"):
            self._bury(news, tries, str(failed.get("reason")))
            untold.note_told(job_id, self.name, news.number)
            return True
        try:
            self._tell(news)
        except DeliveryFailed as failure:
            if failure.gone:
                return False
            place = self._failed_place(news, tries + 1, failure)
            if not place.get("dead"):
                if place:
                    untold.note_failure(job_id, self.name, {"told": news.number - 1, **place})
                return False
            self._bury(news, tries + 1, str(failure))
            untold.note_told(job_id, self.name, news.number)
        return True

    def _is_dead(self, news: News, tries: int) -> bool:
        moment, limits = moment_of(news.entry), self._dispatcher.limits
        age = (now() - moment).total_seconds() if moment else 0.0
        return tries >= limits.attempts or age > limits.age

    def _bury(self, news: News, tries: int, reason: str) -> None:
        self._subscriptions.bury(
            {
                "subscriber": self.name,
                "job_id": news.job["_id"],
                "job_uuid": news.job["uuid"],
                "number": news.number,
                "event": news.entry.get("name"),
                "date": news.entry.get("date"),
                "reason": reason,
                "tries": tries,
            }
        )
        with self._dispatcher.lock:
            self._counts["dead"] += 1

    # Telling

    def _tell(self, news: News) -> None:
        seconds = min(ANSWER_SECONDS, self._dispatcher.seconds_left())
        try:
            tell(self.subscriber, news, seconds)
        except DeliveryFailed as failure:
            if isinstance(failure, Unformattable):
                self._dispatcher.logger.debug("", exc_info=failure)
            self._note_failure(failure)
            raise
        with self._dispatcher.lock:
            self._failures, self._until = 0, 0.0
            self.delivered += 1
            self._counts["delivered"] += 1
            self._values |= {"last_delivery": now(), "failures": 0, "until": None}

    def _note_failure(self, failure: DeliveryFailed) -> None:
        dispatcher = self._dispatcher
        with dispatcher.lock:
            self._failures += 1
            self._counts["failed"] += 1
            if failure.away or self._failures >= self._most_failures:
                silence = max(failure.retry_after or 0.0, pause(self._failures, MAX_SILENCE))
                self._until = time.monotonic() + silence
                until = now() + datetime.timedelta(seconds=silence)
                self._values["until"] = until
            self._values |= {
                "failures": self._failures,
                "error": str(failure),
                "error_date": now(),
            }
            self.ended = self.ended or failure.gone
        dispatcher.logger.warning("%s: not told: %s", self.name, failure)
        if failure.gone:
            self._subscriptions.end(self.name, f"it answered that it is gone ({failure})")
            dispatcher.untold.forget(self.name)

    def _failed_place(self, news: News, tries: int, failure: DeliveryFailed) -> Document:
        """Return what is noted of a failure: whether the event is a dead letter now, or when it is due."""
        if failure.cut_short:
            return {}
        place = {"tries": tries, "reason": str(failure)}
        if self._is_dead(news, tries):
            return {**place, "dead": True}
        return {**place, "due": self._due(tries, failure)}

    @staticmethod
    def _due(tries: int, failure: DeliveryFailed) -> datetime.datetime:
        wait = max(failure.retry_after or 0.0, pause(tries, MAX_PAUSE))
        return now() + datetime.timedelta(seconds=wait)


def wants(subscriber: Subscriber, news: News) -> bool:
    """Tell whether a subscriber is told of an entry."""
    moment = moment_of(news.entry)
    is_ours = "name" in news.entry and moment is not None and moment >= subscriber.since
    return is_ours and subscriber.wants(news)


def seconds_until(moment: datetime.datetime) -> float:
    """Return the seconds from now to a moment, below 0 if that has passed."""
    return (moment - now()).total_seconds()


def pause(tries: int, longest: float) -> float:
    """Return for how long nothing is tried after a number of failures in a row."""
    bound = min(longest, FIRST_PAUSE * 2 ** min(_DOUBLINGS, tries - 1))
    return random.uniform(bound / 2, bound)  # noqa: S311 - jitter, no secret
