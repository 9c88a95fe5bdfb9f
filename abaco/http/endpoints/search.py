"""Search among actors, executions, workers and logs (spec: abaco-v2, 1.10)."""

from __future__ import annotations

import contextlib
import datetime
import json
from typing import TYPE_CHECKING, Any

import re2
from sqlalchemy import select

from abaco.exceptions import BadRequest, NotFound
from abaco.http import envelope
from abaco.http.arguments import LARGEST_INTEGER
from abaco.http.call import NONCE, ROLE, Call, Endpoint, Reply
from abaco.store import executions, permissions, tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sqlalchemy import Connection

    from abaco.store.records import Record

PARAMETERS = {
    "limit": "How many records are returned at most; 100 by default.",
    "skip": "How many records are left out at the start.",
    "search": "Words, of which a record has one at least.",
    "exactsearch": "A phrase that a record has.",
}
_KINDS = ("actors", "executions", "workers", "logs")
_LIMIT = 100
_MOST = 10_000
_HIDDEN = (
    "tenant",
    "sequence",
    "attempts",
    "wanted_workers",
    "expires",
    "default_environment",
    # what the mailbox knows of a message
    "sender",
    "ordering",
    "tries",
    "due",
    "reason",
)
_MOST_CONDITIONS = 100
_LONGEST_PATTERN = 1000


def search(call: Call) -> Reply:
    """Search among what the sender has a permission for."""
    kind = call.path["kind"]
    if kind not in _KINDS:
        message = f"There is no search for {kind:.50}: use one of {', '.join(_KINDS)}."
        raise NotFound(message)
    return search_in(call, kind)


def search_in(call: Call, kind: str) -> Reply:
    """Return the records of a kind that fit the parameters of the URL."""
    tests, skip, limit = _read(call.query)
    found: list[Record] = []
    total = 0
    with call.gateway.database.read() as tx:
        if kind == "executions" and "actor" in call.path and not tests:
            records, total = executions.page_of(tx, call.actor["id"], skip, limit)
            found = [_show(record) for record in records]
        else:
            for record in _records(tx, call, kind):
                if all(test(record) for test in tests):
                    total += 1
                    if skip < total <= skip + limit:
                        found.append(_show(record))
    metadata = {
        "totalCount": total,
        "recordsSkipped": skip,
        "recordLimit": limit,
        "countReturned": len(found),
    }
    message = f"{kind.removesuffix('s').capitalize()}s search completed successfully."
    if kind == "logs":
        message = "Log search completed successfully."
    return Reply({"_metadata": metadata, "search": found}, message)


def _records(tx: Connection, call: Call, kind: str) -> Iterator[Record]:
    mine = permissions.subjects(tx, call.tenant, permissions.ACTOR, call.principal.user)
    if "actor" in call.path:
        mine &= {call.actor["id"]}
    if kind == "workers":
        for actor_id in sorted(mine):
            for worker in call.gateway.workers_of(actor_id):
                yield {
                    "id": worker.id,
                    "actor_id": actor_id,
                    "status": worker.status,
                    "image": worker.image.name,
                    "create_time": worker.create_time,
                    "last_execution_time": worker.last_execution_time,
                }
        return
    table = {"actors": tables.actors, "executions": tables.executions, "logs": tables.logs}[kind]
    column = table.c.id if kind == "actors" else table.c.actor_id
    query = select(table).where(table.c.tenant == call.tenant)
    rows = tx.execution_options(yield_per=_LIMIT).execute(query).mappings()
    for row in rows:
        if row[column.name] in mine:
            yield dict(row)


def _read(query: Iterable[tuple[str, str]]) -> tuple[list[Callable[[Record], bool]], int, int]:
    tests: list[Callable[[Record], bool]] = []
    words: list[list[str]] = []
    numbers = {"skip": 0, "limit": _LIMIT}
    for name, text in query:
        if name in numbers:
            numbers[name] = _count(name, text)
        elif name == "search":
            words.append(text.lower().split())
        elif name == "exactsearch":
            words.append([text.lower()])
        elif name != NONCE:
            tests.append(_condition(name, text))
    if len(tests) + sum(map(len, words)) > _MOST_CONDITIONS:
        message = f"A search has at most {_MOST_CONDITIONS} conditions and words."
        raise BadRequest(message)
    if words:
        tests.append(_has_words(words))
    return tests, numbers["skip"], min(numbers["limit"], _MOST)


def _count(name: str, text: str) -> int:
    digits = text.lstrip("0") or text[:1]
    if not text.isascii() or not text.isdigit() or int(digits[:20]) > LARGEST_INTEGER:
        message = f"{name} must be a number from 0 on, not {text!r:.50}."
        raise BadRequest(message)
    return int(digits)


def _has_words(words: list[list[str]]) -> Callable[[Record], bool]:
    def test(record: Record) -> bool:
        text = json.dumps(_show(record), ensure_ascii=False).lower()
        return all(any(word in text for word in each) for each in words)

    return test


def _condition(name: str, text: str) -> Callable[[Record], bool]:
    path, dot, operator = name.rpartition(".")
    if not dot or operator not in _OPERATORS:
        path, operator = name, "eq"
    first, *rest = path.split(".")
    matches = _OPERATORS[operator](text)

    def test(record: Record) -> bool:
        name = envelope.snake(first)
        value: Any = None if name in _HIDDEN else record.get(name)
        for part in rest:
            value = value.get(part) if isinstance(value, dict) else None
        if isinstance(value, datetime.datetime):
            # as it is shown
            value = value.replace(microsecond=value.microsecond // 1000 * 1000)
        with contextlib.suppress(TypeError):
            return bool(matches(value))
        return False

    return test


def _equals(text: str) -> Callable[[Any], bool]:
    wanted = _coerce(text)
    return lambda value: value in (wanted, text)


def _differs(text: str) -> Callable[[Any], bool]:
    equals = _equals(text)
    return lambda value: not equals(value)


def _compares(compare: Callable[[Any, Any], bool]) -> Callable[[str], Callable[[Any], bool]]:
    def make(text: str) -> Callable[[Any], bool]:
        wanted = _coerce(text)
        return lambda value: compare(value, wanted)

    return make


def _is_in(text: str) -> Callable[[Any], bool]:
    try:
        wanted = json.loads(text)
    except (ValueError, RecursionError):
        wanted = None
    if not isinstance(wanted, list):
        message = f"in and nin need a JSON list, not {text!r:.50}."
        raise BadRequest(message)
    return lambda value: value in wanted


def _is_not_in(text: str) -> Callable[[Any], bool]:
    is_in = _is_in(text)
    return lambda value: not is_in(value)


def _is_between(text: str) -> Callable[[Any], bool]:
    low, comma, high = text.partition(",")
    if not comma:
        message = f"between needs two values with a comma, not {text!r:.50}."
        raise BadRequest(message)
    lowest, highest = _coerce(low), _coerce(high)
    return lambda value: lowest <= value <= highest


def _is_like(text: str) -> Callable[[Any], bool]:
    # a pattern comes from outside: RE2 takes linear time, whatever it is
    options = re2.Options()
    options.log_errors = False
    if len(text) > _LONGEST_PATTERN:
        message = f"A regular expression has at most {_LONGEST_PATTERN} characters."
        raise BadRequest(message)
    try:
        pattern = re2.compile(text, options)
    except re2.error:
        message = f"like and nlike need a regular expression, not {text!r:.50}."
        raise BadRequest(message) from None

    def test(value: Any) -> bool:
        # RE2 takes no half of a pair of characters (a lone surrogate)
        text = str(value).encode(errors="replace").decode()
        return value is not None and pattern.search(text) is not None

    return test


def _is_unlike(text: str) -> Callable[[Any], bool]:
    is_like = _is_like(text)
    return lambda value: not is_like(value)


_OPERATORS: dict[str, Callable[[str], Callable[[Any], bool]]] = {
    "eq": _equals,
    "neq": _differs,
    "lt": _compares(lambda value, wanted: bool(value < wanted)),
    "lte": _compares(lambda value, wanted: bool(value <= wanted)),
    "gt": _compares(lambda value, wanted: bool(value > wanted)),
    "gte": _compares(lambda value, wanted: bool(value >= wanted)),
    "in": _is_in,
    "nin": _is_not_in,
    "between": _is_between,
    "like": _is_like,
    "nlike": _is_unlike,
}


def _coerce(text: str) -> Any:
    """Return what a text of the URL stands for: a boolean, None, a moment, a number or JSON."""
    constants = {"true": True, "false": False, "none": None, "null": None}
    if text.lower() in constants:
        return constants[text.lower()]
    with contextlib.suppress(ValueError):
        return float(text)
    with contextlib.suppress(ValueError, OverflowError):
        moment = datetime.datetime.fromisoformat(text.removesuffix("Z"))
        if moment.tzinfo is None:
            return moment
        return moment.astimezone(datetime.timezone.utc).replace(tzinfo=None)
    with contextlib.suppress(ValueError, RecursionError):
        return json.loads(text)
    return text


def _show(record: Record) -> Record:
    shown = envelope.show(record, without=_HIDDEN)
    missing = {name for name in record if record[name] is None and name not in _HIDDEN}
    return {**shown, **dict.fromkeys(map(envelope.camel, sorted(missing)))}


ENDPOINTS = (
    Endpoint(
        "GET",
        "/actors/search/{kind}",
        search,
        ROLE,
        "Search among actors, executions, workers or logs",
        result="Search",
        parameters=PARAMETERS,
        scans=True,
    ),
)
