"""Configs: values for the environment of actors (docs/reference/abaco.md#configs)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from abaco.exceptions import BadRequest
from abaco.http.access import find_actor
from abaco.http.arguments import Argument
from abaco.http.call import ROLE, Call, Endpoint, Reply
from abaco.images import load_images
from abaco.store import aliases, configs, permissions
from abaco.store.permissions import READ, UPDATE
from abaco.workers import admission, environment

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from sqlalchemy import Connection

    from abaco.images import Image
    from abaco.store.records import Record

_NAME = re.compile(r"[A-Za-z0-9_.~-]{1,255}")
_VALUE = (
    Argument("value", "text", "The value of the config.", required=True),
    Argument("isSecret", "boolean", "Whether the value is not shown."),
    Argument("actors", "text", "Ids and aliases of actors, with commas between.", required=True),
)
_ARGUMENTS = (Argument("name", "text", "The name of the config.", required=True), *_VALUE)
_ONE = "/actors/configs/{config}"


def list_configs(call: Call) -> Reply:
    """List the configs that the sender may read."""
    with call.gateway.database.read() as tx:
        found = configs.all_of(tx, call.tenant)
        if not call.principal.admin:
            mine = permissions.subjects(tx, call.tenant, permissions.CONFIG, call.principal.user)
            found = [config for config in found if config["name"] in mine]
    return Reply([_show(config) for config in found], "Configs retrieved successfully.")


def create(call: Call) -> Reply:
    """Keep a value for some actors."""
    name = call.arguments["name"]
    if not _NAME.fullmatch(name) or set(name) == {"."}:
        message = "Invalid config description: a name is 1 to 255 letters, digits and _ . ~ -"
        raise BadRequest(message)
    with call.gateway.database.write() as tx:
        record = {"name": name, "is_secret": False, **_read(tx, call, name)}
        if configs.find(tx, call.tenant, name) is not None:
            message = f"Config {name} already exists."
            raise BadRequest(message)
        configs.create(tx, call.tenant, call.principal.user, record)
    return Reply(_show(record), "Config created successfully.")


def get(call: Call) -> Reply:
    """Return a config."""
    return Reply(_show(call.subject.config), "Config retrieved successfully.")


def update(call: Call) -> Reply:
    """Replace the value of a config, and for whom it is; a secret stays one unless it is said."""
    name = call.subject.config["name"]
    with call.gateway.database.write() as tx:
        record = _read(tx, call, name)
        configs.change(tx, call.tenant, name, record)
    return Reply(_show({**call.subject.config, **record}), "Config updated successfully.")


def delete(call: Call) -> Reply:
    """Remove a config."""
    name = call.subject.config["name"]
    with call.gateway.database.write() as tx:
        configs.remove(tx, call.tenant, name)
    return Reply(None, f"Config {name} deleted successfully.")


def _read(tx: Connection, call: Call, name: str) -> dict[str, Any]:
    given = call.arguments
    images = load_images(*call.gateway.settings.images_files)
    _check_size({name: given["value"]})
    named = [each.strip() for each in given["actors"].split(",") if each.strip()]
    for each in named:
        actor = find_actor(tx, call.tenant, each)
        if not call.may(tx, UPDATE, actor["id"]):
            message = f"Not authorized -- you do not have access to the specified actor: {each}."
            raise BadRequest(message)
        if actor["image"] in images:
            _check_image(call, images[actor["image"]], name)
        mine = {actor["id"], *aliases.of_actor(tx, call.tenant, actor["id"])}
        _check_size({**configs.for_actor(tx, call.tenant, mine), name: given["value"]})
    secret = {"is_secret": given["isSecret"]} if "isSecret" in given else {}
    return {"value": given["value"], "actors": ",".join(named), **secret}


def _check_size(values: dict[str, str]) -> None:
    if not environment.fits(environment.CONFIGS, str(values)):
        message = (
            "Invalid config description: a process cannot be given this value, with which its "
            f"configs are longer than {environment.MAX_BYTES} bytes."
        )
        raise BadRequest(message)


def _check_image(call: Call, image: Image, name: str) -> None:
    """Refuse a config of a protected name, and any config of a user who may not register the image."""
    try:
        admission.check(image, call.principal.registrant)
    except admission.NotAdmitted as error:
        message = f"Not authorized -- {error}"
        raise BadRequest(message) from None
    if environment.is_protected(name, image):
        message = (
            f"Not authorized -- the image {image.name} protects the variable {name}: only "
            "administrators may set it, in an actor's defaultEnvironment."
        )
        raise BadRequest(message)


def _show(config: Mapping[str, Any]) -> Record:
    return {
        "name": config["name"],
        "value": "***" if config["is_secret"] else config["value"],
        "isSecret": config["is_secret"],
        "actors": config["actors"],
    }


ENDPOINTS = (
    Endpoint("GET", "/actors/configs", list_configs, ROLE, "List configs", result="Configs"),
    Endpoint(
        "POST",
        "/actors/configs",
        create,
        ROLE,
        "Keep a value for some actors",
        thing="config",
        result="Config",
        arguments=_ARGUMENTS,
    ),
    Endpoint("GET", _ONE, get, READ, "Return a config", result="Config"),
    Endpoint(
        "PUT",
        _ONE,
        update,
        UPDATE,
        "Replace a value",
        thing="config",
        result="Config",
        arguments=_VALUE,
    ),
    Endpoint("DELETE", _ONE, delete, UPDATE, "Remove a config"),
)
