"""A request as an endpoint sees it, what an endpoint is, and what it returns."""

from __future__ import annotations

import hashlib
import inspect
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

from abaco import roles
from abaco.exceptions import BadRequest
from abaco.http import arguments, envelope, hosts, texts
from abaco.settings import SNAKE
from abaco.store import permissions
from abaco.store.registrations import Registrant

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import Connection
    from starlette.types import Receive

    from abaco.http.arguments import Argument
    from abaco.http.bodies import Room
    from abaco.http.gateway import Gateway
    from abaco.store.rows import Actor, Alias, Config

PUBLIC = "public"
ROLE = "role"
ADMIN = "admin"

NONCE = "x-nonce"


@dataclass(frozen=True)
class Principal:
    """Who sends a request.

    Attributes:
        nonce: the id of the nonce by which, as its owner; empty if by none.
        jwt_header: the name of the header with the assertion, where there was one.
    """

    tenant: str
    user: str
    roles: tuple[str, ...]
    nonce: str = ""
    jwt_header: str | None = None

    @property
    def admin(self) -> bool:
        """Whether no permission is asked for."""
        return roles.ADMIN in self.roles

    @property
    def author(self) -> str:
        """Whose messages are whose: a user's, or those of whoever has a nonce of the user."""
        if not self.nonce:
            return self.user
        return f"{self.user} {hashlib.sha256(self.nonce.encode()).hexdigest()[:16]}"

    @property
    def privileged(self) -> bool:
        """Whether the resources of an actor may be chosen."""
        return self.admin or roles.PRIVILEGED in self.roles

    @property
    def registrant(self) -> Registrant:
        """As whom actors are registered; with a nonce, which may be in many hands, as anybody."""
        if self.nonce:
            return Registrant("", (roles.EVERYONE,))
        return Registrant(self.user, self.roles)


@dataclass(frozen=True)
class Subject:
    """What the path of a request names; what it does not name is empty."""

    actor: Actor = field(default_factory=lambda: cast("Actor", {}))
    alias: Alias = field(default_factory=lambda: cast("Alias", {}))
    config: Config = field(default_factory=lambda: cast("Config", {}))

    @property
    def key(self) -> tuple[str, str]:
        """The kind and the name under which its permissions and nonces are kept."""
        if self.config:
            return permissions.CONFIG, self.config["name"]
        if self.alias:
            return permissions.ALIAS, self.alias["alias"]
        return permissions.ACTOR, self.actor["id"]


@dataclass(eq=False)
class Call:
    """A request that has been authenticated, authorized and read.

    Attributes:
        path: what stands for the braces of the endpoint's path.
        query: the parameters of the URL in their order.
        parameters: the same by name; of a name that comes twice, the first.
        headers: by name in lower case.
        client: the address from which it comes.
        room: the memory that the body takes.
        content_type: the header of that name.
        media_type: what it says of the kind of the body.
    """

    gateway: Gateway
    endpoint: Endpoint
    principal: Principal
    subject: Subject
    path: Mapping[str, str]
    query: list[tuple[str, str]]
    parameters: Mapping[str, str]
    headers: Mapping[str, str]
    receive: Receive
    client: str
    body: bytes = b""
    room: Room | None = None
    content_type: str = field(init=False)
    media_type: str = field(init=False)

    def __post_init__(self) -> None:
        self.content_type = self.headers.get("content-type", "")
        self.media_type = arguments.media_type(self.content_type)

    @property
    def actor(self) -> Actor:
        """The actor that the path names."""
        return self.subject.actor

    @property
    def tenant(self) -> str:
        """The tenant of the sender."""
        return self.principal.tenant

    def may(self, tx: Connection, level: str, actor_id: str) -> bool:
        """Tell whether the sender has a level on an actor, which need not be the one of the path."""
        who = self.principal
        kind = permissions.ACTOR
        return who.admin or permissions.allows(tx, self.tenant, kind, actor_id, who.user, level)

    @property
    def sender(self) -> str:
        """Who sends it from where; not meant to be shown, since a nonce is a part of it."""
        who = self.parameters[NONCE] if self.principal.nonce else self.principal.user
        return "\0".join((self.tenant, who, hosts.owner_of(self.client)))

    @property
    def owner(self) -> str:
        """The sender, or all whose nonces are of the same user, who can make any number of them."""
        if not self.principal.nonce:
            return self.sender
        user = f"nonces of {self.principal.user}"
        return "\0".join((self.tenant, user, hosts.owner_of(self.client)))

    @cached_property
    def text(self) -> bytes:
        """The body in UTF-8, if it is text."""
        return texts.in_utf8(self.body, self.content_type)

    @cached_property
    def content(self) -> Any:
        """What the body says in JSON."""
        return arguments.read_json(self.text)

    @cached_property
    def fields(self) -> dict[str, Any]:
        """The named values of the body."""
        if not arguments.is_json(self.media_type):
            return arguments.read_form(self.body, self.content_type)
        content = self.content if self.text.strip() else {}
        return content if isinstance(content, dict) else {}

    @property
    def snake(self) -> bool:
        """Whether documents and parameters have names in snake case."""
        return self.gateway.settings.case == SNAKE

    @cached_property
    def arguments(self) -> dict[str, Any]:
        """The endpoint's arguments that were given."""
        endpoint, fields = self.endpoint, self.fields
        if not fields and arguments.is_json(self.media_type):
            self._check_object()
        spell = envelope.snake if self.snake else str
        return arguments.collect(endpoint.arguments, fields, self.parameters, endpoint.thing, spell)

    def _check_object(self) -> None:
        """Refuse a JSON body that has no names."""
        content = self.content if self.text.strip() else None
        if content is not None and not isinstance(content, dict):
            kind = "a list" if isinstance(content, list) else "a single value"
            message = f"Invalid {self.endpoint.thing} description: the body must be a JSON object, not {kind}."
            raise BadRequest(message)

    def release(self) -> None:
        """Let go of the body, and of all that was read from it; they are not looked at again."""
        for name in ("text", "content", "fields", "arguments"):
            vars(self).pop(name, None)
        self.body = b""
        if self.room is not None:
            self.room.release()

    async def disconnected(self) -> None:
        """Wait until the sender has hung up; the body has been received before."""
        while (await self.receive())["type"] != "http.disconnect":
            continue

    def link(self, *parts: str) -> str:
        """Return a URL below the API's actors."""
        base = f"{self.gateway.api_server(self.tenant)}/actors/v2"
        return "/".join((base, *(quote(part, safe="") for part in parts)))

    def profile(self, user: str) -> str:
        """Return the URL of a user."""
        return f"{self.gateway.api_server(self.tenant)}/profiles/v2/{quote(user, safe='')}"


@dataclass(frozen=True)
class Reply:
    """What goes into the envelope."""

    result: Any
    message: str = "The request was successful"


@dataclass(frozen=True)
class Endpoint:
    """A method and a path, and what is known about them.

    Attributes:
        path: below the server; `{actor}` is an id or an alias.
        handle: runs in a thread, or, if it is a coroutine, in the event loop.
        needs: `PUBLIC`, `ROLE`, `ADMIN`, or the level on what the path names.
        summary: for the API document.
        thing: what the arguments describe, for errors and the document.
        result: the name of a schema of the document.
        raw: the media type of a reply without envelope.
        arguments: that are named in body or URL.
        parameters: of the URL only, names with their descriptions.
        free_body: whether the body may be anything.
        large: whether the limit of binary messages holds for the body.
        scans: whether it may read very many records: a sender gets one such answer at a time.
        takes: whether what is got is gone then: it has no HEAD, which has to be safe (RFC 9110, 9.2.1).
    """

    method: str
    path: str
    handle: Callable[[Call], Any]
    needs: str
    summary: str
    thing: str = "request"
    result: str = "Nothing"
    raw: tuple[str, ...] = ()
    arguments: tuple[Argument, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    free_body: bool = False
    large: bool = False
    scans: bool = False
    takes: bool = False

    @cached_property
    def on_loop(self) -> bool:
        """Whether `handle` runs in the event loop."""
        return inspect.iscoroutinefunction(self.handle)
