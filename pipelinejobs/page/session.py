"""Who is signed in: the secret of a session in a cookie, which no script and no other site gets to use.

The platform keeps the session, see `abaco.store.sessions`: it ends when somebody signs out, or with the
access token that began it, and survives a restart of the gateway. A form proves that it comes from the
page by a second secret, worked out of that of the session. It is written differently in each page, so
that nobody can guess it, letter by letter, from the sizes of compressed pages (BREACH).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from abaco.store.sessions import SESSION_SECONDS

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

_SAFE_SITES = ("same-origin", "none")


def of(request: Request) -> str:
    """Return the secret of the session in the cookie; empty where there is none."""
    return request.cookies.get(_cookie(request), "")


def begin(request: Request, response: Response, secret: str) -> None:
    """Put the secret of a session into the cookie; it is looked at on every request."""
    response.set_cookie(
        _cookie(request),
        secret,
        max_age=SESSION_SECONDS,
        path="/",
        secure=request.url.scheme == "https",
        httponly=True,
        # strict would not come along from a link in a mail or a terminal in a browser
        samesite="lax",
    )


def end(request: Request, response: Response) -> None:
    """Take the cookie away."""
    response.delete_cookie(_cookie(request), path="/")


def csrf_token(secret: str) -> str:
    """Return what a form has to send along in a session, in a form that is used once."""
    proof = _proof(secret)
    mask = secrets.token_bytes(len(proof))
    return (mask + _combined(mask, proof)).hex()


def is_own(request: Request, secret: str, shown: str) -> bool:
    """Tell whether a form was sent by the page itself."""
    try:
        given = bytes.fromhex(shown)
    except ValueError:
        return False
    half = len(given) // 2
    right = hmac.compare_digest(_combined(given[:half], given[half:]), _proof(secret))
    return right and not comes_from_elsewhere(request)


def _proof(secret: str) -> bytes:
    return hmac.digest(secret.encode(), b"a form of the page", hashlib.sha256)


def _combined(mask: bytes, other: bytes) -> bytes:
    return bytes(one ^ two for one, two in zip(mask, other, strict=False))


def comes_from_elsewhere(request: Request) -> bool:
    """Tell whether another site has sent the browser here (Fetch Metadata, else RFC 6454)."""
    headers = request.headers
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in _SAFE_SITES
    origin = headers.get("origin") or headers.get("referer")
    try:
        return origin is not None and urlsplit(origin).netloc != headers.get("host")
    except ValueError:
        return True


def _cookie(request: Request) -> str:
    # cookies are shared by all ports of a host
    return f"pipelinejobs_{request.url.port or request.url.scheme}"
