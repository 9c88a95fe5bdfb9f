"""Who hands out and counts, and for how long: an execution for a second, a drain to the end, a dispatcher always."""

from __future__ import annotations

import os
import secrets
import socket
import time
from typing import TYPE_CHECKING

from datacatalog import mongo
from datacatalog.linkedstores.pipelinejob.untold import total
from datacatalog.linkedstores.statistics.reader import Statistics
from datacatalog.linkedstores.statistics.tally import Tally
from datacatalog.linkedstores.subscriptions import Subscriptions
from manager.exceptions import InvalidSettings
from manager.settings import section_of
from manager.subscriptions import roster
from manager.subscriptions.dispatcher import POLL_SECONDS, Dispatcher
from manager.subscriptions.line import Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from datacatalog.linkedstores.pipelinejob import PipelineJobStore
    from datacatalog.linkedstores.pipelinejob.untold import Untold
    from datacatalog.mongo import Document
    from manager.subscriptions.subscriber import Subscriber
    from reactors.runtime import Reactor

DRAIN_SECONDS = 600.0
HANDOVER_SECONDS = 10.0
REBUILD_SECONDS = 600.0
_REFRESH_SECONDS, _LEASE_SECONDS = 1.0, 5.0
_LOOK_SECONDS = 3.0
"""After which it is looked at again what seldom is there: refused events, removed jobs, nothing counted yet."""
_AGAIN_SECONDS = 60.0
"""After which everything is counted again that could not be counted."""
_MAX_COUNTED = 500
"""Jobs at once, where nobody is told anything."""
_MARK_SECONDS = 10.0
"""After which it is noted of all jobs that they were counted, for whoever subscribes and begins there."""


class Lease:
    """The right to hand out, which one process has at a time."""

    def __init__(self, untold: Untold) -> None:
        self._untold = untold
        self._host = socket.gethostname()
        self._name = f"{self._host}:{os.getpid()}:{secrets.token_hex(4)}"
        self._extended = 0.0

    def take(self) -> bool:
        """Take it, or from a process of this machine that has died; tell whether we have it."""
        if not self._untold.lease(self._name):
            holder = self._untold.holder()
            if holder is None or not self._is_dead(holder):
                return False
            self._untold.release(holder)
            if not self._untold.lease(self._name):
                return False
        self._extended = time.monotonic()
        return True

    def keep(self) -> bool:
        """Extend it now and then; tell whether we still have it."""
        if time.monotonic() - self._extended < _LEASE_SECONDS:
            return True
        return self.take()

    def give_back(self) -> None:
        """Let others have it."""
        self._untold.release(self._name)

    def _is_dead(self, holder: str) -> bool:
        host, _, rest = holder.partition(":")
        pid = rest.partition(":")[0]
        if host != self._host or not pid.isdecimal():
            return False
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            return True
        except OSError:
            return False
        return False


def deliver(
    rx: Reactor, jobs: PipelineJobStore, *, seconds: float, failures: int, at_once: bool = False
) -> int:
    """Tell what is new, and what has waited until now; return how many events were told.

    Args:
        rx: with the settings.
        jobs: what happens.
        seconds: in which all has to be done.
        failures: of a subscriber in a row, until it is left alone.
        at_once: whether to try at once what has failed before.
    """
    end = time.monotonic() + seconds
    lease, told = Lease(jobs.untold), 0
    subscriptions = Subscriptions(jobs.db)
    while time.monotonic() < end and lease.take():
        try:
            subscribers, kept = roster.read(rx, jobs, subscriptions)
            dispatcher = Dispatcher(
                jobs,
                subscriptions,
                rx.logger,
                limits=limits_of(rx),
                failures=failures,
                seconds=end - time.monotonic(),
            )
            try:
                dispatcher.serve(subscribers, kept, at_once=at_once)
                while dispatcher.step() and time.monotonic() < end and lease.keep():
                    pass
            finally:
                dispatcher.finish()
                told += dispatcher.delivered
        finally:
            lease.give_back()
        # who came while we had the lease has left it to us
        if not jobs.untold.fresh(1):
            break
        at_once = False
    rx.logger.debug("events told: %d", told)
    return told


def drain(rx: Reactor, jobs: PipelineJobStore) -> tuple[int, int]:
    """Do as `announcements.drain` does; where a dispatcher runs, have that do it."""
    told = deliver(rx, jobs, seconds=DRAIN_SECONDS, failures=3, at_once=True)
    if jobs.untold.holder() is not None:
        subscriptions = Subscriptions(jobs.db)
        for name in subscriptions.kept():
            subscriptions.retry(name)
        end = time.monotonic() + HANDOVER_SECONDS
        while jobs.untold.count() and time.monotonic() < end:
            time.sleep(POLL_SECONDS)
    return told, jobs.untold.count()


def dispatch(rx: Reactor, jobs: PipelineJobStore, is_over: Callable[[], bool]) -> None:
    """Tell everybody what happens, from the moment that it does, until told to stop."""
    lease = Lease(jobs.untold)
    complaint = ""
    while not is_over():
        try:
            if lease.take():
                _hold(rx, jobs, lease, is_over)
            complaint = ""
        except (mongo.DatabaseError, InvalidSettings) as error:
            if isinstance(error, InvalidSettings):
                problem = str(error)
            else:
                problem = mongo.explain(error, section_of(rx.settings, "mongodb"))
            # what is said once need not be said each time
            if complaint != problem:
                complaint = problem
                rx.logger.warning("no subscriber is told anything: %s", complaint)
        time.sleep(_REFRESH_SECONDS / 2)


def _hold(rx: Reactor, jobs: PipelineJobStore, lease: Lease, is_over: Callable[[], bool]) -> None:
    """Hand out, and count, for as long as we have the lease."""
    subscriptions = Subscriptions(jobs.db)
    dispatcher = Dispatcher(jobs, subscriptions, rx.logger, limits=limits_of(rx))
    refreshed = looked = again = marked = 0.0
    is_served = False

    def goes_on() -> bool:
        return not is_over() and lease.keep()

    try:
        while goes_on():
            moment = time.monotonic()
            if moment - refreshed >= _REFRESH_SECONDS:
                refreshed = moment
                subscribers, kept = roster.read(rx, jobs, subscriptions)
                dispatcher.serve(subscribers, kept)
                dispatcher.report()
                is_served = _is_anybody_told(subscribers, kept)
                looks = moment - looked >= _LOOK_SECONDS
                if looks:
                    looked = moment
                    is_due = moment >= again and not dispatcher.tally.is_there()
                    if is_due and not _try_rebuild(rx, jobs, dispatcher.tally, goes_on, is_served):
                        again = moment + _AGAIN_SECONDS
                    dispatcher.tally.count_refused()
                if not is_served:
                    marks_all = moment - marked >= _MARK_SECONDS
                    _count_all(jobs, dispatcher.tally, goes_on, marks_all=marks_all, removed=looks)
                    marked = moment if marks_all else marked
            if is_served:
                dispatcher.step()
                continue
            time.sleep(_REFRESH_SECONDS / 4)
    finally:
        dispatcher.finish()
        lease.give_back()


def _is_anybody_told(subscribers: list[Subscriber], kept: Mapping[str, Document]) -> bool:
    """Tell whether there are subscribers, of this process or of others."""
    return bool(subscribers) or any("ended" not in each for each in kept.values())


def _try_rebuild(
    rx: Reactor,
    jobs: PipelineJobStore,
    tally: Tally,
    goes_on: Callable[[], bool],
    is_served: bool,
) -> bool:
    """Count everything again; tell whether the database has let us: the subscribers need not wait for it."""
    try:
        _rebuild(jobs, tally, goes_on, is_served)
    except mongo.DatabaseError as error:
        rx.logger.warning("what happened could not be counted: %s", type(error).__name__)
        return False
    return True


def _rebuild(
    jobs: PipelineJobStore, tally: Tally, goes_on: Callable[[], bool], is_served: bool
) -> bool:
    """Count everything again; tell whether it was done."""
    if not is_served:
        # how far each of them was counted need not be remembered then
        jobs.untold.forget_all()
    return tally.rebuild(goes_on)


def _count_all(
    jobs: PipelineJobStore,
    tally: Tally,
    goes_on: Callable[[], bool],
    *,
    marks_all: bool,
    removed: bool = True,
) -> None:
    """Count what is new, of which nobody is to be told.

    What comes meanwhile is counted next time, with what comes until then: each count costs the database
    as much as some events. To mark a job costs as much as one, so a job that has events all the time is
    not marked each time: the journal says how far it was counted.

    Args:
        jobs: what happens.
        tally: which counts.
        goes_on: whether this process is still the one who may.
        marks_all: whether those jobs are to be marked, too.
        removed: whether to look for removed jobs also where there is no other.
    """
    while goes_on() and (heads := jobs.untold.fresh(_MAX_COUNTED, removed=removed)):
        quiet = {head["_id"]: head for head in heads if tally.has_counted(head)}
        counted = tally.count([head for head in heads if head["_id"] not in quiet])
        is_last = len(heads) < _MAX_COUNTED
        gone = [head for head in heads if head.get("_removed")]
        done = [*quiet.values(), *gone, *(counted if marks_all or not is_last else ())]
        if done:
            jobs.untold.advance([(job, total(job), True) for job in done])
            tally.was_handed_out({job["_id"]: total(job) for job in done})
        if is_last or not done:
            return


def catch_up(rx: Reactor, jobs: PipelineJobStore, *, rebuild: bool = False) -> bool:
    """Count what is new where no dispatcher does; tell whether everything is counted.

    Args:
        rx: with the settings.
        jobs: what happens.
        rebuild: count everything again; where a dispatcher runs, have that do it.
    """
    lease, tally, statistics = Lease(jobs.untold), Tally(jobs), Statistics(jobs.db)
    if rebuild:
        tally.forget()
    end = time.monotonic() + REBUILD_SECONDS
    while not lease.take():
        if statistics.counted() is not None or time.monotonic() > end:
            return statistics.counted() is not None
        time.sleep(_REFRESH_SECONDS / 4)
    try:
        subscribers, kept = roster.read(rx, jobs, Subscriptions(jobs.db))
        is_served = _is_anybody_told(subscribers, kept)
        if not tally.is_there() and not _rebuild(jobs, tally, lease.keep, is_served):
            return False
        tally.count_refused()
        if is_served:
            # who tells them counts
            return jobs.untold.fresh(1) == []
        _count_all(jobs, tally, lease.keep, marks_all=True)
        return True
    finally:
        lease.give_back()


def limits_of(rx: Reactor) -> Limits:
    """Return when an event becomes a dead letter."""
    section = section_of(rx.settings, "deliveries")
    given = {name: section.get(name) for name in Limits._fields}
    return Limits(**{name: value for name, value in given.items() if value is not None})
