"""The engine that runs containers, docker or podman, by the API that both serve on a socket."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from docker import APIClient
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from requests.exceptions import RequestException

from abaco import references
from abaco.settings import ALWAYS, NEVER
from abaco.workers.processes import NotStarted

if TYPE_CHECKING:
    from abaco.settings import Containers

GATEWAY_LABEL = "abaco.gateway"
"""Of every container: whose it is, so that a later gateway finds what an earlier one left."""
FAULTS = (DockerException, RequestException)
"""What the engine answers with an error, or does not answer."""
_VERSION = "1.41"
"""Of the API: the newest that Debian's docker and podman both speak."""
_ANSWER_SECONDS = 60
_PULL_SECONDS = 600
_MAX_REASON_LENGTH = 300

_logger = logging.getLogger(__name__)


class Engine:
    """The engine, as one gateway uses it.

    Args:
        settings: which engine, where it listens, and what a container may use.
        gateway: what the containers of this gateway are marked with.
    """

    def __init__(self, settings: Containers, gateway: str) -> None:
        self.settings = settings
        self.gateway = gateway
        self.location = f"unix://{settings.socket}"

    def connect(self, seconds: float = _ANSWER_SECONDS) -> APIClient:
        """Return a client, which is to be closed; an answer may take some seconds."""
        # requests takes fractions, the annotation says otherwise
        return APIClient(base_url=self.location, version=_VERSION, timeout=int(seconds))

    def fetch(self, name: str) -> None:
        """Fetch an image from its registry, if the settings say so.

        Raises:
            NotStarted: it is not there afterwards.
        """
        whole = str(references.read(name))
        try:
            client = self.connect(_PULL_SECONDS)
            try:
                if self.settings.pull != ALWAYS and _has(client, whole):
                    return
                if self.settings.pull == NEVER:
                    message = f"the image {whole} is not on this machine, and is never fetched"
                    raise NotStarted(message)
                for step in client.pull(whole, stream=True, decode=True):
                    if "error" in step:
                        message = f"the image {whole} cannot be fetched: {_short(step['error'])}"
                        raise NotStarted(message)
            finally:
                client.close()
        except FAULTS as error:
            message = f"the image {whole} cannot be fetched: {self.explain(error)}"
            raise NotStarted(message) from error

    def remove_left(self) -> int:
        """Remove the containers that an earlier gateway left; return their number.

        Where the engine does not answer there may be some; its actors will not start either.
        """
        try:
            client = self.connect()
            try:
                mine = {"label": f"{GATEWAY_LABEL}={self.gateway}"}
                left = client.containers(all=True, quiet=True, filters=mine)
                for each in left:
                    remove(client, each["Id"])
            finally:
                client.close()
        except FAULTS as error:
            _logger.error("containers may be left: %s", self.explain(error))
            return 0
        return len(left)

    def explain(self, error: Exception) -> str:
        """Return in a line what is wrong with the engine, or with what it was asked."""
        if isinstance(error, APIError):
            return f"{self.settings.engine}: {_short(error.explanation or error)}"
        return f"{self.settings.engine} does not answer at {self.settings.socket}"


def remove(client: APIClient, container: str) -> None:
    """Remove a container, whatever it does; it may be gone already."""
    try:
        client.remove_container(container, force=True, v=True)
    except NotFound:
        return


def _has(client: APIClient, name: str) -> bool:
    try:
        client.inspect_image(name)
    except ImageNotFound:
        return False
    return True


def _short(text: Any) -> str:
    return " ".join(str(text).split())[:_MAX_REASON_LENGTH]
