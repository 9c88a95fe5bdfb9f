"""The images that actors can be made of, as `images.yml` describes them."""

from __future__ import annotations

import functools
import os
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from abaco import checked_yaml
from abaco.checked_yaml import SECONDS, TEXT
from abaco.roles import ROLES

if TYPE_CHECKING:
    from collections.abc import Mapping

CONTAINER = "container"
_NAMES = {"type": "array", "items": {"type": "string", "pattern": r"^[^\0*?\[]"}}
"""Names of variables, with `*` for any ending; one that begins with it would let everything in."""
_EXIT_CODE = {"type": "integer", "minimum": 1, "maximum": 255}
_FUNCTION = {"type": "string", "pattern": r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"}
IMAGES_SCHEMA: dict[str, Any] = {
    "type": "object",
    "propertyNames": {"type": "string"},
    "additionalProperties": {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "folder": TEXT,
            "command": {"type": "array", "items": TEXT, "minItems": 1},
            "mode": {"enum": ["cold", "warm", CONTAINER]},
            "handler": _FUNCTION,
            "batch": _FUNCTION,
            "environment": {"type": "object", "additionalProperties": {"type": "string"}},
            "register": {
                "type": "object",
                "additionalProperties": False,
                "minProperties": 1,
                "properties": {
                    "roles": {"type": "array", "items": {"enum": list(ROLES)}},
                    "users": {"type": "array", "items": TEXT},
                },
            },
            "protected": {"type": "array", "items": TEXT},
            "parameters": _NAMES,
            "once": {"type": "array", "items": TEXT},
            "variables": _NAMES,
            "throttle": {
                "type": "object",
                "additionalProperties": False,
                "required": ["by", "secret", "refusal"],
                "properties": {"by": TEXT, "secret": TEXT, "refusal": TEXT},
            },
            "places": {
                "type": "object",
                "additionalProperties": {"type": "array", "items": TEXT},
            },
            "seconds": SECONDS,
            "ordered_by": TEXT,
            "idempotency": TEXT,
            "unavailable": {"type": "array", "items": _EXIT_CODE},
        },
        "allOf": [
            {
                "if": {"properties": {"mode": {"const": "warm"}}, "required": ["mode"]},
                "then": {"required": ["handler"]},
            },
            {
                "if": {"properties": {"mode": {"const": CONTAINER}}, "required": ["mode"]},
                "then": {"properties": {"folder": False, "handler": False, "batch": False}},
                "else": {"required": ["folder", "command"]},
            },
        ],
        "dependentRequired": {"batch": ["handler", "ordered_by"]},
    },
}


@dataclass(frozen=True)
class Guarded:
    """Where messages name a subject and show a secret, and how a wrong one is refused.

    Attributes:
        by: the key of a message, or the parameter of its URL, that names the subject.
        secret: likewise, what holds the secret.
        refusal: the `kind` of the result, an object with an `error`, that refuses a wrong secret.
    """

    by: str
    secret: str
    refusal: str


@dataclass(frozen=True)
class Image:
    """What runs under the name of an image.

    Attributes:
        folder: the working directory; a container has its own.
        command: of a cold worker, and what the actor is told that it is; of a container, in place
            of the one that the image says.
        handler: of a warm worker, `module:function`; called for each message, without arguments,
            it returns the exit code.
        batch: of a warm worker, `module:function`; called with the environments of several messages
            that have values of `ordered_by`, it returns exit code, log and results of those at the
            beginning, None for each that it has not handled.
        environment: what every process gets, under everything else.
        roles: whose users may register actors of it, besides administrators.
        users: who else may.
        protected: names of variables, `*` for any ending, that only an administrator may set, in
            `defaultEnvironment`.
        parameters: names that a URL parameter may have, besides the ordinary ones.
        once: URL parameters that say one thing: a message that gives one two values is refused.
        variables: names that `defaultEnvironment` may have, besides the ordinary ones, whoever
            registers the actor.
        throttle: how senders are recognized who guess secrets; None where there are none.
        places: where else in a message the values are that `throttle` and `ordered_by` name, by
            those names: the keys that lead there.
        seconds: the longest execution; by default that of the gateway.
        ordered_by: the URL parameter, or field of a JSON body, by whose value messages are ordered.
        idempotency: the URL parameter by which a message that comes twice counts once.
        unavailable: the exit codes that say: something is away, try again later.
    """

    name: str
    folder: Path = Path("/")
    command: tuple[str, ...] = ()
    mode: str = "cold"
    handler: str = ""
    batch: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    roles: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    protected: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    once: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    throttle: Guarded | None = None
    places: Mapping[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict)
    seconds: float | None = None
    ordered_by: str = ""
    idempotency: str = ""
    unavailable: tuple[int, ...] = ()


def load_images(*files: Path) -> Mapping[str, Image]:
    """Return the images by name; files are read again when they have changed.

    Args:
        files: a name in several of them is what the first says; a file that is missing has none.

    Raises:
        SettingsError: a key or value cannot be used.
    """
    images: dict[str, Image] = {}
    for file in files:
        try:
            state = file.stat()
        except OSError:
            continue
        found = _load_images(file, state.st_mtime_ns, state.st_size, state.st_ino)
        images = {**found, **images}
    return images


@functools.lru_cache(maxsize=4)
def _load_images(file: Path, *_state: int) -> Mapping[str, Image]:
    content = checked_yaml.read(file)
    checked_yaml.check(IMAGES_SCHEMA, content, file)
    return {
        name: Image(
            name=name,
            folder=(file.resolve().parent / entry.get("folder", "/")).resolve(),
            command=tuple(entry.get("command", ())),
            mode=entry.get("mode", "cold"),
            handler=entry.get("handler", ""),
            batch=entry.get("batch", ""),
            environment=entry.get("environment", {}),
            roles=tuple(entry.get("register", {}).get("roles", ())),
            users=tuple(entry.get("register", {}).get("users", ())),
            protected=tuple(entry.get("protected", ())),
            parameters=tuple(entry.get("parameters", ())),
            once=tuple(entry.get("once", ())),
            variables=tuple(entry.get("variables", ())),
            throttle=Guarded(**entry["throttle"]) if "throttle" in entry else None,
            places={
                key: tuple(tuple(path.split(".")) for path in paths)
                for key, paths in entry.get("places", {}).items()
            },
            seconds=entry.get("seconds"),
            ordered_by=entry.get("ordered_by", ""),
            idempotency=entry.get("idempotency", ""),
            unavailable=tuple(entry.get("unavailable", ())),
        )
        for name, entry in content.items()
    }


def find_program(name: str) -> str:
    """Return the path of a program: beside this interpreter, else where the shell finds it.

    A path, `./run` or `/bin/sh`, stays as it is.
    """
    if os.sep in name:
        return name
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else shutil.which(name) or name
