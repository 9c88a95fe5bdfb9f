"""What a node has of Celery's consumer."""

from __future__ import annotations

from celery.worker import consumer

_NOT_NEEDED = "celery.worker.consumer.delayed_delivery:DelayedDelivery"
"""It makes 28 queues and exchanges for tasks that are due later, of which there are none."""


class Consumer(consumer.Consumer):  # type: ignore[misc]  # Celery has no types
    """Celery's consumer, without what is not needed here."""

    class Blueprint(consumer.Consumer.Blueprint):  # type: ignore[misc]  # likewise
        """The parts that it is made of."""

        default_steps = tuple(
            step for step in consumer.Consumer.Blueprint.default_steps if step != _NOT_NEEDED
        )
