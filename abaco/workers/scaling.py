"""How many workers an actor has, and which of those that are there: decided here, done by the pool."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from abaco.images import Image
    from abaco.store.rows import Actor


class _Worker(Protocol):
    """A worker that is there."""

    @property
    def revision(self) -> int:
        """The revision of the actor that it works for."""

    @property
    def retired(self) -> bool:
        """Whether it ends after its current message."""


W = TypeVar("W", bound=_Worker)


class Target(NamedTuple):
    """The workers that an actor should have.

    Attributes:
        revision: which its workers are of.
        stateless: whether they may work at the same time.
        workers: how many.
        most: how many while messages wait.
    """

    revision: int
    stateless: bool
    workers: int
    most: int


def most_of(actor: Actor, most: int) -> int:
    """Return how many workers an actor may have at most, where the gateway permits each so many."""
    return min(actor["max_workers"] or most, most) if actor["stateless"] else 1


def target_of(actor: Actor, image: Image, *, most: int, cores: int) -> Target:
    """Return what workers an actor should have.

    Args:
        actor: the actor's record.
        image: what it runs.
        most: workers of one actor that the gateway permits.
        cores: of this machine.
    """
    # where messages are ordered by a key, several workers change nothing but the speed
    useful = cores if image.ordered_by and image.mode == "warm" else 1
    wanted, permitted = actor["wanted_workers"], most_of(actor, most)
    return Target(
        actor["revision"],
        actor["stateless"],
        min(wanted, permitted),
        min(max(wanted, useful), permitted),
    )


def staying(workers: Sequence[W], target: Target) -> list[W]:
    """Return those of an actor's workers that go on; as many as it lacks then are made."""
    current = [each for each in workers if each.revision == target.revision and not each.retired]
    if len(current) <= target.most:
        return current
    # of several workers that were at work, none is the only one
    return current[: target.most] if target.stateless else []
