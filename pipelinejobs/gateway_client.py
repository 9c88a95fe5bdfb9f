"""The client of the gateway: what the command line asks of the Abaco API."""

from __future__ import annotations

import ipaddress
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from pipelinejobs.exceptions import CommandError, Missing, Unreachable, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

TIMEOUT = 30.0
MAX_EXECUTION = 330.0
_MANAGER = "_REACTOR_PIPELINES_JOB_MANAGER_ID"
_NOT_OF_NONCE = (Unreachable, UsageError)
"""Errors that a message with a nonce has whatever the nonce is for."""
_OK, _UNAUTHORIZED, _NOT_FOUND, _SERVER_ERROR = 200, 401, 404, 500


def http_client(server: str, *, verify: bool = True) -> httpx.Client:
    """Return what sends requests.

    Args:
        server: the base URL; where it is on this machine, no proxy gets to see them.
        verify: check the certificate of the server.
    """
    import httpx  # noqa: PLC0415 - takes 60 ms and 4 MB; a gateway whose page nobody opens does without

    return httpx.Client(
        timeout=TIMEOUT, verify=verify, follow_redirects=False, trust_env=not _is_here(server)
    )


def _is_here(server: str) -> bool:
    try:
        host = urlsplit(server).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class GatewayClient:
    """The API of a tenant, and in it one actor.

    Args:
        server: the base URL.
        token: an access token; may be empty where only nonces are used.
        actor: the id or alias of the manager.
        client: what sends the requests; by default `http_client(server)`.
    """

    def __init__(
        self, server: str, token: str, actor: str, client: httpx.Client | None = None
    ) -> None:
        self.server = server.rstrip("/")
        self.actor = actor
        self._token = token
        self._client = client or http_client(server)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def send(
        self,
        body: Mapping[str, Any],
        parameters: Mapping[str, str] | None = None,
        *,
        nonce: str | None = None,
        wait: bool = True,
    ) -> dict[str, Any]:
        """Send a message to the manager.

        Args:
            body: the message.
            parameters: of the URL.
            nonce: what to authenticate with in place of the token.
            wait: until the manager has answered.

        Returns:
            The manager's answer; without `wait`, the id of the execution as `execution`.

        Raises:
            CommandError: the gateway or the manager refused it.
            Unreachable: the gateway does not answer.
        """
        query = {**(parameters or {}), **({} if nonce is None else {"x-nonce": nonce})}
        if wait:
            query["_abaco_synchronous"] = "true"
        options: dict[str, Any] = {"nonce": nonce, "params": query, "json": dict(body)}
        try:
            reply = self._request("POST", f"/{self._path}/messages", **options)
        except CommandError as error:
            # a nonce is for an id or for an alias, and it may be the other one
            actor_id = self._id() if nonce and not isinstance(error, _NOT_OF_NONCE) else None
            if actor_id is None:
                raise
            reply = self._request("POST", f"/{actor_id}/messages", **options)
        if not wait:
            return {"execution": _result(reply)["executionId"]}
        try:
            answer = json.loads(reply.content)
        except ValueError:
            # the actor did not come to answer: this is its log
            last = (reply.text.strip().splitlines() or ["no answer and no log"])[-1]
            message = f"the manager ended without an answer: {last:.300}"
            raise CommandError(message) from None
        if not isinstance(answer, dict):
            message = "the manager's answer is not a JSON object: is this the right actor?"
            raise CommandError(message)
        if "error" in answer:
            raise CommandError(str(answer["error"]))
        return answer

    def _id(self) -> str | None:
        """Return the id behind the manager's alias, or None where it cannot be told."""
        try:
            found = quote(str(self.manager()["id"]), safe="") if self._token else None
        except CommandError:
            return None
        return None if found == self._path else found

    def manager(self) -> dict[str, Any]:
        """Return the manager as the gateway describes it."""
        found: dict[str, Any] = self.ask("GET", self.actor)
        return found

    def ask(self, method: str, *path: str, **options: Any) -> Any:
        """Return the result of a request to the API.

        Args:
            method: of HTTP.
            path: the names behind `/actors/v2`.
            options: `params` and `json`, as httpx takes them.

        Raises:
            CommandError: the gateway refused it.
            Unreachable: the gateway does not answer.
        """
        for name in path:
            if name in ("", ".", ".."):
                message = f"{name!r} cannot be a name"
                raise CommandError(message)
        names = "".join(f"/{quote(name, safe='')}" for name in path)
        return _result(self._request(method, names, **options))

    def ready(self) -> httpx.Response:
        """Return the answer to the question whether messages are accepted."""
        return self._ask("GET", f"{self.server}/readyz")

    def page(self) -> str:
        """Return an address of the page that signs the owner of the token in, once.

        Raises:
            CommandError: the gateway has no page, or does not accept the token.
            Unreachable: the gateway does not answer.
        """
        url = f"{self.server}/sign-in/codes"
        reply = self._ask("POST", url, headers=self._bearer())
        if reply.status_code == _NOT_FOUND:
            message = f"the gateway at {self.server} has no page: only that of `make up` has one"
            raise CommandError(message)
        if reply.status_code != _OK:
            raise self._refused(reply)
        return str(reply.json()["address"])

    def _bearer(self) -> dict[str, str]:
        if not self._token:
            message = (
                "there is no access token: set _abaco_access_token, or send with --nonce NONCE"
            )
            raise UsageError(message)
        return {"Authorization": f"Bearer {self._token}"}

    @property
    def _path(self) -> str:
        return quote(self.actor, safe="")

    def _request(
        self, method: str, path: str, *, nonce: str | None = None, **options: Any
    ) -> httpx.Response:
        headers = self._bearer() if nonce is None else {}
        url = f"{self.server}/actors/v2{path}"
        waits = method == "POST" and path.endswith("/messages")
        reply = self._ask(
            method, url, headers=headers, timeout=MAX_EXECUTION if waits else TIMEOUT, **options
        )
        if reply.status_code != _OK:
            raise self._refused(reply, path)
        return reply

    def _ask(self, method: str, url: str, **options: Any) -> httpx.Response:
        import httpx  # noqa: PLC0415 - as above

        try:
            return self._client.request(method, url, **options)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            # the URL may hold a nonce
            message = (
                f"the gateway at {self.server} does not answer ({_reason(error)}): "
                "is `make up` running, and is this its address?"
            )
            raise Unreachable(message) from error

    def _refused(self, reply: httpx.Response, path: str = "") -> CommandError:
        status = reply.status_code
        if status == _UNAUTHORIZED:
            return CommandError(
                f"the gateway at {self.server} does not accept the access token: "
                "it has expired, was revoked, or is another tenant's; "
                "`python -m abaco token create` makes another for a local gateway"
            )
        text = message_of(reply)
        if status == _NOT_FOUND and path.split("/")[1:2] == [self._path]:
            text = f"{text.rstrip('.')}. Name the manager's id in {_MANAGER}."
        elif "nonce does not exist" in text.lower():
            text += (
                f" It was used up or deleted, or is for another id or alias than {self.actor}:"
                f" use one that was made for that, or name the manager's id in {_MANAGER}."
            )
        message = f"the gateway at {self.server} refused: {text:.500}"
        if status == _NOT_FOUND:
            return Missing(message)
        return Unreachable(message) if status >= _SERVER_ERROR else CommandError(message)


def message_of(reply: httpx.Response) -> str:
    """Return what a reply of the gateway says in words, else its status."""
    try:
        return str(reply.json()["message"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP status {reply.status_code}"


def _reason(error: Exception) -> str:
    """Return why there is no answer; the text of an error may have the URL in it."""
    cause: BaseException | None = error
    while cause is not None:
        # of a certificate that is not trusted, the first says more
        if reason := getattr(cause, "verify_message", None) or getattr(cause, "strerror", None):
            return str(reason)
        cause = cause.__cause__ or cause.__context__
    return "not in time" if "Timeout" in type(error).__name__ else type(error).__name__


def _result(reply: httpx.Response) -> Any:
    try:
        return reply.json()["result"]
    except (ValueError, KeyError, TypeError):
        message = f"what answers at {reply.url.host}:{reply.url.port} is not an Abaco gateway"
        raise CommandError(message) from None
