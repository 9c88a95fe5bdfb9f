"""Nonces, which stand for a user at one actor, and the webhooks that are made of them."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from reactors.actors import Actors
from reactors.agaveutils.errors import call
from reactors.tenant import segment

UNLIMITED = -1


class Nonces(Actors):
    """An execution that lets others in.

    The nonces that it comes to know are blacked out in its log.
    """

    def add_nonce(
        self, permission: str = "READ", maxuses: int = 1, actorId: str | None = None
    ) -> Any:
        """Make a nonce for an actor.

        Args:
            permission: `NONE`, `READ`, `EXECUTE` or `UPDATE`.
            maxuses: how often it can be used; -1 for any number of times.
            actorId: the actor.

        Returns:
            The nonce as the platform describes it: its `id`, `actorId`, `level` and others.

        Raises:
            PlatformError: it was not made.
        """
        actor = self._actor(actorId)
        nonce = call(
            self.client.actors.addNonce,
            f"the nonce for actor {actor} was not made",
            actorId=segment(actor),
            body={"level": permission, "maxUses": maxuses},
        )
        self.redact.add(nonce["id"])
        return nonce

    def get_nonce(self, nonceId: str, actorId: str | None = None) -> Any:
        """Return a nonce as the platform describes it.

        Raises:
            PlatformError: the actor has no such nonce.
        """
        actor = self._actor(actorId)
        self.redact.add(nonceId)
        return call(
            self.client.actors.getNonce,
            f"the nonce of actor {actor} could not be read",
            actorId=segment(actor),
            nonceId=segment(nonceId),
        )

    def list_nonces(self, actorId: str | None = None) -> list[Any]:
        """Return the nonces of an actor as the platform describes them.

        Raises:
            PlatformError: they were not told.
        """
        actor = self._actor(actorId)
        failure = f"the nonces of actor {actor} could not be listed"
        nonces = call(self.client.actors.listNonces, failure, actorId=segment(actor))
        self.redact.add(*(nonce["id"] for nonce in nonces))
        return list(nonces)

    def delete_nonce(self, nonceId: str, actorId: str | None = None) -> bool:
        """Delete a nonce of an actor.

        Returns:
            True: what could not be done raises.

        Raises:
            PlatformError: the actor has no such nonce, or it was not deleted.
        """
        actor = self._actor(actorId)
        self.redact.add(nonceId)
        call(
            self.client.actors.deleteNonce,
            f"the nonce of actor {actor} was not deleted",
            actorId=segment(actor),
            nonceId=segment(nonceId),
        )
        return True

    def delete_all_nonces(self, actorId: str | None = None) -> bool:
        """Delete all nonces of an actor; return as `delete_nonce` does.

        Raises:
            PlatformError: one was not deleted; those before it were.
        """
        for nonce in self.list_nonces(actorId):
            self.delete_nonce(nonce["id"], actorId)
        return True

    def create_webhook(
        self, permission: str = "EXECUTE", maxuses: int = UNLIMITED, actorId: str | None = None
    ) -> str:
        """Return a URL to which anybody who knows it can post messages for an actor.

        Args:
            permission: as for `add_nonce`; a message needs `EXECUTE`.
            maxuses: as for `add_nonce`.
            actorId: the actor.

        Raises:
            PlatformError: its nonce was not made.
        """
        nonce = self.add_nonce(permission, maxuses, actorId)
        # an actor's nonce counts with the actor's id only, not with an alias of it
        path = f"actors/v2/{nonce['actorId']}/messages?x-nonce={nonce['id']}"
        return f"{self.api_server.rstrip('/')}/{path}"

    def delete_webhook(self, webhook: str, actorId: str | None = None) -> bool:
        """Delete the nonce of a webhook; return as `delete_nonce` does.

        Args:
            webhook: the URL.
            actorId: by default the actor that the URL names.

        Raises:
            ValueError: the URL is not that of a webhook.
            PlatformError: the nonce was not deleted.
        """
        parts = urlsplit(webhook)
        nonces = parse_qs(parts.query).get("x-nonce", [])
        _, _, path = parts.path.partition("/actors/v2/")
        actor, _, rest = path.partition("/")
        if not (nonces and actor and rest == "messages"):
            problem = (
                f"{self.redact(webhook)!r:.120} is not a webhook: "
                "it has to end with /actors/v2/<actor>/messages?x-nonce=<nonce>"
            )
            raise ValueError(problem)
        return self.delete_nonce(nonces[0], actorId or unquote(actor))
