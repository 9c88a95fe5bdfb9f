"""The engine that runs containers, docker or podman, by the API that both serve on a socket."""

from __future__ import annotations

import contextlib
import logging
import socket
from typing import TYPE_CHECKING, Any

from docker import APIClient
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from requests.exceptions import RequestException

from abaco import references
from abaco.settings import ALWAYS, NEVER
from abaco.workers.container_labels import GATEWAY_LABEL
from abaco.workers.processes import NotStarted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from abaco.settings import Containers

FAULTS = (DockerException, RequestException)
"""What the engine answers with an error, or does not answer."""
_VERSION = "1.41"
"""Of the API: the newest that Debian's docker and podman both speak."""
_ANSWER_SECONDS = 60
_PULL_SECONDS = 600
_MAX_REASON_LENGTH = 300

_logger = logging.getLogger(__name__)


class Engine:
    """The engine, as one gateway uses it, or the nodes of one platform.

    Args:
        settings: which engine, where it listens, and what a container may use.
        gateway: what its containers are marked with.
    """

    def __init__(self, settings: Containers, gateway: str) -> None:
        self.settings = settings
        self.gateway = gateway
        self.location = f"unix://{settings.socket}"

    def connect(self, seconds: int = _ANSWER_SECONDS) -> APIClient:
        """Return a client, which is to be closed; an answer may take some seconds.

        Raises:
            DockerException: nobody listens.
        """
        try:
            # the client would leave a connection open that is refused
            with socket.socket(socket.AF_UNIX) as knock:
                knock.settimeout(seconds)
                knock.connect(self.settings.socket)
        except OSError as error:
            raise DockerException(error.strerror) from error
        return APIClient(base_url=self.location, version=_VERSION, timeout=seconds)

    def version(self) -> str:
        """Return which version answers.

        Raises:
            NotStarted: none does.
        """
        try:
            with contextlib.closing(self.connect()) as client:
                version = client.version()["Version"]
        except FAULTS as error:
            raise NotStarted(self.explain(error)) from error
        return f"{self.settings.engine} {version} at {self.settings.socket}"

    def fetch(self, name: str) -> None:
        """Fetch an image from its registry, if the settings say so.

        Raises:
            NotStarted: it is not there afterwards.
        """
        whole = str(references.read(name))
        try:
            with contextlib.closing(self.connect(_PULL_SECONDS)) as client:
                if self.settings.pull != ALWAYS and _has(client, whole):
                    return
                if self.settings.pull == NEVER:
                    message = f"the image {whole} is not on this machine, and is never fetched"
                    raise NotStarted(message)
                for step in client.pull(whole, stream=True, decode=True):
                    if "error" in step:
                        message = f"the image {whole} cannot be fetched: {_short(step['error'])}"
                        raise NotStarted(message)
        except FAULTS as error:
            message = f"the image {whole} cannot be fetched: {self.explain(error)}"
            raise NotStarted(message) from error

    def remove_left(self, is_left: Callable[[Mapping[str, str]], bool]) -> int:
        """Remove the containers that nobody needs any more; return their number.

        Where the engine does not answer there may be some; its actors will not start either.

        Args:
            is_left: tells by its labels whether a container is one of those.
        """
        try:
            with contextlib.closing(self.connect()) as client:
                mine = {"label": f"{GATEWAY_LABEL}={self.gateway}"}
                found = client.containers(all=True, filters=mine)
                left = [each["Id"] for each in found if is_left(each["Labels"])]
                for each in left:
                    remove(client, each)
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
