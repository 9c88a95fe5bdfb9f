"""Containers for workers, where the settings name an engine: nothing of it is imported elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from abaco.settings import NONE
from abaco.workers.workspace import prefix

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from abaco.images import Image
    from abaco.settings import Settings
    from abaco.workers.container_engine import Engine
    from abaco.workers.containers import Container


class ContainerMaker:
    """Makes the containers of a gateway or node, and removes those that it left.

    Args:
        settings: of the gateway or node.
        owner: marks its containers; by default, its data folder does.
    """

    def __init__(self, settings: Settings, owner: str = "") -> None:
        self._engine: Engine | None = None
        if settings.containers.engine != NONE:
            from abaco.workers.container_engine import Engine  # noqa: PLC0415 - most gateways do without

            self._engine = Engine(settings.containers, owner or prefix(settings.data))

    def make(
        self,
        image: Image,
        worker_id: str,
        labels: Callable[[], Mapping[str, str]] = dict,
    ) -> Container:
        """Return what runs the messages of a worker in containers.

        Args:
            image: what it runs.
            worker_id: of the worker.
            labels: returns what the container of the present message is marked with as well.

        Raises:
            LookupError: the settings name no engine.
        """
        from abaco.workers.containers import Container  # noqa: PLC0415 - as the engine

        if self._engine is None:
            message = f"{image.name} needs an engine for containers"
            raise LookupError(message)
        return Container(image, self._engine, worker_id, labels)

    def remove_left(
        self, is_left: Callable[[Mapping[str, str]], bool] = lambda _labels: True
    ) -> int:
        """Remove the containers that an earlier process left; return their number.

        Args:
            is_left: tells by its labels whether a container is one of those; by default, all are.
        """
        return 0 if self._engine is None else self._engine.remove_left(is_left)
