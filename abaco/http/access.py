"""Who sends a request, and whether they may (docs/reference/abaco.md#authentication)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar, cast

from abaco import clock, identifiers
from abaco.exceptions import BadRequest, NotFound, Unauthorized
from abaco.http.call import ADMIN, NONCE, ROLE, Principal, Subject
from abaco.roles import ROLES
from abaco.store import actors, aliases, configs, nonces, permissions, tokens
from abaco.store.known import NotKnown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import Connection

    from abaco.http.call import Endpoint
    from abaco.http.gateway import Gateway
    from abaco.settings import Tenant
    from abaco.store.rows import Actor, Identity, Nonce

_ASSERTION = "x-jwt-assertion-"
_LEGACY_ASSERTION = "assertion"
_USER_CLAIM = "http://wso2.org/claims/enduser"
_ROLE_CLAIM = "http://wso2.org/claims/role"
NOBODY = Principal("", "", ())
"""Who asks for what is for everybody."""
T = TypeVar("T")
_ASSERTION_REFUSED = "Access failure for API: /actors, version: v2. The assertion does not hold."
_NOT_AUTHORIZED = "Not authorized."


class Ask(Protocol):
    """Answers a query of the store."""

    def __call__(self, query: Callable[..., T], *args: Any) -> T:
        """Return what the query finds, given a transaction and the arguments."""


class Request(NamedTuple):
    """What is known of a request before its body is read."""

    gateway: Gateway
    endpoint: Endpoint
    path: Mapping[str, str]
    headers: Mapping[str, str]
    parameters: Mapping[str, str]


def admit(request: Request, ask: Ask) -> tuple[Principal, Subject]:
    """Authenticate and authorize a request, before its body is read.

    Args:
        request: the request.
        ask: answers a query: `Known.recall` in the event loop, `Known.ask` in a thread.

    Returns:
        The sender, and what the path names.

    Raises:
        NotKnown: the answer to a query is not in memory.
        Unauthorized: the token or assertion does not hold.
        BadRequest: the nonce does not hold, or the sender may not.
        NotFound: the path names nothing.
    """
    endpoint, path = request.endpoint, request.path
    principal = _by_token(request, ask) or _by_assertion(request.gateway, request.headers)
    nonce: Nonce | None = None
    if principal is None:
        if NONCE not in request.parameters:
            message = "No JWT or nonce provided."
            raise BadRequest(message)
        nonce = _find_nonce(request, ask)
        principal = Principal(
            nonce["tenant"], nonce["owner"], tuple(nonce["roles"]), nonce=nonce["id"]
        )
    _check_role(principal, endpoint)
    subject = _find_subject(ask, principal, endpoint, path)
    _check_level(ask, principal, endpoint, subject)
    if nonce is not None:
        _redeem(request.gateway, nonce, ask)
    return principal, subject


def _by_token(request: Request, ask: Ask) -> Principal | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if not scheme:
        return None
    record = None
    if scheme.lower() == "bearer":
        record = _find_token(request.gateway, ask, token.strip())
        # what is in memory may have expired since it was read
        if record is not None and record["expires"] <= clock.now():
            record = None
    if record is None or record["tenant"] not in request.gateway.settings.tenants:
        message = "Access failure for API: /actors, version: v2. The token is unknown or expired."
        raise Unauthorized(message)
    return Principal(record["tenant"], record["user"], tuple(record["roles"]))


def _find_token(gateway: Gateway, ask: Ask, shown: str) -> Identity | None:
    token_id = gateway.passes.token_id(shown)
    if token_id is not None:
        return ask(tokens.get, token_id)
    return gateway.engine.granted(shown) or ask(tokens.find, shown)


def _by_assertion(gateway: Gateway, headers: Mapping[str, str]) -> Principal | None:
    tenants = gateway.settings.tenants
    for header, assertion in headers.items():
        if header == _LEGACY_ASSERTION:
            name = gateway.settings.default_tenant
        elif header.startswith(_ASSERTION):
            # an API manager may write DEV-STAGING as dev_staging
            name = header.removeprefix(_ASSERTION).upper().replace("_", "-")
        else:
            continue
        claims = _verify(tenants.get(name), assertion)
        user = str(claims.get(_USER_CLAIM, "")).partition("@")[0]
        roles = str(claims.get(_ROLE_CLAIM, "")).split(",")
        if not user or not user.isprintable():
            raise Unauthorized(_ASSERTION_REFUSED)
        shown = "-".join(part.capitalize() for part in header.split("-"))
        return Principal(
            name, user.rpartition("/")[2], tuple(role.strip() for role in roles), jwt_header=shown
        )
    return None


def _verify(tenant: Tenant | None, assertion: str) -> dict[str, object]:
    if tenant is None or tenant.jwt is None:
        raise Unauthorized(_ASSERTION_REFUSED)
    import jwt  # noqa: PLC0415 - as in `settings`, which has loaded it by then

    try:
        claims: dict[str, object] = jwt.decode(
            assertion,
            tenant.jwt.key,
            algorithms=[tenant.jwt.algorithm],
            options={"verify_aud": False},
        )
    except (jwt.PyJWTError, ValueError) as error:
        raise Unauthorized(_ASSERTION_REFUSED) from error
    return claims


def _find_nonce(request: Request, ask: Ask) -> Nonce:
    endpoint, path = request.endpoint, request.path
    nonce_id = request.parameters[NONCE]
    if "actor" in path:
        named = path["actor"]
    elif "alias" in path:
        named = path["alias"]
    elif endpoint.path.startswith("/actors/search/"):
        raise NotFound(_NOT_AUTHORIZED)
    else:
        raise BadRequest(_NOT_AUTHORIZED)
    is_actor = "actor" in path and identifiers.is_identifier(named)
    kind = permissions.ACTOR if is_actor else permissions.ALIAS
    tenant = nonce_id.rpartition("_")[0]
    nonce = ask(nonces.find, tenant, kind, named, nonce_id)
    if nonce is None or tenant not in request.gateway.settings.tenants:
        message = "Nonce does not exist."
        if nonce_id != nonce_id.strip():
            message = "Nonce does not exist: x-nonce has a blank or a line end around it."
        raise BadRequest(message)
    levels = permissions.LEVELS
    if levels.index(nonce["level"]) < levels.index(_level_of_nonce(endpoint)):
        message = "Nonce does not have sufficient permissions level."
        raise BadRequest(message)
    return nonce


def _redeem(gateway: Gateway, nonce: Nonce, ask: Ask) -> None:
    """Use a nonce once; uses that are not limited are counted later."""
    if nonce["max_uses"] == nonces.UNLIMITED:
        gateway.uses.count(nonce["id"])
        return
    if ask == gateway.database.known.recall:
        # to be decided by the database, one use after the other
        raise NotKnown
    with gateway.database.write() as tx:
        if not nonces.redeem(tx, nonce):
            message = "No remaining uses left for this nonce."
            raise BadRequest(message)


def _level_of_nonce(endpoint: Endpoint) -> str:
    if endpoint.method == "GET":
        return permissions.READ
    is_message = endpoint.method == "POST" and endpoint.path.endswith("/messages")
    return permissions.EXECUTE if is_message else permissions.UPDATE


def _check_role(principal: Principal, endpoint: Endpoint) -> None:
    if not set(ROLES).intersection(principal.roles):
        message = "Not authorized -- missing required role."
        raise BadRequest(message)
    if endpoint.needs == ADMIN and not principal.admin:
        what = "update workers" if endpoint.path.endswith("/workers") else "do this"
        message = f"Not authorized -- only admins are authorized to {what}."
        raise BadRequest(message)


def _find_subject(
    ask: Ask, principal: Principal, endpoint: Endpoint, path: Mapping[str, str]
) -> Subject:
    tenant = principal.tenant
    if "actor" in path:
        return Subject(actor=_find_actor(ask, tenant, path["actor"]))
    if "alias" in path:
        alias = ask(aliases.find, tenant, path["alias"])
        if alias is None:
            message = f"Actor with identifier '{path['alias']:.200}' not found"
            if principal.admin:
                message = f"No alias found: {path['alias']:.200}."
            raise NotFound(message)
        if "/nonces" in endpoint.path:
            actor = ask(actors.find, tenant, alias["actor_id"])
            gone = cast("Actor", {"id": alias["actor_id"]})
            return Subject(alias=alias, actor=actor or gone)
        return Subject(alias=alias)
    if "config" in path:
        config = ask(configs.find, tenant, path["config"])
        if config is None:
            message = f"No config found: {path['config']:.200}."
            raise NotFound(message)
        return Subject(config=config)
    return Subject()


def find_actor(tx: Connection, tenant: str, named: str) -> Actor:
    """Return the actor that an id or alias names.

    Raises:
        NotFound: there is none.
    """
    return _find_actor(lambda query, *args: query(tx, *args), tenant, named)


def _find_actor(ask: Ask, tenant: str, named: str) -> Actor:
    if identifiers.is_identifier(named):
        actor = ask(actors.find, tenant, named)
        message = f"No actor found with identifier: {named}."
    else:
        actor = ask(actors.find_by_alias, tenant, named)
        message = f"Actor with identifier '{named:.200}' not found"
    if actor is None:
        raise NotFound(message)
    return actor


def _check_level(ask: Ask, principal: Principal, endpoint: Endpoint, subject: Subject) -> None:
    if endpoint.needs in (ROLE, ADMIN) or principal.admin:
        return
    named = [subject.key]
    if subject.config:
        failure = "You do not have sufficient access to this actor config."
    elif subject.alias and subject.actor:
        named.append((permissions.ACTOR, subject.actor["id"]))
        failure = "Not authorized -- you do not have access to this alias and actor."
    elif subject.alias:
        failure = "Not authorized -- you do not have access to this alias."
    else:
        failure = "Not authorized -- you do not have access to this actor."
    for kind, name in named:
        level = ask(permissions.level_of, principal.tenant, kind, name, principal.user)
        if permissions.LEVELS.index(level) < permissions.LEVELS.index(endpoint.needs):
            raise BadRequest(failure)
