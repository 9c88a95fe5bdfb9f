"""What `doctor` says of a fleet of machines, where the gateway's file asks for one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy.exc import SQLAlchemyError

from abaco import settings as gateway_settings
from abaco.exceptions import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from abaco.settings import Settings
    from abaco.workers.fleet.condition import Condition

_MAX_RINGS = 1000


class Finding(NamedTuple):
    """What was found of a part; a remedy where it is not good."""

    subject: str
    found: str
    remedy: str = ""
    is_bad: bool = False


def examine() -> Iterator[Finding]:
    """Yield what is found of a fleet; nothing where there is none."""
    try:
        settings = gateway_settings.load(Path(gateway_settings.FILE_NAME))
    except SettingsError as error:
        yield Finding("fleet", str(error), "correct it", is_bad=True)
        return
    if settings.engine != gateway_settings.CELERY:
        return
    try:
        from kombu.exceptions import OperationalError  # noqa: PLC0415 - only a fleet has Celery

        from abaco.store.database import (  # noqa: PLC0415 - only a fleet needs its database
            OtherVersion,
            explain,
        )
        from abaco.workers.fleet import condition  # noqa: PLC0415 - only a fleet has Celery
        from abaco.workers.fleet.bell import BrokerRefuses  # noqa: PLC0415 - only a fleet has Celery
    except ImportError as error:
        found = f"{error.name} is not installed"
        yield Finding("fleet", found, "pip install '.[fleet]'", is_bad=True)
        return
    try:
        seen = condition.look(settings)
    except OtherVersion as error:
        remedy = "use the version of the gateways, or upgrade the fleet: see docs/fleet.md"
        yield Finding("fleet", str(error), remedy, is_bad=True)
    except (SettingsError, SQLAlchemyError) as error:
        is_said = isinstance(error, SettingsError)
        found = str(error) if is_said else explain(settings.database, error)
        yield Finding("fleet", found, "start PostgreSQL, or correct database", is_bad=True)
    except BrokerRefuses as error:
        remedy = f"correct broker in {gateway_settings.FILE_NAME}"
        yield Finding("broker", str(error), remedy, is_bad=True)
    except OperationalError:
        found = "RabbitMQ does not answer"
        yield Finding("broker", found, "start it, or correct broker", is_bad=True)
    else:
        yield _broker(settings, seen, condition.USUAL_TIMEOUT_SECONDS)
        yield _nodes(seen)
        yield _queues(seen)
        yield _leases(seen)


def _broker(settings: Settings, seen: Condition, usual: float) -> Finding:
    found, longest = f"RabbitMQ {seen.version}", settings.limits.execution_seconds
    if seen.dead:
        remedy = "see why nodes were lost, then purge the queue abaco.dead: the messages are kept"
        return Finding("broker", f"{found}; {seen.dead} rings were given up", remedy)
    if longest < usual or seen.has_queue_timeouts:
        return Finding("broker", found)
    return Finding(
        "broker",
        f"{found}, which takes a ring back after its consumer_timeout, by default {usual:g} s; "
        f"an execution may take {longest:g} s",
        f"set consumer_timeout in rabbitmq.conf to more than {longest * 1000:.0f}, or use 3.12",
    )


def _nodes(seen: Condition) -> Finding:
    shown = [
        f"{node['host']} ({', '.join(node['queues'])}: {node['concurrency']}"
        f"{', draining' if node['draining'] else ''})"
        for node in seen.nodes
    ]
    found = "; ".join(shown) or "there is none"
    if seen.unserved:
        queues = ",".join(seen.unserved)
        remedy = f"start one: python -m abaco worker --queues {queues}"
        return Finding("nodes", f"{found}; nobody serves {queues}", remedy, is_bad=True)
    return Finding("nodes", found)


def _queues(seen: Condition) -> Finding:
    total = sum(seen.rings.values())
    found = f"{total:,} rings wait in {len(seen.rings):,} queues"
    if total <= _MAX_RINGS:
        return Finding("queues", found)
    actor_id = max(seen.rings, key=seen.rings.__getitem__)
    longest = f"; {seen.rings[actor_id]:,} of them are of actor {actor_id}"
    return Finding("queues", found + longest, "start more nodes, if they do not become fewer")


def _leases(seen: Condition) -> Finding:
    found = f"{seen.held:,} executions are held"
    if not seen.expired:
        return Finding("leases", found)
    remedy = "look again: gateways and nodes take them over within seconds"
    return Finding("leases", f"{found}, {seen.expired:,} beyond their lease", remedy)
