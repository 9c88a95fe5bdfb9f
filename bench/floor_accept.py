"""The least that accepts a message and has it on disk: what the gateway is measured against.

A body is parsed, and becomes two rows; all that wait are written in one transaction. It knows no actor,
no sender, no rights, and nobody handles what it accepts. `DB` in the environment names its file.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import sqlite3
from typing import TYPE_CHECKING, NamedTuple

from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

_TABLES = """
CREATE TABLE executions (number INTEGER PRIMARY KEY, id TEXT UNIQUE, status TEXT);
CREATE TABLE messages (number INTEGER PRIMARY KEY, body BLOB);
"""


class _Waiting(NamedTuple):
    """A message whose sender waits until it is on disk."""

    id: str
    body: bytes
    written: asyncio.Future[None]


_queue: asyncio.Queue[_Waiting] = asyncio.Queue()


def _write(database: sqlite3.Connection, batch: list[_Waiting]) -> None:
    with database:
        for each in batch:
            row = database.execute(
                "INSERT INTO executions (id, status) VALUES (?, 'SUBMITTED')", (each.id,)
            )
            database.execute("INSERT INTO messages VALUES (?, ?)", (row.lastrowid, each.body))


async def _write_all(database: sqlite3.Connection) -> None:
    while True:
        batch = [await _queue.get()]
        while not _queue.empty():
            batch.append(_queue.get_nowait())
        await asyncio.to_thread(_write, database, batch)
        for each in batch:
            each.written.set_result(None)


async def accept(request: Request) -> JSONResponse:
    """Answer when a message is on disk."""
    body = await request.body()
    json.loads(body)
    waiting = _Waiting(secrets.token_hex(6), body, asyncio.get_running_loop().create_future())
    _queue.put_nowait(waiting)
    await waiting.written
    return JSONResponse({"status": "success", "result": {"executionId": waiting.id}})


@contextlib.asynccontextmanager
async def _lifespan(_app: Starlette) -> AsyncIterator[None]:
    database = sqlite3.connect(os.environ["DB"], check_same_thread=False)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.executescript(_TABLES)
    writing = asyncio.create_task(_write_all(database))
    yield
    writing.cancel()
    database.close()


app = Starlette(routes=[Route("/messages", accept, methods=["POST"])], lifespan=_lifespan)
