"""Subscribers to measure with: a process that answers on one port, in ways that the path names.

    python -m bench.receivers

It prints its port, and then answers POSTs: at once, with 500 (`/failing`), or never (`/hanging`); a
GET is answered with how many POSTs it has answered well.
"""

from __future__ import annotations

import asyncio
import os

HOST = "127.0.0.1"
NICENESS = 10
"""In earnest they are on other machines."""
_count = 0


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    global _count  # noqa: PLW0603 - the one thing that this process knows
    while head := await reader.readuntil(b"\r\n\r\n"):
        method, path, _ = head.split(b" ", 2)
        _, _, length = head.lower().partition(b"content-length: ")
        if method == b"POST":
            await reader.readexactly(int(length.split(b"\r")[0]))
        if path == b"/hanging":
            await asyncio.sleep(3600)
        is_failing = path == b"/failing"
        body = b"" if method == b"POST" else str(_count).encode()
        _count += method == b"POST" and not is_failing
        status = b"500 No" if is_failing else b"200 OK"
        writer.write(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))
        await writer.drain()


async def _handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        await _answer(reader, writer)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main() -> None:
    """Answer until the process is ended."""
    os.nice(NICENESS)
    server = await asyncio.start_server(_handle, HOST, 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
