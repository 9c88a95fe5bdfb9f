"""What is being handed out of one job."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from datacatalog import mongo
from datacatalog.linkedstores.basestore.store import now
from datacatalog.linkedstores.pipelinejob.untold import UNTOLD, Left, total
from manager.subscriptions.line import wants
from manager.subscriptions.subscriber import News, moment_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from datacatalog.linkedstores.pipelinejob.history import Entry
    from datacatalog.linkedstores.pipelinejob.stored import StoredJob
    from datacatalog.mongo import Document
    from manager.subscriptions.line import Line


class Handout:
    """Some entries of one job, one after the other, to all who are not behind on it.

    Args:
        job: what has to be known of it.
        names: of those who are told.
    """

    def __init__(self, job: StoredJob, names: set[str]) -> None:
        self.job = job
        self.number = int(job[UNTOLD])
        """of the entry that is told now"""
        self.names = names
        self.waiting: set[str] = set()
        """those who have yet to be told it"""
        self.failed: dict[str, Document] = {}
        """those who could not be told it"""
        self.left: dict[str, Document] = {}
        """those who are to be told this and the others later"""
        self.marked = time.monotonic()
        """when it was last noted how far the job was handed out"""
        self._entries: list[Entry] = []
        self._first = self.number
        self._before: Entry | None = None
        self._began = 0.0
        self._half = 0.0
        self._offered = 0

    def load(self, entries: list[Entry]) -> None:
        """Take the entries: the one before the first, if there is one, and those that are told."""
        if self._first and entries:
            self._before, *entries = entries
        self._entries = entries

    def leave_all(self) -> None:
        """Have everybody told later, since the job cannot be read."""
        for name in [*self.names]:
            self._put_behind(name, {})

    @property
    def end(self) -> int:
        """The number after the last entry."""
        return self._first + len(self._entries)

    @property
    def is_all(self) -> bool:
        """Whether the job had no further entries when it was read."""
        return not self._entries or self.end >= total(self.job)

    @property
    def is_last(self) -> bool:
        """Whether the present entry is the last one."""
        return self.number + 1 >= self.end

    @property
    def is_over(self) -> bool:
        """Whether all that was taken was handed out."""
        return self.told >= self.end

    @property
    def told(self) -> int:
        """The number after the last entry that was handed out."""
        return self.number if self.waiting else min(self.number + 1, self.end)

    @property
    def is_settled(self) -> bool:
        """Whether everybody was told the present entry, or could not be told."""
        return all(name in self.failed for name in self.waiting)

    @property
    def news(self) -> News:
        """What is told now."""
        index = self.number - self._first
        before = self._entries[index - 1] if index else self._before
        return News(self.job, self.number, self._entries[index], before)

    def offer(self, lines: Mapping[str, Line]) -> None:
        """Have the present entry told, or the next one that somebody wants."""
        while self.number < self.end:
            news = self.news
            for name in [*self.names]:
                line = lines.get(name)
                if line is not None and line.ended:
                    self.drop(name)
                    continue
                try:
                    if line is not None and not wants(line.subscriber, news):
                        continue
                except mongo.DatabaseError:
                    # its own line asks again
                    self._put_behind(name, {})
                    continue
                if line is not None and line.is_ready:
                    self.waiting.add(name)
                    line.queue.append(self)
                    line.news.notify()
                else:
                    self._put_behind(name, {})
            self._began, self._half, self._offered = time.monotonic(), 0.0, len(self.waiting)
            if self.waiting:
                return
            self.number += 1

    def waits_for(self, name: str, number: int) -> bool:
        """Tell whether others wait until somebody was told an entry."""
        return name in self.waiting and number == self.number

    def was_told(self, name: str) -> None:
        """Stop waiting for a subscriber, who was told the present entry."""
        self.waiting.discard(name)
        if not self._half and len(self.waiting) * 2 <= self._offered:
            self._half = time.monotonic()

    def _is_too_late(self, grace: float, longest: float) -> bool:
        """Tell whether those who are still waited for take longer than the others."""
        passed = time.monotonic() - self._began
        if self._half:
            # where many are told, or the machine is busy, it takes a while for all of them
            return passed > min(longest, grace + 2 * (self._half - self._began))
        return passed > longest

    def leave_late(self, grace: float, longest: float) -> list[str]:
        """Stop waiting for subscribers that have failed or take too long; return the latter.

        Args:
            grace: seconds that anybody may take longer than most.
            longest: seconds that anybody may take at all.
        """
        is_too_late = self._is_too_late(grace, longest)
        failed = [name for name in self.waiting if name in self.failed]
        late = [name for name in self.waiting if is_too_late and name not in self.failed]
        for name in (*failed, *late):
            self.waiting.discard(name)
            self._put_behind(name, self.failed.pop(name, {}))
        return late

    def drop(self, name: str) -> None:
        """Tell nothing more to a subscriber that has unsubscribed, not later either."""
        self.names.discard(name)
        self.waiting.discard(name)
        self.failed.pop(name, None)
        self.left.pop(name, None)

    def _put_behind(self, name: str, more: Document) -> None:
        self.names.discard(name)
        self.left[name] = {"told": self.number - 1, **more}

    def what_is_left(self) -> Left | None:
        """Return who is to be told later, if there is anybody."""
        if not self.left:
            return None
        first = min(int(place["told"]) for place in self.left.values()) + 1 - self._first
        entries = self._entries[max(0, first) :]
        moment = moment_of(entries[0]) if entries else None
        return Left(self.job, moment or now(), dict(self.left))
