"""Messages to other actors."""

from __future__ import annotations

import json
import random
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any

from reactors.actors import Actors
from reactors.agaveutils.errors import status_of
from reactors.exceptions import DeliveryError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

_NOT_FOUND = 404
_REFUSED, _BUSY = range(400, 500), (401, 408, 425, 429)
"""HTTP statuses that say no, and those of them that may say yes later: a token expires, too."""
_MAX_DELAY = 30.0


class Sending(Actors):
    """An execution that talks to other actors."""

    def send_message(
        self,
        actorId: str,
        message: Any,
        environment: Mapping[str, str] | None = None,
        ignoreErrors: bool = True,
        senderTags: bool = True,
        retryMaxAttempts: int = 5,
        retryDelay: float = 1,
        sync: bool = False,
        *,
        nonce: str | None = None,
    ) -> str | None:
        """Send a message to another actor.

        Args:
            actorId: the actor's id or alias, as `resolve_actor_alias` takes it.
            message: a JSON value or a string.
            environment: further URL parameters.
            ignoreErrors: log a failure and return None instead of raising.
            senderTags: add `x_src_actor_id` and the like, which say where the message is from.
            retryMaxAttempts: how often it is tried; an actor that does not exist ends it at once.
            retryDelay: seconds before the second attempt; doubled for each further one, and
                varied, so that many senders do not come back together.
            sync: wait for the other actor's execution to end; tried once, since nobody knows how
                far an execution has come that takes longer than the client waits.
            nonce: what to authenticate with where the platform gave no access token.

        Returns:
            The id of the other actor's execution; None where `sync` is on.

        Raises:
            DeliveryError: it was not delivered, and `ignoreErrors` is off.
        """
        parameters = {**(sender_tags(self) if senderTags else {}), **(environment or {})}
        if sync:
            parameters["_abaco_synchronous"] = "true"
        problem, temporary = "not tried", True
        for attempt in range(1 if sync else max(1, retryMaxAttempts)):
            if attempt:
                self._pause(retryDelay, attempt)
            try:
                return self._post(actorId, message, parameters, nonce)
            except SettingsError as error:
                problem, temporary = str(error), False
                break
            except Exception as error:  # noqa: BLE001 - agavepy raises what it comes upon
                if sync and isinstance(error, json.JSONDecodeError):
                    # the answer to a synchronous message is not JSON, and agavepy drops it
                    return None
                status = status_of(error)
                problem = f"HTTP status {status}" if status else type(error).__name__
                temporary = not status or status not in _REFUSED or status in _BUSY
                self.logger.debug("attempt %d to message %s: %s", attempt + 1, actorId, problem)
                if status == _NOT_FOUND:
                    break
        failure = f"the message to actor {actorId} was not delivered: {problem}"
        if not ignoreErrors:
            raise DeliveryError(failure, temporary=temporary)
        self.logger.error("%s", failure)
        return None

    def _post(
        self, actor_id: str, message: Any, parameters: Mapping[str, str], nonce: str | None
    ) -> str | None:
        arguments: dict[str, Any] = {
            "actorId": self.resolve_actor_alias(actor_id),
            "body": {"message": message},
            "environment": dict(parameters),
        }
        if nonce and not self.environ.get("_abaco_access_token"):
            reply = self._nonce_client.actors.sendMessage(nonce=nonce, **arguments)
        else:
            reply = self.client.actors.sendMessage(**arguments)
        execution = reply.get("executionId") if isinstance(reply, dict) else None
        return None if execution is None else str(execution)

    @cached_property
    def _nonce_client(self) -> Any:
        from reactors.client import make_client  # noqa: PLC0415 - most executions do without

        return make_client(self.environ, use_nonce=True)

    @staticmethod
    def _pause(delay: float, attempt: int) -> None:
        longest = min(_MAX_DELAY, delay * 2 ** (attempt - 1))
        time.sleep(random.uniform(longest / 2, longest))  # noqa: S311 - jitter, no secret


def sender_tags(rx: Sending) -> dict[str, str]:
    """Return the URL parameters that say to another actor where a message is from."""
    tags = {
        "x_src_actor_id": rx.environ.get("_abaco_actor_id"),
        "x_src_execution_id": rx.environ.get("_abaco_execution_id"),
        "x_src_app_id": rx.environ.get("appId"),
        "x_src_job_id": rx.environ.get("id"),
        "x_src_event": rx.environ.get("event"),
        "x_src_uuid": rx.environ.get("uuid"),
        "x_session": rx.session,
    }
    return {name: value for name, value in tags.items() if value}
