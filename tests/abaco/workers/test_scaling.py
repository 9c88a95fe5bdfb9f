from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, cast

import pytest

from abaco.images import Image
from abaco.store.rows import Actor
from abaco.workers.scaling import Target, staying, target_of

MOST, CORES = 8, 4


class Worker(NamedTuple):
    name: str
    revision: int = 1
    retired: bool = False


A, B, C = Worker("a"), Worker("b"), Worker("c")
OLD, RETIRED = Worker("old", revision=0), Worker("retired", retired=True)


@pytest.mark.parametrize(
    ("stateless", "wanted", "max_workers", "ordered", "mode", "workers", "most"),
    [
        (True, 1, None, False, "warm", 1, 1),
        (True, 3, None, False, "warm", 3, 3),
        (True, 3, 2, False, "cold", 2, 2),
        (True, 99, None, False, "cold", MOST, MOST),
        (True, 99, 50, False, "cold", MOST, MOST),
        # messages that are ordered by a key lose nothing by more workers
        (True, 1, None, True, "warm", 1, CORES),
        (True, 2, None, True, "warm", 2, CORES),
        (True, 6, None, True, "warm", 6, 6),
        (True, 1, 2, True, "warm", 1, 2),
        (True, 1, None, True, "cold", 1, 1),
        # what one message leaves, the next has to find
        (False, 3, None, True, "warm", 1, 1),
    ],
)
def test_an_actor_should_have_so_many_workers(
    stateless: bool,
    wanted: int,
    max_workers: int | None,
    ordered: bool,
    mode: str,
    workers: int,
    most: int,
) -> None:
    actor = {
        "revision": 7,
        "stateless": stateless,
        "wanted_workers": wanted,
        "max_workers": max_workers,
    }
    image = Image("taco", Path(), (), mode, ordered_by="uuid" if ordered else "")
    found = target_of(cast("Actor", actor), image, most=MOST, cores=CORES)
    assert found == Target(7, stateless, workers, most)


@pytest.mark.parametrize(
    ("stateless", "most", "there", "stay"),
    [
        (True, 1, [], []),
        (True, 2, [A], [A]),
        (True, 2, [A, B], [A, B]),
        (True, 2, [A, B, C], [A, B]),
        (True, 1, [OLD, RETIRED, A], [A]),
        (True, 3, [OLD, RETIRED], []),
        (False, 1, [A], [A]),
        (False, 1, [OLD], []),
        # it was not stateful before: which of them would have the state?
        (False, 1, [A, B], []),
    ],
)
def test_of_its_workers_these_go_on(
    stateless: bool, most: int, there: list[Worker], stay: list[Worker]
) -> None:
    assert staying(there, Target(1, stateless, 1, most)) == stay
