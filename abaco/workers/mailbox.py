"""The mailbox of an actor, in memory: which message comes next.

Senders take turns, so that nobody waits for all that somebody else has sent. Messages of one sender
with one ordering key (`ordered_by` in `images.yml`) come in the order in which they were sent, one at
a time, or several at once that one worker handles together, with those of other keys; of messages with
the same key, whoever sent them, no two workers run any.

A message that could not be handled since something was away comes again later, and those behind
it with the same key wait for it. While that holds for the message tried last, one is tried at a
time, and not one after the other at once: what is away for one is probably away for all.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from abaco.store.executions import Message, Submission

FIRST_DELAY, MAX_DELAY = 1.0, 60.0
FIRST_PAUSE, MAX_PAUSE = 0.25, 5.0
GATHER_SECONDS = 0.1
"""From one batch to the next, for messages that can be handled together and for whose answers nobody waits."""


@dataclass(slots=True, eq=False)
class Entry:
    """A message that waits, or runs.

    Attributes:
        sequence: its place among all messages on disk; 0 if it came to its mailbox before it was there.
        execution_id: of its execution.
        sender: whose turn it is when it comes.
        key: by which it is ordered; None if it is not.
        message: what it says; None if it has to be read again.
        attempts: how often it was begun and its process was killed.
        tries: how often it could not be handled yet.
        reason: why not.
        fresh: whether no worker ever had it.
        answered: whether somebody waits for the answer, to whom a failure is told instead of tried
            again.
        alone: whether it is to run by itself, since it could not be handled with others.
        unwritten: what it is written as; None if it is on disk, or will be before what follows.
        place: its place in the mailbox, which that sets.
    """

    sequence: int
    execution_id: str
    sender: str
    key: str | None = None
    message: Message | None = None
    attempts: int = 0
    tries: int = 0
    reason: str = ""
    fresh: bool = False
    answered: bool = False
    alone: bool = False
    unwritten: Submission | None = None
    place: int = 0


@dataclass(slots=True, eq=False)
class _Lane:
    """What one sender has sent with one key."""

    sender: str
    key: object
    entries: deque[Entry] = field(default_factory=deque)
    ready: bool = False
    """whether it is among its sender's lanes that may run"""
    due: float = 0.0
    """before when its first message is not tried again"""
    taken: int = 0
    """how many messages at its beginning run"""


class Mailbox:
    """The messages of one actor. Times are seconds of a monotonic clock."""

    def __init__(self) -> None:
        self._lanes: dict[tuple[str, object], _Lane] = {}
        self._ready: OrderedDict[str, list[tuple[int, _Lane]]] = OrderedDict()
        """the lanes that may run, by sender: whose turn is next comes first"""
        self._late: list[tuple[float, int, _Lane]] = []
        """the lanes that are tried again later"""
        self._held: dict[object, list[_Lane]] = {}
        """the lanes that wait for a running message of another sender with their key"""
        self._running: dict[object, _Lane] = {}
        self._gathers_until = 0.0
        """before when what can be handled together is left to gather"""
        self._hurries = False
        """whether a message may be waiting that was interrupted, or for whose answer somebody waits"""
        self._failures = 0
        self._paused_until = 0.0
        self._size = 0
        self._places = itertools.count()

    def __len__(self) -> int:
        """Return how many messages wait."""
        return self._size

    @property
    def is_idle(self) -> bool:
        """Whether no message waits or runs, and one that comes may run at once."""
        return not (self._size or self._running or self._failures)

    @property
    def running(self) -> int:
        """How many messages run."""
        return sum(lane.taken for lane in self._running.values())

    def add(self, entry: Entry, *, due: float = 0.0) -> None:
        """Take a message in; before `due` it is not tried."""
        entry.place = next(self._places)
        key = entry if entry.key is None else entry.key
        lane = self._lanes.setdefault((entry.sender, key), _Lane(entry.sender, key))
        lane.entries.append(entry)
        self._size += 1
        self._hurries = self._hurries or entry.answered
        if len(lane.entries) == 1:
            lane.due = due
            self._offer(lane)

    def take(
        self, now: float, most: int = 1, may_join: Callable[[Entry], bool] = lambda _: True
    ) -> list[Entry]:
        """Return the next message, which is running then; an empty list if none may run now.

        After some that are handled together, those that come gather for a moment: all of them in one batch
        cost less than each by itself. If somebody waits for the answer to any, they gather while the others
        run. A batch that is full does not wait, nor does a message that runs by itself and whose turn it is.

        Args:
            now: the time.
            most: how many to return at most, if they have keys and none of them has failed before.
            may_join: tells whether a message may be among several.
        """
        if self._failures and (self._running or now < self._paused_until):
            return []
        while self._late and self._late[0][0] <= now:
            self._release(heapq.heappop(self._late)[2])

        def joins(entry: Entry) -> bool:
            has_failed = entry.attempts or entry.tries or entry.alone
            return entry.key is not None and not has_failed and may_join(entry)

        gathers = most > 1 and self._size < most and self._gathering(now) > 0.0
        lane = self._next((lambda entry: not joins(entry)) if gathers else lambda _: True)
        if lane is None:
            return []
        if self._failures or most == 1 or not joins(lane.entries[0]):
            return self._begin(lane, [lane.entries[0]])
        self._gathers_until = now + GATHER_SECONDS
        taken: list[Entry] = []
        while lane is not None:
            first = itertools.islice(lane.entries, most - len(taken))
            taken += self._begin(lane, [*itertools.takewhile(joins, first)])
            lane = self._next(joins) if len(taken) < most else None
        return taken

    def _gathering(self, now: float) -> float:
        """Return for how many seconds more messages are left to gather."""
        gathers = self._running or not self._hurries
        return max(0.0, self._gathers_until - now) if gathers else 0.0

    def _begin(self, lane: _Lane, entries: list[Entry]) -> list[Entry]:
        """Let the first messages of a lane run; return them."""
        lane.taken = len(entries)
        self._running[lane.key] = lane
        self._size -= len(entries)
        self._hurries = self._hurries and self._size > 0
        return entries

    def end(self, entry: Entry) -> None:
        """Let a message go that was handled, whatever came of it.

        Of several of a lane that were taken together, the first ones are ended, and the others put back.
        """
        self._failures = 0
        lane = self._lane_of(entry)
        lane.entries.remove(entry)
        lane.due = 0.0
        self._stop(lane)

    def put_back(self, entry: Entry) -> None:
        """Return a message that was interrupted to its place."""
        self._size += 1
        self._hurries = True
        self._stop(self._lane_of(entry))

    def postpone(self, entry: Entry, reason: str, now: float) -> float:
        """Return a message that could not be handled yet to its place; return the seconds until then."""
        entry.tries += 1
        entry.reason = reason
        delay = delay_of(entry.tries)
        self._failures += 1
        pause = min(FIRST_PAUSE * 2.0 ** min(self._failures - 1, 10), MAX_PAUSE)
        self._paused_until = now + pause
        lane = self._lane_of(entry)
        lane.due = now + delay
        self._size += 1
        self._stop(lane)
        return delay

    def ahead_of(self, sender: str, key: str | None) -> Entry | None:
        """Return the message that could not be handled yet and that one of a sender waits for."""
        lane = None if key is None else self._lanes.get((sender, key))
        return lane.entries[0] if lane is not None and lane.entries[0].tries else None

    def remove(self, execution_id: str) -> Entry | None:
        """Drop a message that is to be tried again; return it, None if there is none."""
        lane = next((lane for lane in self._lanes.values() if _waits(lane, execution_id)), None)
        if lane is None:
            return None
        self._withdraw(lane)
        entry = lane.entries.popleft()
        lane.due = 0.0
        self._size -= 1
        self._proceed(lane)
        return entry

    def _withdraw(self, lane: _Lane) -> None:
        """Take a lane from where it waits: for its time, for its sender's turn, or for another lane."""
        self._late = [each for each in self._late if each[2] is not lane]
        heapq.heapify(self._late)
        if lane.ready:
            lane.ready = False
            lanes = self._ready[lane.sender]
            lanes[:] = [each for each in lanes if each[1] is not lane]
            heapq.heapify(lanes)
            if not lanes:
                del self._ready[lane.sender]
        held = [each for each in self._held.pop(lane.key, ()) if each is not lane]
        if held:
            self._held[lane.key] = held

    def clear(self) -> list[Entry]:
        """Drop all messages that wait; return them."""
        dropped = list(self.waiting())
        for lane in self._lanes.values():
            lane.entries = deque(itertools.islice(lane.entries, lane.taken))
            lane.ready = False
        self._lanes = {at: lane for at, lane in self._lanes.items() if lane.entries}
        self._ready.clear()
        self._late.clear()
        self._held.clear()
        self._failures = 0
        self._size = 0
        return dropped

    def waiting(self) -> Iterator[Entry]:
        """Yield the messages that wait."""
        for lane in self._lanes.values():
            yield from itertools.islice(lane.entries, lane.taken, None)

    def oldest(self) -> Entry | None:
        """Return the oldest message that could run if there was a worker for it."""
        if self._failures:
            return None
        lanes = (lane for lanes in self._ready.values() for _, lane in lanes)
        free = (lane.entries[0] for lane in lanes if lane.key not in self._running)
        return min(free, key=lambda entry: entry.place, default=None)

    def following(self, entry: Entry, most: int) -> list[Entry]:
        """Return messages that wait and probably come next after one that runs.

        Those with its sender and key are the first, then the oldest of each sender: as senders take
        turns, there are as many of each.
        """
        lane = self._lane_of(entry)
        share = max(1, most // (1 + len(self._ready)))
        found = [*itertools.islice(lane.entries, lane.taken, lane.taken + share)]
        for lanes in self._ready.values():
            oldest = heapq.nsmallest(share, lanes)
            for _, other in oldest:
                found += itertools.islice(other.entries, max(1, share // len(oldest)))
        return found[:most]

    def next_due(self, now: float) -> float | None:
        """Return in how many seconds a message may run that may not now; None if there is none."""
        if self._failures and self._running:
            return None
        due = [self._late[0][0]] if self._late else []
        if self._ready and self._failures:
            due.append(self._paused_until)
        elif self._ready and self._gathering(now):
            due.append(self._gathers_until)
        if not due:
            return None
        earliest = min(due)
        if self._failures:
            earliest = max(earliest, self._paused_until)
        return max(0.0, earliest - now)

    def _next(self, fits: Callable[[Entry], bool]) -> _Lane | None:
        """Return the lane whose turn is next; None if none may run, or its first message does not fit."""
        while self._ready:
            sender, lanes = next(iter(self._ready.items()))
            while lanes:
                lane = lanes[0][1]
                if lane.key not in self._running and not fits(lane.entries[0]):
                    return None
                heapq.heappop(lanes)
                lane.ready = False
                if lane.key not in self._running:
                    if lanes:
                        self._ready.move_to_end(sender)
                    else:
                        del self._ready[sender]
                    return lane
                self._held.setdefault(lane.key, []).append(lane)
            del self._ready[sender]
        return None

    def _lane_of(self, entry: Entry) -> _Lane:
        """Return the lane of a message that runs."""
        return self._running[entry if entry.key is None else entry.key]

    def _stop(self, lane: _Lane) -> None:
        """Take notice that a message of a lane has stopped running."""
        lane.taken -= 1
        if not lane.taken:
            del self._running[lane.key]
            self._proceed(lane)

    def _proceed(self, lane: _Lane) -> None:
        """Offer a lane whose message has stopped running, and those that waited for that."""
        for other in self._held.pop(lane.key, ()):
            self._release(other)
        if lane.entries:
            self._offer(lane)
        else:
            del self._lanes[lane.sender, lane.key]

    def _offer(self, lane: _Lane) -> None:
        if lane.due:
            heapq.heappush(self._late, (lane.due, lane.entries[0].place, lane))
        else:
            self._release(lane)

    def _release(self, lane: _Lane) -> None:
        """Let a lane run when its sender has its turn."""
        if not lane.ready:
            lane.ready = True
            lanes = self._ready.setdefault(lane.sender, [])
            heapq.heappush(lanes, (lane.entries[0].place, lane))


def _waits(lane: _Lane, execution_id: str) -> bool:
    """Tell whether the first message of a lane is one that is to be tried again."""
    first = lane.entries[0]
    return first.execution_id == execution_id and bool(first.tries) and not lane.taken


def delay_of(tries: int) -> float:
    """Return how many seconds a message waits after a number of failed tries."""
    delay = min(FIRST_DELAY * 2.0 ** min(tries - 1, 10), MAX_DELAY)
    return delay * random.uniform(0.75, 1.25)  # noqa: S311 - jitter, no secret
