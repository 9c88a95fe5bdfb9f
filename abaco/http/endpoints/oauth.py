"""Tokens and profiles: what clients ask of the tenant besides Abaco.

The rules are in docs/reference/abaco.md#authentication.
"""

from __future__ import annotations

import base64
import binascii

from starlette.responses import JSONResponse

from abaco.exceptions import BadRequest, Unauthorized
from abaco.http.arguments import Argument
from abaco.http.call import PUBLIC, ROLE, Call, Endpoint, Reply
from abaco.store import tokens

_MAX_LENGTH = 255


def refresh(call: Call) -> JSONResponse:
    """Exchange a refresh token for a new access token (RFC 6749, section 6)."""
    if call.arguments["grant_type"] != "refresh_token":
        message = "The only grant_type is refresh_token: make tokens on the command line."
        raise BadRequest(message)
    key, secret = _credentials(call.headers.get("authorization", ""))
    with call.gateway.database.write() as tx:
        grant = tokens.refresh(tx, key, secret, call.arguments["refresh_token"])
    if grant is None:
        message = "The client's key and secret, or the refresh token, do not hold."
        raise Unauthorized(message)
    return JSONResponse(
        {
            "access_token": grant.access,
            "refresh_token": grant.refresh,
            "expires_in": grant.lifetime,
            "token_type": "bearer",
            "scope": call.arguments.get("scope", "PRODUCTION"),
        },
        headers={"Cache-Control": "no-store"},
    )


def _credentials(header: str) -> tuple[str, str]:
    scheme, _, encoded = header.partition(" ")
    try:
        text = base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, ValueError):
        text = ""
    key, colon, secret = text.partition(":")
    if scheme.lower() != "basic" or not colon:
        message = "The client's key and secret are missing: send them by Basic authentication."
        raise Unauthorized(message)
    return key, secret


def profile(call: Call) -> Reply:
    """Return a user: of others, no more than the name is known."""
    name = call.path["user"]
    user = call.principal.user if name == "me" else name[:_MAX_LENGTH]
    result = {
        "username": user,
        "email": f"{user}@localhost",
        "first_name": user,
        "last_name": "",
        "full_name": user,
        "_links": {"self": {"href": call.profile(user)}},
    }
    return Reply(result, "User details retrieved successfully.")


ENDPOINTS = (
    Endpoint(
        "POST",
        "/token",
        refresh,
        PUBLIC,
        "Exchange a refresh token for a new access token",
        thing="token",
        raw=("application/json",),
        arguments=(
            Argument("grant_type", "text", "refresh_token", required=True),
            Argument("refresh_token", "text", "The refresh token.", required=True),
            Argument("scope", "text", "PRODUCTION"),
        ),
    ),
    Endpoint("GET", "/profiles/v2/{user}", profile, ROLE, "Return a user", result="Profile"),
)
