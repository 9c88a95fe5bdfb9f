"""Hands out what has happened: to each subscriber in order, and to none later because of another.

What is new of a job goes at once to all who are ready. Who is not, or takes longer than a moment, is
noted to be behind on that job, and told by its own line (`line`) as fast as it can be. The note is on
disk before the others are told the next entry of that job, so that nobody misses any. How far a job was
handed out is noted when all that was taken of it is, or after a moment: after a crash, what was told in
that moment is told again, in order.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from datacatalog import mongo
from datacatalog.linkedstores.pipelinejob.untold import UNTOLD
from datacatalog.linkedstores.statistics.tally import Tally
from datacatalog.linkedstores.subscriptions import IS_NEW
from manager.subscriptions.handout import Handout
from manager.subscriptions.line import Limits, Line

if TYPE_CHECKING:
    import datetime
    import logging
    from collections.abc import Mapping

    from datacatalog.linkedstores.pipelinejob import PipelineJobStore
    from datacatalog.linkedstores.subscriptions import Subscriptions
    from datacatalog.mongo import Document
    from manager.subscriptions.subscriber import Subscriber

POLL_SECONDS, MAX_POLL_SECONDS = 0.05, 1.0
"""Between two looks for what is new."""
_REST, _MAX_SPARE = 12, 0.05
"""While events come in, the database is left to them for so many times as long as it takes to take what is
new and to note what was told; but for so many seconds of that, which after a rest it has to spare."""
GRACE_SECONDS, MAX_GRACE_SECONDS = 0.1, 1.0
"""For which all others wait for the slowest of them, before the next entry of the same job: that it
takes longer than most, and that it takes at all."""
MARK_SECONDS, GATHER_SECONDS = 0.5, 0.1
"""After which it is noted how far a job was handed out, where that goes on; and for how long jobs of
which all was handed out wait for others, to be noted with them."""
_JOBS, _ENTRIES = 100, 50
_TURNS_WITHOUT_REMOVED = 10


class Dispatcher:
    """Tells the subscribers what is new.

    Args:
        jobs: what happens.
        subscriptions: where it is noted how it goes.
        logger: for what goes wrong.
        limits: when an event becomes a dead letter.
        failures: of a subscriber in a row, until it is left alone for a while.
        seconds: in which all has to be done; None for no end.
    """

    def __init__(
        self,
        jobs: PipelineJobStore,
        subscriptions: Subscriptions,
        logger: logging.Logger,
        *,
        limits: Limits,
        failures: int = 3,
        seconds: float | None = None,
    ) -> None:
        self.untold = jobs.untold
        self.tally = Tally(jobs)
        """what is handed out is counted before it counts as handed out"""
        self.logger = logger
        self.limits = limits
        self.stopping = False
        self.lock = threading.Lock()
        """for what the lines and this one share"""
        self.gate = threading.Lock()
        """while it is decided who is told what is new, nobody leaves those who are behind"""
        self.progress = threading.Condition(self.lock)
        self._subscriptions = subscriptions
        self._failures = failures
        self._deadline = None if seconds is None else time.monotonic() + seconds
        self._lines: dict[str, Line] = {}
        self._names: set[str] = set()
        """of those who are told, by this process or by others"""
        self._handouts: dict[object, Handout] = {}
        self._polled = 0.0
        self._wait = POLL_SECONDS
        self._spare = _MAX_SPARE
        self._marked = 0.0
        self._turns = 0

    def seconds_left(self) -> float:
        """Return how much time there is for anything."""
        if self._deadline is None:
            return float("inf")
        return max(0.05, self._deadline - time.monotonic())

    @property
    def delivered(self) -> int:
        """How many events were told."""
        return sum(line.delivered for line in self._lines.values())

    def serve(
        self,
        subscribers: list[Subscriber],
        kept: Mapping[str, Document],
        *,
        at_once: bool = False,
    ) -> None:
        """Tell these from now on, and nobody else.

        Args:
            subscribers: those whom this process can tell.
            kept: what is kept of subscriptions; who is named there alone is told later by others.
            at_once: whether to try at once what those have failed at who were not told before.
        """
        by_name = {each.name: each for each in subscribers}
        names = {*by_name, *(n for n, found in kept.items() if not found.get("ended"))}
        for name, line in [*self._lines.items()]:
            # who was removed and added again is another one of the same name
            if name not in by_name or by_name[name].since != line.subscriber.since:
                self._close(name)
        for name in self._names - names:
            self._forget(name)
        self._names = names
        for name, found in kept.items():
            if found.get(IS_NEW):
                self._begin(name, found["since"])
        for name, subscriber in by_name.items():
            if name in self._lines:
                self._lines[name].try_again(kept.get(name, {}))
                continue
            line = Line(
                subscriber,
                self,
                self._subscriptions,
                failures=self._failures,
                kept=kept.get(name, {}),
                backlog=self.untold.is_behind(name),
            )
            self._lines[name] = line
            if at_once:
                line.begin_again()
            line.start()

    def _close(self, name: str) -> None:
        """Tell a subscriber nothing more by its present line."""
        with self.lock:
            self._lines.pop(name).closed = True
            for handout in self._handouts.values():
                if name in handout.waiting:
                    # the others need not wait for it
                    handout.failed.setdefault(name, {})

    def _begin(self, name: str, since: datetime.datetime) -> None:
        """Have a new subscriber told what was handed out before it was known here."""
        self._drop(name)
        self.untold.begin(name, since, self._handouts)
        self._subscriptions.begun(name, since)

    def _forget(self, name: str) -> None:
        """Drop what a subscriber has yet to be told who was removed, or has unsubscribed."""
        self._drop(name)
        # once more: whoever has removed it did not know what was in hand
        self.untold.forget(name)

    def _drop(self, name: str) -> None:
        with self.lock:
            for handout in self._handouts.values():
                handout.drop(name)

    def has_in_hand(self, job_uuid: str) -> bool:
        """Tell whether something of a job is being handed out."""
        return any(each.job["uuid"] == job_uuid for each in [*self._handouts.values()])

    def step(self) -> bool:
        """Do what can be done at the moment; tell whether anything is still to be done."""
        if time.monotonic() - self._polled >= self._wait:
            self._take()
        with self.lock:
            if not self._is_time_to_settle():
                self.progress.wait(POLL_SECONDS if not self._handouts else POLL_SECONDS / 4)
        self._settle()
        return bool(self._handouts) or not all(line.is_idle for line in [*self._lines.values()])

    def _is_time_to_settle(self) -> bool:
        """Tell whether others wait for it; else it is done for many jobs in one."""
        settled = [each.is_settled for each in self._handouts.values()]
        goes_on = any(each.is_settled and not each.is_last for each in self._handouts.values())
        return goes_on or (bool(settled) and all(settled))

    def finish(self) -> None:
        """Stop: wait a moment for what is being told, and note where everybody is."""
        with self.lock:
            self.stopping = True
            for line in self._lines.values():
                line.news.notify()
        end = time.monotonic() + min(MAX_GRACE_SECONDS, self.seconds_left())
        for line in self._lines.values():
            line.join(max(0.0, end - time.monotonic()))
        self._settle(longest=0.0, at_once=True)
        self.report()

    def report(self) -> None:
        """Note how it goes with each subscriber."""
        self._subscriptions.note({name: line.report() for name, line in self._lines.items()})

    # Handing out

    def _take(self) -> None:
        """Take what is new of some jobs."""
        moment = time.monotonic()
        self._spare = min(_MAX_SPARE, self._spare + (moment - self._polled) / _REST)
        self._polled = moment
        self._turns += 1
        new: list[Handout] = []
        with self.gate:
            limit = _JOBS + len(self._handouts)
            # the lowest numbers first, then the highest: none waits forever
            heads = self.untold.fresh(
                limit,
                descending=self._turns % 2 == 0,
                removed=self._turns % _TURNS_WITHOUT_REMOVED == 1,
            )
            heads = [head for head in heads if head["_id"] not in self._handouts]
            self._wait = POLL_SECONDS
            if not heads:
                return
            behind = self.untold.laggards({head["uuid"] for head in heads})
            uuids = {each.job["uuid"] for each in self._handouts.values()}
            for head in heads:
                if head["uuid"] in uuids:
                    # the one that was removed goes first
                    continue
                uuids.add(head["uuid"])
                documents = behind.get(head["uuid"], [])
                late = {name for each in documents for name in each["who"]}
                own = {
                    name for each in documents if each["_id"] == head["_id"] for name in each["who"]
                }
                handout = Handout(head, self._names - late)
                for name in (late - own) & self._names:
                    handout.left[name] = {"told": head[UNTOLD] - 1}
                self._handouts[head["_id"]] = handout
                new.append(handout)
        jobs = [handout.job for handout in new]
        try:
            found = self.untold.next_entries(jobs, _ENTRIES)
            self.tally.count(jobs)
        except mongo.DatabaseError:
            # as if nobody had looked: what is in hand and waits for nobody would count as told
            for job in jobs:
                del self._handouts[job["_id"]]
            raise
        for handout, entries in zip(new, found, strict=True):
            if entries is None:
                uuid = handout.job["uuid"]
                self.logger.warning("job %s cannot be read: see pipelinejobs verify", uuid)
                handout.leave_all()
            else:
                handout.load(entries)
        self._spend(self._polled)
        self._wait = min(max(POLL_SECONDS, -self._spare * _REST), MAX_POLL_SECONDS)
        with self.lock:
            for handout in new:
                handout.offer(self._lines)

    def _spend(self, since: float) -> None:
        """Count for how long the database was asked."""
        self._spare -= time.monotonic() - since

    def _settle(self, longest: float = MAX_GRACE_SECONDS, *, at_once: bool = False) -> None:
        """Go on with the next entries, and note how far jobs were handed out, at once or in a moment."""
        with self.lock:
            late = {
                name
                for handout in self._handouts.values()
                for name in handout.leave_late(GRACE_SECONDS, longest)
            }
            ready = [each for each in self._handouts.values() if not each.waiting]
            left = [each for handout in ready if (each := handout.what_is_left()) is not None]
        # first who is behind, then the mark: after a crash in between, somebody is told again
        self.untold.leave_behind(left)
        self._mark(ready, at_once=at_once)
        with self.lock:
            for handout in ready:
                for name in handout.left:
                    if name in self._lines:
                        self._lines[name].leave_behind(late=name in late)
                handout.left = {}
                if not handout.is_over:
                    handout.number += 1
                    handout.offer(self._lines)

    def _mark(self, ready: list[Handout], *, at_once: bool) -> None:
        """Note how far jobs were handed out, many at once, and let those go of which all was."""
        moment = time.monotonic()
        is_time = at_once or moment - self._marked >= GATHER_SECONDS
        is_time = is_time or all(each.is_over for each in self._handouts.values())
        since = moment if at_once else moment - MARK_SECONDS
        marked = [each for each in ready if (is_time if each.is_over else each.marked <= since)]
        if not marked:
            return
        moves = [(each.job, each.told, each.is_over and each.is_all) for each in marked]
        self.untold.advance(moves)
        self.tally.was_handed_out({each.job["_id"]: each.told for each in marked})
        self._spend(moment)
        self._marked = time.monotonic()
        for each in marked:
            each.marked = self._marked
            if each.is_over:
                if not each.is_all:
                    # there is more of this job
                    self._wait = 0.0
                del self._handouts[each.job["_id"]]
