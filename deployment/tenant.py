"""The Abaco API of a tenant, as far as a deployment needs it."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx

from deployment.exceptions import DeploymentError, Missing

if TYPE_CHECKING:
    from collections.abc import Callable

    from deployment.session import Session

TIMEOUT = 60.0
READY_SECONDS = 600.0
_POLL_SECONDS = 0.5


class Tenant:
    """A tenant in the hands of a signed-in user.

    Args:
        session: the user and the server.
        hide: blacks out what must not be told of a refusal.
    """

    def __init__(self, session: Session, hide: Callable[[str], str] = str) -> None:
        self.session = session
        self._hide = hide
        # a server on this machine is never asked through a proxy, which would get the token
        mounts = dict.fromkeys(("http://", "https://")) if session.is_loopback else None
        self._client = httpx.Client(timeout=TIMEOUT, verify=session.verify, mounts=mounts)

    def request(self, method: str, path: str, content: Any = None) -> Any:
        """Send a request; return its result.

        Raises:
            Missing: there is no such thing.
            DeploymentError: the tenant refuses, or does not answer.
        """
        session = self.session
        try:
            reply = self._client.request(
                method,
                f"{session.server}/actors/v2{path}",
                headers={"Authorization": f"Bearer {session.token}"},
                json=content,
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            message = f"{session.server} does not answer ({type(error).__name__})"
            raise DeploymentError(message) from error
        if reply.status_code == httpx.codes.UNAUTHORIZED:
            message = (
                f"{session.server} does not accept the token in {session.file}: sign in again, "
                "with `tapis auth tokens refresh` or `auth-tokens-refresh`"
            )
            raise DeploymentError(message)
        try:
            envelope = reply.json()
            result, text = envelope["result"], str(envelope["message"])
        except (ValueError, KeyError, TypeError):
            message = f"{session.server} gives no answer of Abaco: HTTP status {reply.status_code}"
            raise DeploymentError(message) from None
        if reply.status_code == httpx.codes.OK:
            return result
        kind = Missing if _is_missing(reply.status_code, text) else DeploymentError
        message = f"{session.server} refuses: {self._hide(text):.500}"
        raise kind(message)

    def actor(self, actor: str) -> dict[str, Any]:
        """Return an actor by its id or alias."""
        found: dict[str, Any] = self.request("GET", f"/{_segment(actor)}")
        return found

    def wait_until_ready(self, actor_id: str, seconds: float = READY_SECONDS) -> dict[str, Any]:
        """Return the actor when its workers are ready.

        Raises:
            DeploymentError: they cannot be started, or are not within the time.
        """
        deadline = time.monotonic() + seconds
        while (actor := self.actor(actor_id))["status"] != "READY":
            if actor["status"] == "ERROR":
                message = (
                    f"the actor cannot run: {self._hide(str(actor.get('statusMessage'))):.500}"
                )
                raise DeploymentError(message)
            if time.monotonic() > deadline:
                message = f"the actor is {actor['status']} after {seconds:.0f} seconds"
                raise DeploymentError(message)
            time.sleep(_POLL_SECONDS)
        return actor

    def set_workers(self, actor_id: str, number: int) -> None:
        """Start workers up to a number; more than one is for administrators."""
        self.request("POST", f"/{actor_id}/workers", {"num": number})

    def nonces(self, actor_id: str) -> list[dict[str, Any]]:
        """Return the nonces of an actor."""
        found: list[dict[str, Any]] = self.request("GET", f"/{actor_id}/nonces")
        return found

    def add_nonce(self, actor_id: str, level: str, uses: int) -> dict[str, Any]:
        """Make a nonce."""
        content = {"level": level, "maxUses": uses}
        made: dict[str, Any] = self.request("POST", f"/{actor_id}/nonces", content)
        return made

    def pointed(self, alias: str) -> str | None:
        """Return the id of the actor that an alias stands for, or None."""
        try:
            return str(self.request("GET", f"/aliases/{_segment(alias)}")["actorId"])
        except Missing:
            return None

    def point(self, alias: str, actor_id: str) -> str | None:
        """Let an alias stand for an actor; return the id of the one that it stood for."""
        path = f"/aliases/{_segment(alias)}"
        before = self.pointed(alias)
        if before is None:
            self.request("POST", "/aliases", {"alias": alias, "actorId": actor_id})
            return None
        if before != actor_id:
            self.request("PUT", path, {"actorId": actor_id})
        return before

    def latest_execution(self, actor_id: str) -> str:
        """Return the id of the execution that began last.

        Raises:
            Missing: there has been none.
        """
        found = self.request("GET", f"/{actor_id}/executions")["executions"]
        begun = [each for each in found if each.get("startTime")]
        if not begun:
            message = f"actor {actor_id} has not begun any execution yet"
            raise Missing(message)
        return str(max(begun, key=lambda each: _comparable(each["startTime"]))["id"])

    def execution(self, actor_id: str, execution_id: str) -> dict[str, Any]:
        """Return an execution with its log as `logs`."""
        path = f"/{actor_id}/executions/{_segment(execution_id)}"
        found: dict[str, Any] = self.request("GET", path)
        return {**found, **self.request("GET", f"{path}/logs")}


def _segment(name: str) -> str:
    """Return a name as a part of a path."""
    if name in ("", ".", ".."):
        message = f"{name!r} is not the name of an actor, an alias or an execution"
        raise DeploymentError(message)
    return quote(name, safe="")


def _is_missing(status: int, text: str) -> bool:
    """Tell whether a refusal means that there is no such thing, which Abaco calls 400 at times."""
    return status == httpx.codes.NOT_FOUND or (
        status == httpx.codes.BAD_REQUEST and text.endswith("does not exist")
    )


def _comparable(moment: str) -> str:
    """Return a time as ISO 8601: of the form of a list of executions, Abaco's own or the gateway's."""
    return moment if moment[:1].isdigit() else parsedate_to_datetime(moment).isoformat()
