"""A balancer of connections: each goes to the next of some servers, or to the one behind it if that is away.

What was sent to a server is never sent to another one.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
from collections.abc import Sequence
from typing import TypeAlias

Address: TypeAlias = "tuple[str, int]"
_CONNECT_SECONDS = 1.0
_PART_BYTES = 65_536


class Balancer:
    """The balancer, from `with` to the end of the block.

    Args:
        host: the address that it listens at.
        servers: where connections go, in turn.

    Attributes:
        port: that it listens at.
        servers: as above; they may change.
    """

    def __init__(self, host: str, servers: Sequence[Address] = ()) -> None:
        self.host, self.port = host, 0
        self.servers = servers
        self._turns = itertools.count()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="balancer")

    def __enter__(self) -> Balancer:  # noqa: PYI034 - Self is newer than Python 3.10
        """Listen."""
        self._thread.start()
        starting = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, self.host, 0), self._loop
        )
        self._server = starting.result()
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    def __exit__(self, *_exception: object) -> None:
        """End all connections."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """End the connections that there are."""
        asyncio.run_coroutine_threadsafe(self._cut(), self._loop).result()

    async def _end(self) -> None:
        self._server.close()
        await self._cut()

    @staticmethod
    async def _cut() -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            for _ in self.servers:
                host, port = self.servers[next(self._turns) % len(self.servers)]
                try:
                    connecting = asyncio.open_connection(host, port)
                    there = await asyncio.wait_for(connecting, _CONNECT_SECONDS)
                except (OSError, asyncio.TimeoutError):
                    continue
                await asyncio.gather(_pass_on(reader, there[1]), _pass_on(there[0], writer))
                return


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Write what is read, until one of the two sides has ended."""
    with contextlib.closing(writer), contextlib.suppress(OSError):
        while part := await reader.read(_PART_BYTES):
            writer.write(part)
            await writer.drain()
