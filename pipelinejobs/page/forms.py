"""Forms that a browser sends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from starlette.datastructures import ImmutableMultiDict

from pipelinejobs.page.context import Problem

if TYPE_CHECKING:
    from starlette.requests import Request

MAX_BYTES = 2 * 1024 * 1024
SIGN_IN_BYTES = 16 * 1024
"""Of a form that anybody may send."""
_SECONDS = 30.0
_MAX_FIELDS = 100
Form = ImmutableMultiDict[str, str]
"""Of several fields of one name, it gives the last one; `getlist` gives all."""
_FORM = "application/x-www-form-urlencoded"


async def read(request: Request, most: int = MAX_BYTES) -> Form:
    """Return the fields of a form.

    Args:
        request: as it came.
        most: the bytes that it may have.

    Raises:
        Problem: it is not a form, too large, or does not come.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        message = f"A form is sent as {_FORM}."
        raise Problem(message, 415)
    try:
        body = await asyncio.wait_for(_read(request, most), _SECONDS)
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except asyncio.TimeoutError:
        message = f"The form did not come within {_SECONDS:g} s."
        raise Problem(message, 408) from None
    except ValueError:
        message = "The form cannot be read."
        raise Problem(message, 400) from None
    return Form(pairs)


async def _read(request: Request, most: int) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > most:
            message = f"The form is larger than {most} bytes."
            raise Problem(message, 413)
    return bytes(body)
