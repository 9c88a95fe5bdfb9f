"""Subscribers in the settings of an actor, and a dispatcher that tells them."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from datacatalog.mongo import Document
from manager.subscriptions import service
from reactors.runtime import Reactor
from tests.actor import Actor, event
from tests.conftest import ROOT
from tests.manager.receiving import until


def define(actor: Actor, *given: dict[str, Any], **settings: str) -> None:
    """Write webhooks into the settings of the actor."""
    definitions = [{"allow_private": True, **each} for each in given]
    actor.environ |= {"_REACTOR_SUBSCRIPTIONS": json.dumps(definitions), **settings}


@contextmanager
def dispatching(actor: Actor) -> Iterator[None]:
    """Have a dispatcher beside the actor."""
    actor.environ["_REACTOR_DELIVERIES_DISPATCHER"] = "true"
    rx = Reactor(actor.message(), folders=[ROOT], log_stream=io.StringIO())
    over = threading.Event()
    thread = threading.Thread(target=service.dispatch, args=(rx, actor.jobs, over.is_set))
    thread.start()
    until(lambda: actor.jobs.untold.holder() is not None)
    try:
        yield
    finally:
        over.set()
        thread.join()


def send(actor: Actor, job: Document, *names: str) -> None:
    for name in names:
        assert actor.send(event(job, name)).error == ""
