"""Actors of the platform: their aliases and what is known of them."""

from __future__ import annotations

from typing import Any

from reactors import abacoid
from reactors.agaveutils.errors import call
from reactors.reporting import Reporting
from reactors.tenant import segment

ITSELF = ("me", "self")


class Actors(Reporting):
    """An execution that knows other actors.

    Where a method takes an `actorId`, that is an id or an alias, by default the actor itself.
    """

    def resolve_actor_alias(self, alias: str) -> str:
        """Return the id of the actor that an alias stands for, as far as it is known here.

        `me` and `self` are the actor itself. For others `linked_reactors.<alias>.id` of the
        settings counts, and where there is none the platform is left to resolve the alias.
        """
        if alias.lower() in ITSELF:
            return self.uid
        if abacoid.is_abacoid(alias):
            return alias
        linked = self.settings.get("linked_reactors")
        actor = linked.get(alias) if isinstance(linked, dict) else None
        identifier = actor.get("id") if isinstance(actor, dict) else None
        return str(identifier or alias)

    def resolve_alias(self, alias: str) -> str:
        """Do as `resolve_actor_alias` does."""
        return self.resolve_actor_alias(alias)

    def get_attr(self, attribute: str | None = None, actorId: str | None = None) -> Any:
        """Return what the platform knows about an actor.

        Args:
            attribute: such as `image` or `owner`, or None for all of them.
            actorId: the actor.

        Returns:
            The attribute's value; None where the actor has no such attribute, since the platform
            leaves out what is empty.

        Raises:
            PlatformError: it was not told.
        """
        actor = self._actor(actorId)
        failure = f"the attributes of actor {actor} could not be read"
        found = call(self.client.actors.get, failure, actorId=segment(actor))
        return found if attribute is None else found.get(attribute)

    def actor_property(self, attribute: str, actorId: str | None = None) -> Any:
        """Do as `get_attr` does, for one attribute."""
        return self.get_attr(attribute, actorId)

    def _actor(self, given: str | None) -> str:
        return self.uid if given is None else self.resolve_actor_alias(given)
