"""Who deploys, and where: the file in which the clients of Abaco keep the server and a token."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from abaco import clientcache
from deployment.exceptions import DeploymentError

if TYPE_CHECKING:
    from collections.abc import Mapping

_TUNNELLED = "api.abaco.local"
"""What the gateway of this machine is called by those who come through its tunnel."""
_LOCAL_CACHE = ".local/abaco/agave"


@dataclass(frozen=True)
class Session:
    """A user at a tenant."""

    server: str
    """the base URL"""
    user: str
    verify: bool
    """check the certificate of the server"""
    file: Path
    actor_file: Path
    """where the id of the actor is remembered that was deployed there"""

    @property
    def is_local(self) -> bool:
        """Whether the server is a gateway on this machine, which runs folders and no images."""
        return _is_local(self.server)

    @property
    def is_loopback(self) -> bool:
        """Whether the server is called by a name that always means this machine."""
        return _is_loopback(self.server)

    @property
    def token(self) -> str:
        """The access token of this moment: `tapis` renews it whenever it is called."""
        return str(clientcache.read(self.file).get("access_token") or "")


def find(environ: Mapping[str, str]) -> Session:
    """Find the session where the bash `abaco` CLI and `tapis` keep it.

    Raises:
        DeploymentError: there is none.
    """
    named = environ.get("AGAVE_CACHE_DIR")
    file = Path(named or "~/.agave").expanduser() / "current"
    content = clientcache.read(file)
    server = str(content.get("baseurl") or "").rstrip("/")
    if not (content.get("access_token") and server):
        message = (
            f"not signed in: {file} names no server with a token. `tapis auth init` writes one; for "
            f'the gateway of `make up`, export AGAVE_CACHE_DIR="$PWD/{_LOCAL_CACHE}"'
        )
        raise DeploymentError(message)
    if not urlsplit(server).scheme.startswith("http") or not urlsplit(server).hostname:
        message = f"{file}: baseurl is {server!r:.200}, which is not the URL of a server"
        raise DeploymentError(message)
    # what was deployed to the local gateway goes when its data goes
    actor_file = Path(".local/ACTOR_ID") if _is_local(server) else Path(".ACTOR_ID")
    verify = content.get("verify") is not False
    return Session(server, str(content.get("username") or "?"), verify, file, actor_file)


def _is_local(server: str) -> bool:
    return _is_loopback(server) or str(urlsplit(server).hostname) == _TUNNELLED


def _is_loopback(server: str) -> bool:
    host = str(urlsplit(server).hostname)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
