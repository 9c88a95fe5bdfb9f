"""The client of the platform: agavepy, also for a server at plain http or with a port."""

from __future__ import annotations

import functools
import json
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from reactors.exceptions import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

TIMEOUT = 10.0
MAX_BYTES = 4 * 1024 * 1024
_PART_BYTES = 64 * 1024
_PORTS = {"http": 80, "https": 443}


def make_client(
    environ: Mapping[str, str], *, use_nonce: bool = False, timeout: float = TIMEOUT
) -> Any:
    """Return an `agavepy.agave.Agave` for the server and token that the platform handed over.

    agavepy always speaks https and attaches the token only where the server has no port. For
    other servers its own description of the API is loaded with the right scheme, and it is told
    the bare name of the host.

    Args:
        environ: `_abaco_api_server` and `_abaco_access_token`.
        use_nonce: authenticate with the `nonce` of each call, not with the token.
        timeout: seconds until a connection or an answer is given up.

    Raises:
        SettingsError: there is no server or no token, or agavepy is not installed.
    """
    try:
        from agavepy import agave  # noqa: PLC0415 - costs a quarter of a second
    except ImportError as error:
        message = "agavepy is not installed: pip install agavepy"
        raise SettingsError(message) from error
    server, token = environ.get("_abaco_api_server"), environ.get("_abaco_access_token")
    if not server:
        message = (
            "the platform gave no API server: outside of an actor, set _abaco_api_server "
            "and _abaco_access_token"
        )
        raise SettingsError(message)
    if not token and not use_nonce:
        message = "the platform gave no access token: create the actor with its token switched on"
        raise SettingsError(message)
    parts = urlsplit(server)
    resources = json.loads(_description(server))
    credentials = {"use_nonce": True} if use_nonce else {"token": token}
    # agavepy takes proxies from the environment, but not the hosts that need none
    proxies = {} if proxy_bypass(str(parts.hostname)) else getproxies()
    client = agave.Agave(api_server=server, resources=resources, proxies=proxies, **credentials)
    client.host = parts.hostname
    client.refresh_aris()
    _limit(client.all.http_client.session, timeout, _origin(server))
    return client


@functools.lru_cache(maxsize=8)
def _description(server: str) -> str:
    """Return what agavepy knows of the API of a server, as JSON: it takes a tenth of a second to make."""
    from agavepy import agave  # noqa: PLC0415 - costs a quarter of a second

    text = json.dumps(agave.load_resource(server))
    parts = urlsplit(server)
    if parts.scheme == "http":
        text = text.replace(f"https://{parts.netloc}", f"http://{parts.netloc}")
    return text


def _origin(url: str) -> tuple[str, str | None, int | None]:
    """Return what a URL leads to: scheme, host and port."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)


def _limit(session: Any, timeout: float, origin: tuple[str, str | None, int | None]) -> None:
    """Bound the time and the size of every answer, however slowly its bytes come.

    Of one that is streamed, only the time that is waited for its next bytes is bounded. An answer
    that leads to another server is not followed: it could be a private one.
    """
    from requests.adapters import HTTPAdapter  # noqa: PLC0415 - comes with agavepy
    from requests.exceptions import (  # noqa: PLC0415 - comes with agavepy
        ContentDecodingError,
        InvalidURL,
        ReadTimeout,
    )

    class Limited(HTTPAdapter):
        def send(self, request: Any, **options: Any) -> Any:  # type: ignore[override]  # as they come
            if _origin(request.url) != origin:
                message = "the platform redirects to another server"
                raise InvalidURL(message, request=request)
            options["timeout"] = timeout
            response = super().send(request, **options)
            if options.get("stream"):
                return response
            # not before, since what is sent may be large
            deadline = time.monotonic() + timeout
            content = bytearray()
            while part := response.raw.read1(_PART_BYTES, decode_content=True):
                content += part
                if len(content) > MAX_BYTES:
                    response.close()
                    raise ContentDecodingError(request=request)
                if time.monotonic() > deadline:
                    response.close()
                    raise ReadTimeout(request=request)
            response._content = bytes(content)  # noqa: SLF001 - where requests keeps it
            response._content_consumed = True  # noqa: SLF001 - where requests keeps it
            return response

    for scheme in ("https://", "http://"):
        session.mount(scheme, Limited())
