"""Fairness between senders: how much of the gateway one of them may use at a time."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections import Counter
from typing import TYPE_CHECKING

from abaco.exceptions import TooManyRequests

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

RETRY_SECONDS = 5
SHARE = 4
"""The requests of one sender that wait for an answer get at most one connection in this many."""
SHARE_OF_OWNER = 2
"""Likewise those of all who send with the nonces of one user."""


class KeyedLock:
    """A fair lock for each sender: one costly request at a time; used from the event loop only."""

    def __init__(self) -> None:
        # kept by those who hold one or wait for it
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    @contextlib.asynccontextmanager
    async def of(self, sender: str) -> AsyncIterator[None]:
        """Wait until the lock of a sender is free, and hold it meanwhile."""
        lock = self._locks.setdefault(sender, asyncio.Lock())
        async with lock:
            yield


class Waiters:
    """Those who wait for executions; used from the event loop only.

    Args:
        connections: how many there can be, each of which waits for one execution at most.
    """

    def __init__(self, connections: int) -> None:
        self._most = max(1, connections // SHARE)
        self._most_of_owner = max(1, connections // SHARE_OF_OWNER)
        self._waiting: Counter[str] = Counter()

    @contextlib.contextmanager
    def one_of(self, sender: str, owner: str) -> Iterator[None]:
        """Count one who waits meanwhile.

        Args:
            sender: who.
            owner: of the nonce, with whom all nonces are counted; without one, the sender.

        Raises:
            TooManyRequests: too many of this sender wait, or of this owner.
        """
        shares = {owner: self._most_of_owner, sender: self._most}
        for name, most in shares.items():
            if self._waiting[name] >= most:
                whose = "your messages" if name == sender else "messages with nonces of one user"
                message = (
                    f"{most} of {whose} are waited for: send this one again later, or without "
                    "waiting for its result."
                )
                raise TooManyRequests(message, RETRY_SECONDS)
        for name in shares:
            self._waiting[name] += 1
        try:
            yield
        finally:
            for name in shares:
                self._waiting[name] -= 1
                if not self._waiting[name]:
                    # only those who wait are remembered
                    del self._waiting[name]
