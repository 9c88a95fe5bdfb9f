"""The environment of a process, made from nothing (spec: abaco-v2, 2.1)."""

from __future__ import annotations

import fnmatch
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from abaco.settings import Image
    from abaco.store.records import Record

MOST_BYTES = 131_072 - 1
"""Of one variable, with its name: what Linux passes to a new program (MAX_ARG_STRLEN)."""

CONFIGS = "_actor_configs"
STATE = "_abaco_actor_state"
WORKER = "_abaco_worker_id"
GATEWAY = "_abaco_gateway"
"""Whose process it is, so that a later gateway finds what an earlier one left."""
RESULTS = "_abaco_results_socket"
BINARY = "_abaco_binary_fifo"

_PROTECTED = (
    # how programs are found and loaded
    "PATH",
    "LD_*",
    "DYLD_*",
    "PYTHON*",
    "PERL*",
    "RUBY*",
    "NODE_*",
    "JAVA_*",
    "_JAVA_*",
    "JDK_*",
    "CLASSPATH",
    "GLIBC_*",
    "MALLOC_*",
    "GCONV_PATH",
    "LOCPATH",
    "NLSPATH",
    "HOSTALIASES",
    "RES_OPTIONS",
    "LOCALDOMAIN",
    # what shells and their like obey
    "ENV",
    "BASH*",
    "SHELL*",
    "IFS",
    "PS[0-9]",
    "PROMPT_COMMAND",
    "CDPATH",
    "EDITOR",
    "VISUAL",
    "PAGER",
    "BROWSER",
    "GIT_*",
    "SSH_*",
    # where things are
    "HOME",
    "USER",
    "LOGNAME",
    "PWD",
    "OLDPWD",
    "TMP",
    "TEMP",
    "TMPDIR",
    "XDG_*",
    "TZ",
    "TZDIR",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "TERM*",
    # whom programs talk to, and trust
    "*_[Pp][Rr][Oo][Xx][Yy]",
    "SSL_*",
    "SSLKEYLOGFILE",
    "OPENSSL_*",
    "CURL_*",
    "REQUESTS_*",
    "NETRC",
    "AGAVE*",
    "TAPIS*",
    # what the platform says
    "MSG",
    "_abaco_*",
    "_actor_*",
    "_REACTOR_*",
    "_",
)
_SYNCHRONOUS = "_abaco_synchronous"
_HOST_PATH = "/usr/local/bin:/usr/bin:/bin"


def split(
    parameters: Iterable[tuple[str, str]], protected: tuple[str, ...]
) -> tuple[dict[str, str], list[str]]:
    """Sort URL parameters into those that a process gets and the names of those that are dropped.

    Args:
        parameters: in the order of the URL; of a name that comes twice the first counts.
        protected: patterns of names, beside those that no process gets from a URL.
    """
    kept: dict[str, str] = {}
    dropped: list[str] = []
    for name, value in parameters:
        if is_protected(name, protected) or not fits(name, value):
            dropped.append(name)
        else:
            kept.setdefault(name, value)
    return kept, dropped


def is_protected(name: str, protected: tuple[str, ...] = ()) -> bool:
    """Tell whether a variable could change how a process runs, or what it takes as given."""
    if name == _SYNCHRONOUS:
        return False
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in (*_PROTECTED, *protected))


def fits(name: str, value: str) -> bool:
    """Tell whether a program can be started with a variable."""
    if not name or "=" in name or "\0" in name + value:
        return False
    try:
        return len(f"{name}={value}".encode()) <= MOST_BYTES
    except UnicodeEncodeError:
        return False


def build(
    image: Image,
    actor: Record,
    execution: Record,
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
        {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{_HOST_PATH}",
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
        },
        image.environment,
        actor["default_environment"],
        sent,
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


def _strings(layers: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    merged: dict[str, Any] = {}
    for layer in layers:
        merged.update(layer)
    return ((name, str(value)) for name, value in merged.items() if value is not None)
