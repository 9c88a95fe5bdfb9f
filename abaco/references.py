"""The names of images in registries, as engines read them: `[registry/]path[:tag][@digest]`."""

from __future__ import annotations

import re
from typing import NamedTuple

HUB = "docker.io"
"""The registry of names that begin with none."""
_ALSO_HUB = "index.docker.io"
_OFFICIAL = "library"
_PART = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_NAME = re.compile(
    rf"(?:(?P<registry>localhost|{_LABEL}(?:\.{_LABEL})+|{_LABEL}(?:\.{_LABEL})*(?=:[0-9]+/))"
    r"(?P<port>:[0-9]{1,5})?/)?"
    rf"(?P<path>{_PART}(?:/{_PART})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?"
    r"(?P<digest>@sha256:[a-f0-9]{64})?"
)
_MAX_LENGTH = 255


class NotAReference(Exception):
    """What no registry has an image by."""


class Reference(NamedTuple):
    """The name of an image in a registry.

    Attributes:
        registry: host, and port where there is one.
        path: within the registry.
        version: `:tag` or `@digest`.
    """

    registry: str
    path: str
    version: str

    def __str__(self) -> str:
        """Return the whole name, which is the same for every engine."""
        return f"{self.registry}/{self.path}{self.version}"


def read(name: str) -> Reference:
    """Read the name of an image.

    Raises:
        NotAReference: it is not one.
    """
    found = _NAME.fullmatch(name) if len(name) <= _MAX_LENGTH else None
    if found is None:
        message = f"{name!r:.100} is not the name of an image"
        raise NotAReference(message)
    registry, path = found["registry"], found["path"]
    if registry in {None, HUB, _ALSO_HUB} and not found["port"]:
        registry = HUB
        path = path if "/" in path else f"{_OFFICIAL}/{path}"
    version = found["digest"] or f":{found['tag'] or 'latest'}"
    return Reference(f"{registry}{found['port'] or ''}", path, version)
