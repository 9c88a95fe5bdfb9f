"""The bell: a task of Celery for each message, through a queue of RabbitMQ for each actor.

It carries the id of an execution and nothing else. It is rung after the commit; when the broker is away, or a ring is
lost, the sweeper rings again.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import celery
import kombu
from amqp.exceptions import AccessRefused, ChannelError, NotAllowed

if TYPE_CHECKING:
    from collections.abc import Iterable

RUN, PREPARE = "abaco.run", "abaco.prepare"
"""Run an execution, and make an actor ready."""
PREFIX = "abaco.actor."
DEAD = "abaco.dead"
"""Where a ring ends up that worker after worker was lost with."""
_IDLE = "abaco"
"""A queue that every node listens to, so that there is one."""
_MAX_DELIVERIES = 20
_KEPT_MILLISECONDS = 7 * 86_400_000
"""How long a node may keep a ring: longer than any execution. What a queue was made with stays."""
_ANSWER_SECONDS = 8
"""In which the broker answers, if it does: to remove a queue that has lost its leader takes it 5 s."""
_MAX_WAITING = 10_000
"""Rings of one actor that wait until they are published."""

_logger = logging.getLogger(__name__)


class BrokerRefuses(Exception):
    """RabbitMQ does not let anybody in by the URL; the text says why, without the password."""


class Ring(NamedTuple):
    """For what the bell is rung.

    Attributes:
        task: `RUN` or `PREPARE`.
        subject: the id of an execution, or that of the actor.
        actor_id: in whose queue.
        stateless: whether several nodes may take from that.
    """

    task: str
    subject: str
    actor_id: str
    stateless: bool


class Again(NamedTuple):
    """Rings of one actor that may have been lost; they were not while there are others in its queue."""

    rings: tuple[Ring, ...]

    @property
    def actor_id(self) -> str:
        """In whose queue."""
        return self.rings[0].actor_id


def arguments_of(*, stateless: bool) -> dict[str, Any]:
    """Return what RabbitMQ is told of the queue of an actor."""
    arguments = {
        "x-queue-type": "quorum",
        "x-delivery-limit": _MAX_DELIVERIES,
        "x-dead-letter-exchange": DEAD,
        # a RabbitMQ before 3.12 does not read it: see docs/fleet.md
        "x-consumer-timeout": _KEPT_MILLISECONDS,
    }
    # with one, an actor's messages would all go to one node
    return arguments if stateless else {**arguments, "x-single-active-consumer": True}


def name_of(actor_id: str, *, stateless: bool) -> str:
    """Return the name of the queue of an actor; a queue stays what it was made as."""
    return f"{PREFIX}{actor_id}" if stateless else f"{PREFIX}{actor_id}.single"


def queue_of(actor_id: str, *, stateless: bool) -> kombu.Queue:
    """Return the queue of an actor."""
    name = name_of(actor_id, stateless=stateless)
    arguments = arguments_of(stateless=stateless)
    return kombu.Queue(
        name, exchange=kombu.Exchange(""), routing_key=name, queue_arguments=arguments
    )


def application(broker: str) -> celery.Celery:
    """Return the application of Celery, the same in gateways and nodes.

    Args:
        broker: the URL of RabbitMQ.
    """
    app = celery.Celery("abaco", broker=broker, set_as_current=False)
    app.conf.update(
        broker_transport_options={"confirm_publish": True, "read_timeout": _ANSWER_SECONDS},
        broker_connection_timeout=4,
        broker_heartbeat=10,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        # RabbitMQ may not know a queue any more, or not yet, that it had just made when it was killed
        broker_channel_error_retry=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_ignore_result=True,
        task_queues=[kombu.Queue(_IDLE, queue_arguments={"x-queue-type": "quorum"})],
        task_default_queue=_IDLE,
        worker_prefetch_multiplier=1,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_enable_remote_control=True,
        worker_consumer="abaco.workers.fleet.consumer:Consumer",
        worker_hijack_root_logger=False,
    )
    return app


_Work: TypeAlias = "Ring | Again | str"
"""What the bell does: it rings, or removes the queues of an actor with that id."""
_KNOCK = ""
"""Of no actor: it only connects."""


class Turns:
    """What the bell is to do: of each actor in the order in which it came, and the actors in turn.

    So nobody waits for the thousands of messages of another actor.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, deque[_Work]] = {}
        """by actor; whose turn it was last is behind the others"""
        self._changed = threading.Condition()
        self._closed = False

    @property
    def is_closed(self) -> bool:
        """Whether nothing more is taken."""
        return self._closed

    def put(self, actor_id: str, work: _Work) -> bool:
        """Let something be done; tell whether it will be, and not too much waits already."""
        with self._changed:
            waiting = self._waiting.setdefault(actor_id, deque())
            if len(waiting) >= _MAX_WAITING:
                return False
            waiting.append(work)
            self._changed.notify()
        return True

    def take(self) -> _Work | None:
        """Wait for what comes next; return None when it is closed and nothing is left."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if not self._waiting:
                return None
            actor_id = next(iter(self._waiting))
            waiting = self._waiting.pop(actor_id)
            work = waiting.popleft()
            if waiting:
                self._waiting[actor_id] = waiting
        return work

    def clear(self) -> None:
        """Drop what waits."""
        with self._changed:
            self._waiting.clear()

    def drop(self, actor_id: str) -> None:
        """Drop what waits of one actor."""
        with self._changed:
            self._waiting.pop(actor_id, None)

    def close(self) -> None:
        """Take nothing more."""
        with self._changed:
            self._closed = True
            self._changed.notify()


class Bell:
    """A thread that rings, so that nobody waits for the broker.

    Args:
        broker: the URL of RabbitMQ.
        source: what names it, for the log.
    """

    def __init__(self, broker: str, source: str = "broker") -> None:
        self.app = application(broker)
        self._source = source
        self._turns = Turns()
        self._producer: kombu.Producer | None = None
        self._is_away = False
        self._refused: set[str] = set()
        """the actors whose queues the broker has refused, which is said once"""
        self._thread = threading.Thread(target=self._run, name="abaco-bell", daemon=True)
        self._thread.start()

    @property
    def is_away(self) -> bool:
        """Whether the broker did not answer last, so that what is rung for would be lost."""
        return self._is_away

    def knock(self) -> None:
        """Find out soon whether the broker answers again."""
        self._turns.put(_KNOCK, _KNOCK)

    def ring(self, ring: Ring) -> None:
        """Ring soon; where too much waits for the broker already, the sweeper rings later."""
        if not self._turns.put(ring.actor_id, ring):
            _logger.debug("the bell is not rung for %s", ring.subject)

    def ring_again(self, rings: Iterable[Ring]) -> None:
        """Ring for what may not have been heard."""

        def queue(ring: Ring) -> tuple[str, bool]:
            return ring.actor_id, ring.stateless

        for (actor_id, _), each in itertools.groupby(sorted(rings, key=queue), queue):
            self._turns.put(actor_id, Again(tuple(each)))

    def remove(self, actor_id: str) -> None:
        """Remove the queues of an actor that is gone, or that do not answer: who rings makes one again."""
        self._turns.put(actor_id, actor_id)

    def close(self) -> None:
        """Ring for what was given, and end."""
        self._turns.close()
        self._thread.join()

    def _run(self) -> None:
        while (work := self._turns.take()) is not None:
            try:
                self._do(work)
                self._is_away = False
            except Exception as error:  # noqa: BLE001 - whatever it is, the sweeper rings again
                self._give_up(work, error)
        self._disconnect()
        self.app.close()

    def _give_up(self, work: _Work, error: Exception) -> None:
        """Drop what waits for the broker, or for one queue: the sweeper rings again."""
        self._disconnect()
        actor_id = "" if isinstance(work, str) else work.actor_id
        if actor_id and _is_of_queue(error):
            if actor_id not in self._refused:
                _logger.warning(
                    "the broker refuses the queue of actor %s: %s", actor_id, type(error).__name__
                )
            self._refused.add(actor_id)
            self._turns.drop(actor_id)
            return
        if not self._is_away:
            if isinstance(error, BrokerRefuses):
                _logger.error("%s: %s", self._source, error)
            else:
                _logger.warning("the broker does not answer: %s", type(error).__name__)
        self._is_away = True
        if actor_id and _is_late(error) and not self._turns.is_closed:
            # a queue that RabbitMQ had just made when it was killed may be left without a leader
            self._turns.drop(actor_id)
            self.remove(actor_id)
        else:
            self._turns.clear()

    def _connect(self) -> kombu.Producer:
        if self._producer is None:
            connection = self.app.connection_for_write()
            _connect(connection)
            self._producer = kombu.Producer(connection)
        return self._producer

    def _disconnect(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            with contextlib.suppress(Exception):
                producer.connection.release()

    def _do(self, work: _Work) -> None:
        """Do something by the connection that there is, or by a new one if that has been lost."""
        was_connected = self._producer is not None
        try:
            self._do_by(self._connect(), work)
        except Exception as error:
            if not was_connected or _is_late(error) or _is_of_queue(error):
                raise
            self._disconnect()
            self._do_by(self._connect(), work)

    def _do_by(self, producer: kombu.Producer, work: _Work) -> None:
        if work == _KNOCK:
            return
        if isinstance(work, str):
            for stateless in (True, False):
                producer.channel.queue_delete(name_of(work, stateless=stateless))
        elif isinstance(work, Ring):
            self._publish(producer, work)
        elif not _waiting(producer.channel, work.rings[0]):
            for ring in work.rings:
                self._publish(producer, ring)

    def _publish(self, producer: kombu.Producer, work: Ring) -> None:
        self.app.send_task(
            work.task,
            args=[work.subject],
            queue=queue_of(work.actor_id, stateless=work.stateless),
            producer=producer,
            retry=False,
        )


def _connect(connection: kombu.Connection) -> None:
    """Connect.

    Raises:
        BrokerRefuses: the user, the password or the virtual host is wrong.
        OperationalError: the broker does not answer.
    """
    try:
        connection.ensure_connection(max_retries=1, interval_start=0)
    except AccessRefused:
        message = "RabbitMQ refuses the user or the password"
    except NotAllowed:
        message = "RabbitMQ refuses the virtual host, which is not there or not the user's"
    else:
        return
    raise BrokerRefuses(message)


def check(broker: str) -> None:
    """Connect to a broker, and take leave.

    Raises:
        BrokerRefuses: the user, the password or the virtual host is wrong.
        OperationalError: it does not answer.
    """
    with contextlib.closing(application(broker)) as app, app.connection_for_read() as connection:
        _connect(connection)


def _waiting(channel: Any, ring: Ring) -> int:
    """Return how many rings are in a queue that no node has taken."""
    found = channel.queue_declare(
        queue=name_of(ring.actor_id, stateless=ring.stateless),
        durable=True,
        auto_delete=False,
        arguments=arguments_of(stateless=ring.stateless),
    )
    return int(found.message_count)


def _is_of_queue(error: BaseException | None) -> bool:
    """Tell whether the broker refuses something of one queue, and answers otherwise."""
    return isinstance(error, ChannelError) or (error is not None and _is_of_queue(error.__cause__))


def _is_late(error: BaseException | None) -> bool:
    """Tell whether an answer did not come in time, in the words of whichever library."""
    return isinstance(error, TimeoutError) or (error is not None and _is_late(error.__cause__))


def declare_dead_letters(app: celery.Celery) -> None:
    """Make the queue of what was given up, which an operator looks at."""
    exchange = kombu.Exchange(DEAD, type="fanout", durable=True)
    dead = kombu.Queue(DEAD, exchange=exchange, queue_arguments={"x-queue-type": "quorum"})
    with app.connection_for_write() as connection:
        dead(connection.default_channel).declare()


def lengths_of(broker: str, names: Iterable[str]) -> tuple[str, dict[str, int]]:
    """Return the version of a broker, and how many rings wait in those of some queues that there are.

    Raises:
        BrokerRefuses: the user, the password or the virtual host is wrong.
        OperationalError: it does not answer.
    """
    lengths: dict[str, int] = {}
    app = application(broker)
    with contextlib.closing(app), app.connection_for_read() as connection:
        _connect(connection)
        version = str(connection.connection.server_properties.get("version", "unknown"))
        for name in names:
            # a queue that is not there closes the channel
            with contextlib.suppress(*connection.channel_errors), connection.channel() as channel:
                lengths[name] = channel.queue_declare(queue=name, passive=True).message_count
    return version, lengths
