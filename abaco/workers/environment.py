"""The environment of a process, made from nothing.

The rules are in docs/reference/abaco.md#the-environment-of-a-process.
"""

from __future__ import annotations

import fnmatch
import functools
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from abaco.images import CONTAINER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from abaco.images import Image
    from abaco.store.rows import Actor, Begun

MAX_BYTES = 131_072 - 1
"""Of one variable, with its name: what Linux passes to a new program (MAX_ARG_STRLEN)."""

WORK = "/work"
"""The only folder of a container that can be written to, besides `/dev/shm`."""
CONFIGS = "_actor_configs"
STATE = "_abaco_actor_state"
WORKER = "_abaco_worker_id"
GATEWAY = "_abaco_gateway"
"""Whose process it is, so that a later gateway finds what an earlier one left."""
RESULTS = "_abaco_results_socket"
FIRST_ATTEMPT = "_abaco_first_attempt"
"""Set for a message that no worker ever had: nothing of it can have happened yet."""
BINARY = "_abaco_binary_fifo"

_ORDINARY = re.compile(r"[a-z][A-Za-z0-9_-]*")
"""What interpreters, loaders, shells and libraries obey has a name in capitals, or one of these."""
READ_BY_PROGRAMS = (
    # by whatever talks HTTP
    "*proxy*",
    # by package managers, as their settings
    "npm_*",
    "pnpm_*",
    "yarn_*",
    "rvm_*",
    # by shells that take every variable for one of their own: fish, rc, es
    "fish_*",
    "fn_*",
    "fn-*",
    "cdpath",
    "home",
    "ifs",
    "path",
    "prompt",
    # by scripts of autoconf
    "ac_cv_*",
)
PLATFORM = ("MSG", "_abaco_*", "_actor_*")
SYNCHRONOUS = "_abaco_synchronous"
"""The parameter of the URL, handed on to the process, by which a sender waits for what comes of a message."""
_MAX_KNOWN = 64
"""Characters of a name that is remembered."""
_PATH = os.pathsep.join((str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin"))
"""Where programs are found: beside this interpreter, then where systems have them."""


def split(
    parameters: Iterable[tuple[str, str]], image: Image | None
) -> tuple[dict[str, str], list[str]]:
    """Sort URL parameters into those that a process gets and the names of those that are dropped.

    Args:
        parameters: in the order of the URL; of a name that comes twice the first counts.
        image: what the actor is made of, if that is known.
    """
    kept: dict[str, str] = {}
    dropped: list[str] = []
    for name, value in parameters:
        if _may_be_sent(name, image):
            kept.setdefault(name, value)
        else:
            dropped.append(name)
    return kept, dropped


def may_be_described(name: str, image: Image) -> bool:
    """Tell whether `defaultEnvironment` may have a variable, whoever registers the actor."""
    if is_protected(name, image) or is_platforms(name):
        return False
    return _is_ordinary(name) or _matches(name, image.variables)


def is_protected(name: str, image: Image) -> bool:
    """Tell whether an image protects a variable."""
    return _matches(name, image.protected)


def is_platforms(name: str) -> bool:
    """Tell whether the platform sets a variable."""
    return _matches(name, PLATFORM)


def is_synchronous(values: Mapping[str, str]) -> bool:
    """Tell by parameters, or an environment, whether the sender waits."""
    return values.get(SYNCHRONOUS, "").lower() == "true"


def without_protected(values: Mapping[str, str], image: Image) -> dict[str, str]:
    """Return configs by name but for those that an image protects: an alias may have brought them."""
    return {name: value for name, value in values.items() if not is_protected(name, image)}


def _may_be_sent(name: str, image: Image | None) -> bool:
    if name == SYNCHRONOUS:
        return True
    if is_platforms(name) or (image is not None and is_protected(name, image)):
        return False
    return _is_ordinary(name) or (image is not None and _matches(name, image.parameters))


def _is_ordinary(name: str) -> bool:
    """Tell whether nothing reads a variable by convention."""
    return bool(_ORDINARY.fullmatch(name)) and not _matches(name.lower(), READ_BY_PROGRAMS)


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return (_known if len(name) <= _MAX_KNOWN else _is_like)(name, patterns)


def _is_like(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


_known = functools.lru_cache(maxsize=1024)(_is_like)
"""Messages bring few names, again and again."""


def fits(name: str, value: str) -> bool:
    """Tell whether a process can be started with a variable."""
    if not name or "=" in name or "\0" in name + value:
        return False
    try:
        return len(f"{name}={value}".encode()) <= MAX_BYTES
    except UnicodeEncodeError:
        return False


def build(
    image: Image,
    actor: Actor,
    execution: Begun,
    *,
    sent: Mapping[str, str],
    folder: Path,
    given: Mapping[str, Any],
) -> dict[str, str]:
    """Return the environment of an execution's process; later parts win over earlier ones.

    Args:
        image: its variables are the lowest layer.
        actor: its default environment is the next.
        execution: the record, as it was claimed.
        sent: what the message brings: parameters of its URL, and what the API said about it.
        folder: the execution's own, for HOME and temporary files.
        given: what the worker adds, `None` for what is not to be set.
    """
    layers: tuple[Mapping[str, Any], ...] = (
        _lowest(image, folder),
        image.environment,
        actor["default_environment"],
        # the message may have waited for an image that was added or changed since
        {name: sent[name] for name in sent if is_platforms(name) or _may_be_sent(name, image)},
        {
            "_abaco_execution_id": execution["id"],
            "_abaco_actor_id": actor["id"],
            "_abaco_actor_dbid": f"{actor['tenant']}_{actor['id']}",
            WORKER: execution["worker_id"],
            "_abaco_actor_name": actor["name"] or "None",
            "_abaco_container_repo": actor["image"],
            "_abaco_actor_revision": actor["revision"],
            STATE: actor["state"],
        },
        given,
    )
    return dict(_strings(layers))


def _lowest(image: Image, folder: Path) -> dict[str, str]:
    """Return what every process gets; the image of a container says for itself where its programs are."""
    if image.mode == CONTAINER:
        return {"HOME": WORK, "TMPDIR": WORK}
    return {
        "PATH": _PATH,
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
    }


def _strings(layers: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    merged: dict[str, Any] = {}
    for layer in layers:
        merged.update(layer)
    return ((name, str(value)) for name, value in merged.items() if value is not None)
