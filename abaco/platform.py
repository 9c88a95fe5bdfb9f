"""What a setup module may do with the platform before it serves requests.

The setting `setup` names a module with a function `prepare(platform)`, which is called in a thread at
every start, before any actor runs. It registers what should be there, and returns a `Prepared`:
the lines to be printed, and what is to be done at the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from abaco.roles import ADMIN, ROLES
from abaco.store import actors, aliases, nonces, permissions, registrations, tokens
from abaco.store.registrations import Registrant

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from starlette.types import ASGIApp

    from abaco.settings import Settings
    from abaco.store.database import Database
    from abaco.store.records import Record
    from abaco.store.tokens import Grant


class Prepared(NamedTuple):
    """What a setup module has done.

    Attributes:
        lines: to be printed when the gateway serves.
        close: called when it has ended.
        page: given the application that answers for paths that nobody serves, returns the one that
            is asked for every path outside the API. Its requests end (`http.disconnect`) when the
            gateway does; no other site may read its replies.
    """

    lines: list[str]
    close: Callable[[], None]
    page: Callable[[ASGIApp], ASGIApp] | None = None


class Visitor(NamedTuple):
    """Who has shown a token, and what they may do with an actor."""

    user: str
    level: str


class Platform:
    """The platform in the hands of a setup module.

    Attributes:
        address: the base URL of the gateway, as others know it.
        listening: the base URL at which it will listen.
        data: the folder of the platform's files.
    """

    def __init__(self, settings: Settings, database: Database, address: str) -> None:
        self.address = settings.public_url or address
        self.listening = address
        self.data: Path = settings.data
        self.tenant = settings.default_tenant
        self._database = database

    def actor(
        self,
        owner: str,
        alias: str,
        description: Mapping[str, Any],
    ) -> Record:
        """Return the actor of an alias, described so; it is registered where there is none.

        It is registered as by an administrator. An actor of somebody else, who could read what it
        is described by, does not keep the alias.

        Args:
            owner: a user's name.
            alias: what it is found by.
            description: columns of the actor, `image` at least.
        """
        registrant = Registrant(owner, (ADMIN,))
        with self._database.write() as tx:
            actor = actors.find_by_alias(tx, self.tenant, alias)
            if actor is None or actor["owner"] != owner:
                aliases.remove(tx, self.tenant, alias)
                actor = actors.create(tx, self.tenant, registrant, description)
                aliases.create(tx, self.tenant, alias, actor["id"], owner)
            else:
                actors.change(tx, actor["id"], **description)
                registrations.record(tx, self.tenant, actor["id"], registrant)
            return actors.get(tx, actor["id"]) or actor

    def holds(self, access: str) -> bool:
        """Tell whether an access token is good."""
        with self._database.read() as tx:
            return tokens.find(tx, access) is not None

    def visitor(self, access: str, alias: str) -> Visitor | None:
        """Return whose access token it is, and their level on the actor of an alias.

        Returns:
            None if the token is not good, or is of another tenant.
        """
        with self._database.read() as tx:
            found = tokens.find(tx, access)
            if found is None or found["tenant"] != self.tenant:
                return None
            actor = actors.find_by_alias(tx, self.tenant, alias)
            level = permissions.NONE
            if ADMIN in found["roles"]:
                level = permissions.UPDATE
            elif actor is not None and set(ROLES).intersection(found["roles"]):
                level = permissions.level_of(
                    tx, self.tenant, permissions.ACTOR, actor["id"], found["user"]
                )
            return Visitor(found["user"], level)

    def token(self, user: str, roles: list[str], lifetime: int, label: str) -> Grant:
        """Make a token for a user; lifetime in seconds."""
        with self._database.write() as tx:
            return tokens.create(tx, self.tenant, user, roles, lifetime=lifetime, label=label)

    def nonce(self, actor: Record, owner: str, roles: list[str], description: str) -> Record:
        """Return the nonce of an actor that has this description; made where there is none."""
        with self._database.write() as tx:
            for nonce in nonces.all_of(tx, self.tenant, permissions.ACTOR, actor["id"]):
                if nonce["description"] == description and nonce["remaining_uses"] != 0:
                    return nonce
            return nonces.create(
                tx,
                self.tenant,
                permissions.ACTOR,
                actor["id"],
                owner=owner,
                roles=roles,
                level=permissions.EXECUTE,
                max_uses=nonces.UNLIMITED,
                description=description,
            )
