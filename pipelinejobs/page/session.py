"""Who is signed in: an access token in a cookie, which no script and no other site gets to use.

The token itself is the session: it ends when the token is revoked or expires, and survives a restart
of the gateway. A form proves that it comes from the page by a second secret, worked out of the token.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

_LIFETIME = 30 * 86_400
_SAFE_SITES = ("same-origin", "none")


def token_of(request: Request) -> str:
    """Return the access token in the cookie; empty where there is none."""
    return request.cookies.get(_cookie(request), "")


def begin(request: Request, response: Response, token: str) -> None:
    """Put an access token into the cookie; it is looked at on every request."""
    response.set_cookie(
        _cookie(request),
        token,
        max_age=_LIFETIME,
        path="/",
        secure=request.url.scheme == "https",
        httponly=True,
        # strict would not come along from a link in a mail or a terminal in a browser
        samesite="lax",
    )


def end(request: Request, response: Response) -> None:
    """Take the cookie away."""
    response.delete_cookie(_cookie(request), path="/")


def csrf_token(token: str) -> str:
    """Return what a form has to send along, in the session of an access token."""
    return hmac.new(token.encode(), b"a form of the page", hashlib.sha256).hexdigest()


def is_own(request: Request, token: str, shown: str) -> bool:
    """Tell whether a form was sent by the page itself."""
    right = hmac.compare_digest(csrf_token(token).encode(), shown.encode())
    return right and not comes_from_elsewhere(request)


def comes_from_elsewhere(request: Request) -> bool:
    """Tell whether another site has sent the browser here (Fetch Metadata, else RFC 6454)."""
    headers = request.headers
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in _SAFE_SITES
    origin = headers.get("origin") or headers.get("referer")
    return origin is not None and urlsplit(origin).netloc != headers.get("host")


def _cookie(request: Request) -> str:
    # cookies are shared by all ports of a host
    return f"pipelinejobs_{request.url.port or request.url.scheme}"
