"""The memory for request bodies: so much for all of them together, and a share of it for one sender."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from abaco.exceptions import Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from abaco.settings import Limits

WAIT_SECONDS = 5.0
"""How long a request waits for memory before it is refused."""
SHARE = 4
"""One sender gets at most one part in this many, but always enough for the largest body."""
LARGE_BYTES = 128 * 1024
"""A body beyond this is handled in turn: read as JSON, it takes many times its size."""
TURNS = 2
SHARE_OF_OWNER = 2
"""All who send with the nonces of one user get together at most one part in this many."""


@dataclass(eq=False)
class Room:
    """Memory that is taken by one body."""

    bodies: Bodies
    sender: str
    owner: str
    size: int

    @property
    def names(self) -> set[str]:
        """By which it is counted."""
        return {self.sender, self.owner}

    def release(self) -> None:
        """Give it back, if that has not been done."""
        size, self.size = self.size, 0
        self.bodies.give(self.names, size)


class Bodies:
    """The memory for all bodies that are read or held; used from the event loop only.

    Args:
        limits: of the gateway.
    """

    def __init__(self, limits: Limits) -> None:
        largest = max(limits.body_bytes, limits.binary_bytes)
        self._most = max(limits.bodies_bytes, largest)
        self._most_of_one = max(self._most // SHARE, largest)
        self._most_of_owner = max(self._most // SHARE_OF_OWNER, largest)
        self._taken: Counter[str] = Counter()
        self._total = 0
        self._waiting: dict[asyncio.Future[None], Room] = {}
        self._turns = asyncio.Semaphore(TURNS)

    async def take(self, sender: str, size: int, owner: str | None = None) -> Room:
        """Return room for a body, when there is some.

        Args:
            sender: whose share counts.
            size: the most that the body can have.
            owner: of the nonce, if there is one, whose share counts as well.

        Raises:
            Unavailable: there is none in time.
        """
        room = Room(self, sender, owner or sender, size)
        if not self._waiting and self._fits(room):
            self._grant(room)
            return room
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[turn] = room
        self._admit()
        try:
            await asyncio.wait({turn}, timeout=WAIT_SECONDS)
        except asyncio.CancelledError:
            if turn.done():
                room.release()
            raise
        finally:
            # what waits behind it may go first now
            self._waiting.pop(turn, None)
            self._admit()
        if not turn.done():
            message = "There is no memory for the request body at the moment: send it again."
            raise Unavailable(message, round(WAIT_SECONDS))
        return room

    def give(self, names: Iterable[str], size: int) -> None:
        """Take memory back that is counted by some names."""
        self._total -= size
        for name in names:
            self._taken[name] -= size
            if self._taken[name] <= 0:
                del self._taken[name]
        if self._waiting:
            self._admit()

    @contextlib.asynccontextmanager
    async def turn(self, body: bytes) -> AsyncIterator[None]:
        """Let few large bodies be handled at a time."""
        async with self._turns if len(body) > LARGE_BYTES else contextlib.nullcontext():
            yield

    def _admit(self) -> None:
        for turn, room in list(self._waiting.items()):
            if self._total + room.size > self._most:
                # nobody behind it goes first, or a large one would wait forever
                return
            if self._fits(room):
                self._grant(room)
                del self._waiting[turn]
                turn.set_result(None)

    def _fits(self, room: Room) -> bool:
        one = self._taken[room.sender] + room.size <= self._most_of_one
        all_of_owner = self._taken[room.owner] + room.size <= self._most_of_owner
        return one and all_of_owner and self._total + room.size <= self._most

    def _grant(self, room: Room) -> None:
        self._total += room.size
        for name in room.names:
            self._taken[name] += room.size
