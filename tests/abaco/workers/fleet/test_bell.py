"""The bell of a fleet: who is rung for, and when."""

from __future__ import annotations

import contextlib
import time

import kombu
import psutil
import pytest

from abaco.workers.fleet import bell
from abaco.workers.fleet.bell import RUN, Ring, Turns
from tests import services
from tests.abaco.running import eventually
from tests.balancer import Balancer
from tests.conftest import NO_SERVICES, SERVICES

BROKER = pytest.mark.skipif(not SERVICES, reason=NO_SERVICES)


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


@BROKER
def test_no_ring_is_lost_when_the_connection_to_the_broker_was(rabbitmq: services.RabbitMQ) -> None:
    def rings() -> int:
        return bell.lengths_of(rabbitmq.url, [name])[1].get(name, 0)

    name = bell.name_of("rung", stateless=True)
    with Balancer(rabbitmq.host, [(rabbitmq.host, rabbitmq.port)]) as balancer:
        address = f"{rabbitmq.host}:{rabbitmq.port}", f"{balancer.host}:{balancer.port}"
        with contextlib.closing(bell.Bell(rabbitmq.url.replace(*address))) as ringing:
            ringing.ring(Ring(RUN, "first", "rung", True))
            eventually(lambda: rings() == 1)
            balancer.cut()
            for number in range(3):
                ringing.ring(Ring(RUN, f"further {number}", "rung", True))
            eventually(lambda: rings() == 4)
            ringing.remove("rung")


@BROKER
def test_rings_of_several_actors_are_made_up_for_though_one_queue_is_refused(
    rabbitmq: services.RabbitMQ,
) -> None:
    names = {
        f"actor {number}": bell.name_of(f"actor {number}", stateless=True) for number in range(4)
    }
    refused, *others = names.values()
    with contextlib.closing(bell.Bell(rabbitmq.url)) as ringing:
        with ringing.app.connection_for_write() as connection:
            # RabbitMQ refuses to declare a queue in another way than it was made
            kombu.Queue(refused, channel=connection.default_channel).declare()
        ringing.ring_again(
            Ring(RUN, f"{number * 7 % 10} of {actor}", actor, True)
            for number in range(10)
            for actor in names
        )
        expected = dict.fromkeys(others, 10)
        eventually(lambda: bell.lengths_of(rabbitmq.url, others)[1] == expected)
        for actor in names:
            ringing.remove(actor)


@BROKER
@pytest.mark.long
def test_a_bell_ends_soon_though_the_broker_is_frozen(rabbitmq: services.RabbitMQ) -> None:
    ringing = bell.Bell(rabbitmq.url)
    ringing.ring(Ring(RUN, "first", "actor 0", True))
    eventually(lambda: bell.lengths_of(rabbitmq.url, [bell.name_of("actor 0", stateless=True)])[1])
    server = psutil.Process(rabbitmq.pid)
    frozen = [each for each in (server, *server.children(recursive=True)) if "beam" in each.name()]
    assert frozen
    for each in frozen:
        each.suspend()
    try:
        for number in range(20):
            ringing.ring(Ring(RUN, "further", f"actor {number}", True))
        began = time.monotonic()
        ringing.close()
        # three answers are waited for, each for ten seconds, however many actors there are
        assert time.monotonic() - began < 100
    finally:
        for each in frozen:
            each.resume()
