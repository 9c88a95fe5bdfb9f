"""The places for connections: who gets one when all are taken, and who loses theirs for it.

A connection waits for its client when the next thing to happen is that the client sends something, or
takes something of its answer. Where no place is free, the one that has waited longest is closed, so that
a newcomer is served however many others hold on to connections without using them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SHARE = 4
"""One address of another machine gets at most one place in this many."""


@dataclass(eq=False)
class Place:
    """The place of one connection.

    Attributes:
        address: of the client.
        close: ends the connection at once.
        held: whether it has not been given back.
    """

    address: str
    close: Callable[[], None]
    held: bool = True


class Places:
    """All places of a port.

    Args:
        most: how many there are.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._most_of_one = max(1, most // SHARE)
        self._taken: Counter[str] = Counter()
        self._total = 0
        # by address, those that wait for their client, longest first
        self._waiting: dict[str, dict[Place, None]] = {}

    def take(self, address: str, close: Callable[[], None], *, is_here: bool) -> Place | None:
        """Return a place for a new connection, which waits for its client; None if there is none.

        Args:
            address: of the client.
            close: ends the connection at once.
            is_here: whether the client is on this machine, where many have the same address.
        """
        if not is_here and self._taken[address] >= self._most_of_one:
            if not self._make_room(address):
                return None
        elif self._total >= self._most:
            richest = max(self._waiting, key=self._taken.__getitem__, default=None)
            # nobody makes room for those who have more
            if richest is None or self._taken[richest] < self._taken[address]:
                return None
            self._make_room(richest)
        place = Place(address, close)
        self._taken[address] += 1
        self._total += 1
        self.waits(place)
        return place

    def waits(self, place: Place) -> None:
        """Take notice that a connection waits for its client from now on, if it did not before."""
        if not place.held:
            return
        self._waiting.setdefault(place.address, {}).setdefault(place)

    def works(self, place: Place) -> None:
        """Take notice that the client of a connection waits for the gateway."""
        waiting = self._waiting.get(place.address, {})
        waiting.pop(place, None)
        if not waiting:
            self._waiting.pop(place.address, None)

    def leave(self, place: Place) -> None:
        """Give a place back, if that has not been done."""
        if not place.held:
            return
        self.works(place)
        place.held = False
        self._total -= 1
        self._taken[place.address] -= 1
        if not self._taken[place.address]:
            del self._taken[place.address]

    def _make_room(self, address: str) -> bool:
        place = next(iter(self._waiting.get(address, ())), None)
        if place is not None:
            place.close()
            self.leave(place)
        return place is not None
