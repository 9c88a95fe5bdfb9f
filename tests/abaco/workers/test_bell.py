from __future__ import annotations

from abaco.workers.fleet.bell import RUN, Ring, Turns


def test_an_actor_with_many_messages_does_not_delay_the_rings_of_others() -> None:
    turns = Turns()
    for actor, count in {"a": 3, "b": 1, "c": 2}.items():
        for number in range(count):
            assert turns.put(actor, Ring(RUN, f"{actor}{number}", actor, True))
    turns.close()
    rung = []
    while isinstance(work := turns.take(), Ring):
        rung.append(work.subject)
    assert (rung, work) == (["a0", "b0", "c0", "a1", "c1", "a2"], None)
