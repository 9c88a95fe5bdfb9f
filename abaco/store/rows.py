"""The rows of the tables, as they are read.

A row is the dictionary that the database gives; nothing is copied or checked at runtime. A test
compares each of these with the columns of its table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    import datetime


class Actor(TypedDict):
    """A row of `actors`."""

    id: str
    tenant: str
    owner: str
    name: str | None
    image: str
    description: str
    type: str
    stateless: bool
    token: Any
    link: str
    webhook: str
    hints: list[str]
    privileged: bool
    max_workers: int | None
    mem_limit: str | None
    max_cpus: str | None
    use_container_uid: bool
    default_environment: dict[str, Any]
    queue: str
    log_ex: int | None
    cron_on: bool
    cron_schedule: str | None
    cron_next_ex: datetime.datetime | None
    status: str
    status_message: str
    state: Any
    revision: int
    wanted_workers: int
    create_time: datetime.datetime
    last_update_time: datetime.datetime


class Alias(TypedDict):
    """A row of `aliases`."""

    tenant: str
    alias: str
    actor_id: str
    owner: str


class Nonce(TypedDict):
    """A row of `nonces`."""

    id: str
    tenant: str
    kind: str
    subject: str
    owner: str
    roles: list[str]
    level: str
    max_uses: int
    current_uses: int
    remaining_uses: int
    description: str
    create_time: datetime.datetime
    last_use_time: datetime.datetime | None


class Postponed(TypedDict):
    """Of an execution that could not be begun yet, what is shown."""

    id: str
    message_received_time: datetime.datetime
    tries: int
    due: datetime.datetime | None
    reason: str | None


class Queued(TypedDict):
    """Of an execution that waits, what decides when it is run."""

    sequence: int
    id: str
    actor_id: str
    sender: str | None
    ordering: str | None
    attempts: int
    tries: int
    due: datetime.datetime | None
    reason: str | None


class Listed(TypedDict):
    """Of an execution, what a list of many shows."""

    id: str
    status: str
    message_received_time: datetime.datetime
    start_time: datetime.datetime | None
    finish_time: datetime.datetime | None


class Execution(Queued, Listed):
    """A row of `executions`."""

    tenant: str
    executor: str
    worker_id: str | None
    cpu: int
    io: int
    runtime: int
    exit_code: int | None
    final_state: dict[str, Any] | None
    fence: int
    holder: str | None
    lease: datetime.datetime | None
    rung: datetime.datetime | None
    stop: str | None


class Ended(TypedDict):
    """Of an execution, what those who wait for it need."""

    id: str
    actor_id: str
    status: str
    exit_code: int | None
    final_state: dict[str, Any] | None
    """None of one that has never run"""
    tries: int
    reason: str | None
    delay: float | None
    """Seconds until it is tried again, where it was put off."""


class Begun(TypedDict):
    """Of an execution, what its worker knows."""

    id: str
    actor_id: str
    tenant: str
    worker_id: str | None
    start_time: datetime.datetime


class Node(TypedDict):
    """A row of `nodes`."""

    id: str
    host: str
    pid: int
    queues: list[str]
    concurrency: int
    started: datetime.datetime
    beat: datetime.datetime
    draining: bool


class Totals(TypedDict):
    """What the executions of an actor have used together."""

    executions: int
    cpu: int
    io: int
    runtime: int


class Message(TypedDict):
    """A row of `messages`."""

    sequence: int
    body: bytes
    content_type: str
    environment: dict[str, str]


class Config(TypedDict):
    """A row of `configs`."""

    tenant: str
    name: str
    value: str
    is_secret: bool
    actors: str


class Identity(TypedDict):
    """As whom whoever has an access token acts."""

    tenant: str
    user: str
    roles: list[str]
    expires: datetime.datetime


class TokenFacts(Identity):
    """Of an access token, what may be shown."""

    id: str
    label: str
    create_time: datetime.datetime


class Token(TokenFacts):
    """A row of `tokens`."""

    access_hash: str
    refresh_hash: str | None
    client_key: str | None
    secret_hash: str | None
    lifetime: int


class Post(TypedDict):
    """A row of `posts`."""

    sequence: int
    actor_id: str
    url: str
    body: dict[str, Any]
    attempts: int
    next_attempt: datetime.datetime
