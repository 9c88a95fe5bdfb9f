"""Search among actors, executions, workers and logs (docs/reference/abaco.md#search)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import JSON, Boolean, DateTime, Integer, and_, select

from abaco.exceptions import BadRequest, NotFound
from abaco.http import conditions, envelope
from abaco.http.arguments import MAX_INTEGER
from abaco.http.call import NONCE, ROLE, Call, Endpoint, Reply
from abaco.http.endpoints import description
from abaco.store import actors, executions, permissions, tables
from abaco.store.permissions import UPDATE

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping

    from sqlalchemy import Column, ColumnElement, Connection, Select, Table

    from abaco.store.records import Record

PARAMETERS = {
    "limit": "How many records are returned at most; 100 by default.",
    "skip": "How many records are left out at the start.",
    "search": "Words, of which a record has one at least.",
    "exactsearch": "A phrase that a record has.",
}
_KINDS = ("actors", "executions", "workers", "logs")
_LIMIT = 100
_MAX_RECORDS = 10_000
_MAX_BYTES = 8 * 1024 * 1024
"""Of the records in an answer, about; one is there in any case."""
_AT_ONCE = {"logs": 4}
"""How many rows of a kind are read at once, where not as many as an answer has by default."""
_HIDDEN = (*executions.PRIVATE, "wanted_workers", "expires", "default_environment")
NO_ACCOUNT: Record = dict.fromkeys(("uid", "gid", "tasdir"))
"""What the platform knows of the account that a container runs as; here there is none."""
_MAX_CONDITIONS = 100
_WORDS = {"search": "words", "exactsearch": "a phrase"}
_TABLES = {"actors": tables.actors, "executions": tables.executions, "logs": tables.logs}
_ORDER = {"executions": (tables.executions.c.sequence,)}
_TYPES = {
    DateTime: conditions.MOMENT,
    Integer: conditions.NUMBER,
    Boolean: conditions.FLAG,
    JSON: conditions.ANY,
}


def _holds(column: Column[Any]) -> str:
    return next(
        (words for kind, words in _TYPES.items() if isinstance(column.type, kind)), conditions.TEXT
    )


_FIELDS: dict[str, dict[str, str]] = {
    **{
        kind: {column.name: _holds(column) for column in table.c if column.name not in _HIDDEN}
        for kind, table in _TABLES.items()
    },
    "workers": {
        **dict.fromkeys(("id", "actor_id", "status", "image", "ch_name"), conditions.TEXT),
        **dict.fromkeys(
            ("create_time", "last_execution_time", "last_health_check_time"), conditions.MOMENT
        ),
    },
}
_FINAL_STATE = {
    conditions.MOMENT: ("StartedAt", "FinishedAt"),
    conditions.NUMBER: ("ExitCode", "Pid"),
    conditions.FLAG: ("Running", "Paused", "Restarting", "OOMKilled", "Dead"),
    conditions.TEXT: ("Status", "Error"),
}
_FIELDS["executions"] |= {
    f"final_state.{name}": kind for kind, names in _FINAL_STATE.items() for name in names
}
"""What the fields of each kind of record hold."""


def search(call: Call) -> Reply:
    """Search among what the sender has a permission for."""
    kind = call.path["kind"]
    if kind not in _KINDS:
        message = f"There is no search for {kind:.50}: use one of {', '.join(_KINDS)}."
        raise NotFound(message)
    return search_in(call, kind)


def search_in(call: Call, kind: str) -> Reply:
    """Return the records of a kind that fit the parameters of the URL."""
    tests, skip, limit = _read(call.query, _FIELDS[kind])
    found: list[Mapping[str, Any]] = []
    total = 0
    room = _MAX_BYTES
    with call.gateway.database.read() as tx:
        if kind == "executions" and "actor" in call.path and not tests:
            total = call.gateway.executions.of_actor(tx, call.actor["id"])
            found = list(executions.page_of(tx, call.actor["id"], skip, limit, total))
        else:
            for record in _records(tx, call, kind):
                if all(test(record) for test in tests):
                    total += 1
                    if skip < total <= skip + limit and room > 0:
                        found.append(record)
                        room -= sum(map(_size, record.values()))
        owners = actors.owners(tx, call.tenant)
        user = call.principal.user
        whole = permissions.subjects(tx, call.tenant, permissions.ACTOR, user, UPDATE)
    shown = [
        {
            **_show(record),
            **(_of_actor(record, whole) if kind == "actors" else {}),
            "_links": _links(call, kind, record, owners),
        }
        for record in found
    ]
    metadata = {
        "totalCount": total,
        "recordsSkipped": skip,
        "recordLimit": limit,
        "countReturned": len(shown),
    }
    message = f"{kind.removesuffix('s').capitalize()}s search completed successfully."
    if kind == "logs":
        message = "Log search completed successfully."
    if room <= 0 and skip + len(shown) < total:
        message += (
            f" For their size, {len(shown)} are returned: go on with skip={skip + len(shown)}."
        )
    return Reply({"_metadata": metadata, "search": shown}, message)


def _records(tx: Connection, call: Call, kind: str) -> Iterator[Mapping[str, Any]]:
    whose = (call.tenant, permissions.ACTOR, call.principal.user)
    if kind == "workers":
        mine = permissions.subjects(tx, *whose)
        for actor_id in sorted(mine & {call.actor["id"]} if "actor" in call.path else mine):
            for worker in call.gateway.workers_of(actor_id):
                yield {
                    "id": worker.id,
                    "actor_id": actor_id,
                    "status": worker.status,
                    "image": worker.image,
                    "create_time": worker.create_time,
                    "last_execution_time": worker.last_execution_time,
                    "last_health_check_time": None,
                    "ch_name": f"worker_{worker.id}",
                }
        return
    table = _TABLES[kind]
    # of an environment the names are shown, but nothing is searched
    names = [*_FIELDS[kind], *(("default_environment",) if kind == "actors" else ())]
    query = select(*(table.c[name] for name in names if name in table.c))
    query = query.where(_is_one_of(table, permissions.of_user(*whose), call))
    query = query.order_by(*_ORDER.get(kind, ()))
    at_once = _AT_ONCE.get(kind, _LIMIT)
    rows = tx.execution_options(yield_per=at_once).execute(query).mappings()
    for row in rows:
        yield dict(row)


def _is_one_of(table: Table, mine: Select[tuple[str]], call: Call) -> ColumnElement[bool]:
    """Return the condition for the records of some actors: those of others are not even read."""
    if table is tables.actors:
        return and_(table.c.tenant == call.tenant, table.c.id.in_(mine))
    wanted: ColumnElement[bool] = table.c.actor_id.in_(mine)
    if "actor" in call.path:
        wanted = and_(wanted, table.c.actor_id == call.actor["id"])
    if table is not tables.executions:
        return wanted
    # the index has those of an actor by their status, and not in the order in which they came
    return table.c.sequence.in_(select(table.c.sequence).where(wanted))


def _size(value: Any) -> int:
    """Return how many bytes a value takes in an answer, about."""
    if isinstance(value, str) and value.isascii():
        return len(value)
    return len(json.dumps(value, default=str))


def _read(
    query: Iterable[tuple[str, str]], fields: Mapping[str, str]
) -> tuple[list[Callable[[Mapping[str, Any]], bool]], int, int]:
    tests: list[Callable[[Mapping[str, Any]], bool]] = []
    words: list[list[str]] = []
    numbers = {"skip": 0, "limit": _LIMIT}
    for name, text in query:
        if name in numbers:
            numbers[name] = _count(name, text)
        elif name in _WORDS:
            if not text.strip():
                message = f"{name} needs {_WORDS[name]}, not {text!r:.50}."
                raise BadRequest(message)
            words.append(text.lower().split() if name == "search" else [text.lower()])
        elif name != NONCE:
            tests.append(conditions.make(name, text, fields))
    if len(tests) + sum(map(len, words)) > _MAX_CONDITIONS:
        message = f"A search has at most {_MAX_CONDITIONS} conditions and words."
        raise BadRequest(message)
    if words:
        tests.append(_has_words(words))
    return tests, numbers["skip"], min(numbers["limit"], _MAX_RECORDS)


def _count(name: str, text: str) -> int:
    digits = text.lstrip("0") or text[:1]
    if not text.isascii() or not text.isdigit() or int(digits[:20]) > MAX_INTEGER:
        message = f"{name} must be a number from 0 on, not {text!r:.50}."
        raise BadRequest(message)
    return int(digits)


def _has_words(words: list[list[str]]) -> Callable[[Mapping[str, Any]], bool]:
    def test(record: Mapping[str, Any]) -> bool:
        text = json.dumps(_show(record), ensure_ascii=False).lower()
        return all(any(word in text for word in each) for each in words)

    return test


def _show(record: Mapping[str, Any]) -> Record:
    shown = envelope.show(record, without=_HIDDEN)
    missing = {name for name in record if record[name] is None and name not in _HIDDEN}
    return {**shown, **dict.fromkeys(map(envelope.camel, sorted(missing)))}


def _of_actor(record: Mapping[str, Any], whole: Container[str]) -> Record:
    """Return what an actor has besides the columns that are searched; its secrets if it is one of the `whole`."""
    environment = description.shown_environment(record, whole=record["id"] in whole)
    return {"defaultEnvironment": environment, "mounts": [], **NO_ACCOUNT}


def _links(
    call: Call, kind: str, record: Mapping[str, Any], owners: Mapping[str, str]
) -> dict[str, str]:
    actor_id = record["id"] if kind == "actors" else record["actor_id"]
    own: tuple[str, ...] = ()
    if kind == "workers":
        own = ("workers", record["id"])
    elif kind != "actors":
        own = ("executions", record["id" if kind == "executions" else "execution_id"])
    links = {"self": call.link(actor_id, *own), "owner": call.profile(owners.get(actor_id, ""))}
    if kind == "actors":
        links["executions"] = call.link(actor_id, "executions")
    elif kind == "executions":
        links["logs"] = call.link(actor_id, *own, "logs")
    elif kind == "logs":
        links |= {"execution": links["self"], "self": call.link(actor_id, *own, "logs")}
    return links


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
