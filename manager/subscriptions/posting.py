"""One POST to an address that somebody else has chosen: bounded in time and size, never redirected."""

from __future__ import annotations

import base64
import contextlib
import datetime
import email.utils
import http.client
import io
import socket
import ssl
import time
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from addresses import is_public

if TYPE_CHECKING:
    from collections.abc import Mapping
    from urllib.parse import SplitResult

CONNECT_SECONDS, ANSWER_SECONDS = 5.0, 10.0
"""For the connection, and from then on until the answer is there."""
MAX_BYTES = 64 * 1024
MAX_RETRY_AFTER = 86_400.0
_GONE, _BUSY = 410, (408, 429)
_SHOWN = 200
_PORTS = {"http": 80, "https": 443}
_UNQUOTED = "/%?:@!$&'()*+,;=~"
_NO_ANSWER = (OSError, http.client.HTTPException, ValueError)
"""What an exchange raises; the last where the length of a part of the answer is not valid."""


class DeliveryFailed(Exception):
    """Something was not delivered.

    Args:
        reason: why, in a line without secrets.
        retry_after: seconds for which the other side wants to be left alone.
        gone: it has unsubscribed.
        away: it did not answer, or is overloaded: there is no use in asking for something else.
        cut_short: it had less time than anybody may take, and may have been told.
    """

    def __init__(
        self,
        reason: str,
        *,
        retry_after: float | None = None,
        gone: bool = False,
        away: bool = False,
        cut_short: bool = False,
    ) -> None:
        super().__init__(reason)
        self.retry_after = retry_after
        self.gone = gone
        self.away = away
        self.cut_short = cut_short


class Unformattable(DeliveryFailed):
    """Something could not be formatted, of what others have written into the database."""


class Answer(NamedTuple):
    """What a POST was answered."""

    status: int
    headers: Mapping[str, str]
    """their names in lower case"""
    start: str
    """of the body"""


class Poster:
    """Sends to one address, over a connection that is kept.

    Args:
        url: http or https.
        allow_private: whether the address may be one of this machine or of a private network.

    Raises:
        ValueError: it is not such a URL.
    """

    def __init__(self, url: str, *, allow_private: bool = False) -> None:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
            # one with an empty or overlong label cannot be looked up
            named = parts.netloc.rpartition("@")[2].encode("idna").decode()
        except (KeyError, ValueError):
            host = ""
        if not host:
            message = "not an http or https URL"
            raise ValueError(message)
        if " " in named or url.strip() != url or not url.isprintable():
            message = "a URL with a blank around it or in its host, or with a control character"
            raise ValueError(message)
        self._scheme, self._host, self._port = parts.scheme, host, port
        self._netloc = named
        # as a browser writes what others may type: blanks, and letters that are not ASCII
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._target = quote(target, safe=_UNQUOTED)
        self._credentials = _basic(parts)
        self._allow_private = allow_private
        self._connection: http.client.HTTPConnection | None = None
        self._bounded: _Bounded | None = None

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._bounded is not None:
            self._bounded.end()
            self._bounded = None

    def post(
        self, body: bytes, headers: Mapping[str, str], *, seconds: float = ANSWER_SECONDS
    ) -> Answer:
        """Send a body; return the answer if it is a 2xx.

        Args:
            body: what.
            headers: besides `Host` and `Content-Length`.
            seconds: that it may take, once there is a connection.

        Raises:
            DeliveryFailed: it is no 2xx, or none came.
        """
        is_kept = self._connection is not None
        try:
            answer = self._exchange(body, headers, seconds)
        except (http.client.RemoteDisconnected, ConnectionError) as error:
            self.close()
            if not is_kept:
                raise _unanswered(error, seconds) from error
            # it was closed while nothing was sent, as servers do after a while
            try:
                answer = self._exchange(body, headers, seconds)
            except _NO_ANSWER as again:
                self.close()
                raise _unanswered(again, seconds) from again
        except _NO_ANSWER as error:
            self.close()
            raise _unanswered(error, seconds) from error
        if not http.client.OK <= answer.status < http.client.MULTIPLE_CHOICES:
            raise _refused(answer)
        return answer

    def _exchange(self, body: bytes, headers: Mapping[str, str], seconds: float) -> Answer:
        connection = self._connection
        if connection is None:
            connection = self._connect(min(seconds, CONNECT_SECONDS))
        if self._bounded is not None:
            self._bounded.deadline = time.monotonic() + seconds
        given = {
            "Host": self._netloc,
            "Content-Length": str(len(body)),
            **self._credentials,
            **headers,
        }
        connection.putrequest("POST", self._target, skip_host=True, skip_accept_encoding=True)
        for name, value in given.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        response = connection.getresponse()
        content = response.read(MAX_BYTES)
        if response.will_close or not response.isclosed():
            # an answer that is longer than anybody needs is left unread
            self.close()
        found = {name.lower(): value for name, value in response.getheaders()}
        start = content[:_SHOWN].decode("utf-8", "replace")
        return Answer(response.status, found, start)

    def _connect(self, seconds: float) -> http.client.HTTPConnection:
        deadline = time.monotonic() + seconds
        last: OSError | None = None
        addresses = _resolve(self._host, self._port, allow_private=self._allow_private)
        for tried, address in enumerate(addresses):
            # one that does not answer leaves time for those after it
            share = (deadline - time.monotonic()) / (len(addresses) - tried)
            try:
                plain = socket.create_connection(address, timeout=max(0.01, share))
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self._scheme == "https":
                    plain = _context().wrap_socket(plain, server_hostname=self._host)
            except OSError as error:
                last = error
                continue
            connection = http.client.HTTPConnection(self._host, self._port)
            self._bounded = connection.sock = _Bounded(plain)
            self._connection = connection
            return connection
        raise last or OSError


def _basic(parts: SplitResult) -> dict[str, str]:
    """Return the header for the user and password in a URL (RFC 7617)."""
    if parts.username is None:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


class _Bounded:
    """A socket whose every wait ends at one deadline, however slowly the bytes come."""

    def __init__(self, plain: socket.socket) -> None:
        self._plain = plain
        self.deadline = 0.0

    def _wait(self) -> None:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._plain.settimeout(left)

    def sendall(self, data: bytes) -> None:
        self._wait()
        self._plain.sendall(data)

    def receive(self, buffer: Any) -> int:
        self._wait()
        return self._plain.recv_into(buffer)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self))

    def close(self) -> None:
        """Stay open: the answer may have yet to be read from it."""

    def end(self) -> None:
        with contextlib.suppress(OSError):
            self._plain.close()


class _Reader(io.RawIOBase):
    def __init__(self, bounded: _Bounded) -> None:
        super().__init__()
        self._bounded = bounded

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._bounded.receive(buffer)


class _ForbiddenError(OSError):
    """The address is one that nobody outside may have us call."""


def _resolve(host: str, port: int, *, allow_private: bool) -> list[tuple[str, int]]:
    """Return the addresses of a host.

    Raises:
        OSError: there is none, or one of them is not public.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(info[4][0]) for info in found))
    for address in addresses:
        if not allow_private and not is_public(address):
            message = f"{host} is a private address: allow_private is off"
            raise _ForbiddenError(message)
    return [(address, port) for address in addresses]


@cache
def _context() -> ssl.SSLContext:
    return ssl.create_default_context()


def _unanswered(error: Exception, seconds: float) -> DeliveryFailed:
    if isinstance(error, _ForbiddenError):
        return DeliveryFailed(str(error), away=True)
    if isinstance(error, TimeoutError):
        cut_short = seconds < ANSWER_SECONDS
        return DeliveryFailed("no answer in time", away=True, cut_short=cut_short)
    if isinstance(error, http.client.HTTPException | ValueError):
        return DeliveryFailed(f"not a valid HTTP answer ({type(error).__name__})", away=True)
    # of a certificate that is not trusted, this is why
    reason = getattr(error, "verify_message", None) or getattr(error, "strerror", None)
    return DeliveryFailed(f"no connection: {reason or type(error).__name__}", away=True)


def _refused(answer: Answer) -> DeliveryFailed:
    status = answer.status
    reason = f"HTTP status {status}"
    if http.client.MULTIPLE_CHOICES <= status < http.client.BAD_REQUEST:
        reason += ", and redirects are not followed"
    wait = _seconds(answer.headers.get("retry-after", ""))
    is_away = status in _BUSY or wait is not None
    return DeliveryFailed(reason, retry_after=wait, gone=status == _GONE, away=is_away)


def _seconds(retry_after: str) -> float | None:
    """Return how long a `Retry-After` asks to wait, or None."""
    text = retry_after.strip()
    if text.isascii() and text.isdecimal():
        return min(MAX_RETRY_AFTER, float(text[:9]))
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.timezone.utc)
    wait = (moment - datetime.datetime.now(datetime.timezone.utc)).total_seconds()
    return min(MAX_RETRY_AFTER, max(0.0, wait))
