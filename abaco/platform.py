"""What a setup module may do with the platform before it serves requests.

The setting `setup` names a module with a function `prepare(platform)`, which is called in a thread at
every start, before any actor runs. It registers what should be there, and returns a `Prepared`:
the lines to be printed, and what is to be done at the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from abaco.roles import ADMIN, ROLES
from abaco.settings import CELERY
from abaco.store import actors, aliases, nonces, permissions, registrations, sessions, tokens
from abaco.store.registrations import Registrant

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from prometheus_client.registry import Collector
    from sqlalchemy import Connection
    from starlette.types import ASGIApp

    from abaco.passes import Passes
    from abaco.settings import Settings
    from abaco.store.database import Database
    from abaco.store.rows import Actor, Nonce, Token
    from abaco.store.tokens import Grant


class Prepared(NamedTuple):
    """What a setup module has done.

    Attributes:
        lines: to be printed when the gateway serves.
        close: called when it has ended.
        page: given the application that answers for paths that nobody serves, returns the one that
            is asked for every path outside the API. Its requests end (`http.disconnect`) when the
            gateway does; no other site may read its replies.
        ready: returns why messages could not be handled at the moment, in a line without secrets,
            or None. It is called again and again, in a thread of its own, and ought to return
            within a few seconds; while it does not, the gateway is not ready.
        folders: besides the gateway's own, those on whose disks room is kept
            (`limits.reserve_bytes`).
        collector: of further values for `/metrics`.
        hourly: is called once an hour, in a thread.
    """

    lines: list[str]
    close: Callable[[], None]
    page: Callable[[ASGIApp], ASGIApp] | None = None
    ready: Callable[[], str | None] | None = None
    folders: Sequence[Path] = ()
    collector: Collector | None = None
    hourly: Callable[[], object] | None = None


class Visitor(NamedTuple):
    """Who is signed in, and what they may do with an actor."""

    user: str
    level: str
    token_id: str


class Platform:
    """The platform in the hands of a setup module.

    Attributes:
        address: the base URL of the gateway, as others know it.
        listening: the base URL at which it will listen.
        data: the folder of the platform's files.
        is_fleet: whether other gateways serve it as well, whose output is collected in logs.
        stopping: tells whether the gateway was told to end, so that nobody waits for `prepare`.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        address: str,
        passes: Passes,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self.stopping = stopping
        self.address = settings.public_url or address
        self.listening = address
        self.data: Path = settings.data
        self.is_fleet = settings.engine == CELERY
        self.tenant = settings.default_tenant
        self._database = database
        self._passes = passes

    def actor(
        self,
        owner: str,
        alias: str,
        description: Mapping[str, Any],
    ) -> Actor:
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

    def extend(self, access: str) -> bool:
        """Let an access token hold for its whole lifetime from now on; tell whether it is good."""
        with self._database.write() as tx:
            return tokens.extend(tx, access)

    def code(self, access: str) -> str | None:
        """Return a code that signs the owner of an access token in, once and within minutes.

        Returns:
            None if the token is not good, or is of another tenant.
        """
        return self._begin(access, sessions.make_code)

    def sign_in(self, access: str) -> str | None:
        """Return the secret of a new session; None as `code` does."""
        return self._begin(access, sessions.begin)

    def redeem(self, code: str) -> str | None:
        """Return the secret of a new session for a code; None where it is not good any more."""
        with self._database.read() as tx:
            if not sessions.is_code(tx, code):
                return None
        with self._database.write() as tx:
            return sessions.redeem(tx, code)

    def sign_out(self, session: str) -> None:
        """End a session."""
        with self._database.write() as tx:
            sessions.end(tx, session)

    def pass_for(self, visitor: Visitor) -> str:
        """Return what stands for the access token of the user who is signed in, for some minutes."""
        return self._passes.make(visitor.token_id)

    def visitor(self, session: str, alias: str) -> Visitor | None:
        """Return whose session it is, and their level on the actor of an alias.

        Returns:
            None if the session has ended, or is of another tenant.
        """
        with self._database.read() as tx:
            found = self._own(sessions.find(tx, session))
            if found is None:
                return None
            actor = actors.find_by_alias(tx, self.tenant, alias)
            level = permissions.NONE
            if ADMIN in found["roles"]:
                level = permissions.UPDATE
            elif actor is not None and set(ROLES).intersection(found["roles"]):
                level = permissions.level_of(
                    tx, self.tenant, permissions.ACTOR, actor["id"], found["user"]
                )
            return Visitor(found["user"], level, found["id"])

    def _begin(self, access: str, begin: Callable[[Connection, str], str]) -> str | None:
        # who shows no good token does not keep those waiting who write
        with self._database.read() as tx:
            found = self._own(tokens.find(tx, access))
        if found is None:
            return None
        with self._database.write() as tx:
            return begin(tx, found["id"])

    def _own(self, token: Token | None) -> Token | None:
        return token if token is not None and token["tenant"] == self.tenant else None

    def token(self, user: str, roles: list[str], lifetime: int, label: str) -> Grant:
        """Make a token for a user; lifetime in seconds."""
        with self._database.write() as tx:
            return tokens.create(tx, self.tenant, user, roles, lifetime=lifetime, label=label)

    def nonce(self, actor: Actor, owner: str, roles: list[str], description: str) -> Nonce:
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
