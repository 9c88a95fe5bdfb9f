"""The events manager: another actor, which is told as the original tells it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import quote, urlencode

from datacatalog.linkedstores.pipelinejob.fsm import FIRST_EVENT
from manager.settings import section_of
from manager.subscriptions.posting import DeliveryFailed, Poster
from manager.subscriptions.subscriber import state_of
from reactors.sending import sender_tags

if TYPE_CHECKING:
    import datetime

    from manager.subscriptions.subscriber import News
    from reactors.runtime import Reactor

NAME = "events_manager"


def actor_id(rx: Reactor) -> str:
    """Return the id or alias of the events manager; empty if there is none, or nothing to tell it."""
    wanted = rx.settings.get("state_exit", True) or rx.settings.get("state_enter")
    found = section_of(rx.settings, "pipelines").get("events_manager_id") or ""
    return str(found) if wanted else ""


class EventsManager:
    """The actor that `pipelines.events_manager_id` names.

    Args:
        rx: with the settings, and the way to the platform.
        since: what came earlier is not told.
    """

    name = NAME

    def __init__(self, rx: Reactor, since: datetime.datetime) -> None:
        self.since = since
        self._rx = rx
        self._enters = bool(rx.settings.get("state_enter"))
        self._exits = bool(rx.settings.get("state_exit", True))
        self._poster: Poster | None = None
        self._headers: dict[str, str] = {}
        self._entered: tuple[object, int] | None = None

    def wants(self, news: News) -> bool:
        """Tell whether this is told: all but that a job was created."""
        return news.entry.get("name") != FIRST_EVENT

    def tell(self, news: News, seconds: float) -> None:
        """Tell the state before, the state after, or both, as the settings say.

        Raises:
            DeliveryFailed: it was not told.
        """
        place = news.job["_id"], news.number
        if self._enters and self._entered != place:
            before = news.before or {}
            state, last = before.get("_state", ""), before.get("name", "")
            self._send(_announcement(news, state, last), seconds)
            # if the other one fails, this one is not sent again before it
            self._entered = place
        if self._exits:
            self._send(_announcement(news, state_of(news), news.entry["name"]), seconds)

    def test(self) -> NoReturn:
        """Tell nothing: an actor would take it for an event."""
        reason = "a test cannot be sent to an actor, which would take it for an event"
        raise DeliveryFailed(reason)

    def close(self) -> None:
        """Close the connection."""
        if self._poster is not None:
            self._poster.close()

    def _send(self, announcement: dict[str, Any], seconds: float) -> None:
        if self._poster is None:
            self._poster, self._headers = self._reach()
        body = json.dumps({"message": announcement}).encode()
        self._poster.post(body, self._headers, seconds=seconds)

    def _reach(self) -> tuple[Poster, dict[str, str]]:
        rx, parameters = self._rx, sender_tags(self._rx)
        headers = {"Content-Type": "application/json"}
        nonce = section_of(rx.settings, "pipelines").get("events_manager_nonce")
        if token := rx.environ.get("_abaco_access_token"):
            headers["Authorization"] = f"Bearer {token}"
        elif nonce:
            parameters["x-nonce"] = nonce
        else:
            reason = (
                "the platform gave no access token, and pipelines.events_manager_nonce is not set"
            )
            raise DeliveryFailed(reason, away=True)
        server = (rx.environ.get("_abaco_api_server") or "").rstrip("/")
        actor = quote(rx.resolve_actor_alias(actor_id(rx)), safe="")
        url = f"{server}/actors/v2/{actor}/messages?{urlencode(parameters)}"
        try:
            # the platform's own address, which nobody else has chosen
            return Poster(url, allow_private=True), headers
        except ValueError as error:
            reason = "the platform gave no API server (_abaco_api_server)"
            raise DeliveryFailed(reason, away=True) from error


def _announcement(news: News, state: str, last_event: str) -> dict[str, Any]:
    return {
        "job_uuid": news.job["uuid"],
        "event_name": news.entry["name"],
        "job_state": state,
        "data": {"last_event": last_event},
    }
