"""Whether an actor can run: what it is made of, and the status that says so."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from abaco import events
from abaco.exceptions import SettingsError
from abaco.images import CONTAINER
from abaco.settings import NONE
from abaco.store import actors, registrations
from abaco.workers import admission, threads
from abaco.workers.admission import ImageRefused, NotAdmitted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from abaco.images import Image
    from abaco.settings import Settings
    from abaco.store.database import Database
    from abaco.store.executions import Accepted
    from abaco.store.rows import Actor

_RETRY_SECONDS = 1.0

_logger = logging.getLogger(__name__)


class UnknownImage(Exception):
    """There is no image of that name, or nothing to run it; the text says what to do."""


UNUSABLE = (UnknownImage, ImageRefused, SettingsError)
"""Why there is nothing that an actor could run, whoever described it."""


def image_of(database: Database, settings: Settings, actor: Actor) -> Image:
    """Return what an actor runs.

    Raises:
        UnknownImage: it is not known, or there is no engine for its containers.
        ImageRefused: it is of no registry that is allowed.
        NotAdmitted: whoever described the actor may not register it.
        SettingsError: the file of images cannot be used.
    """
    image = admission.find(settings, actor["image"])
    if image is None:
        message = (
            f"image {actor['image']:.200} is not known here: add it to {settings.images_files[-1]} "
            "with its folder and command, then update the actor"
        )
        raise UnknownImage(message)
    if image.mode == CONTAINER and settings.containers.engine == NONE:
        message = (
            f"image {image.name:.200} runs in containers: let `containers` in {settings.file} "
            "name an engine, start the gateway again, then update the actor"
        )
        raise UnknownImage(message)
    with database.read() as tx:
        registrant = registrations.of(tx, actor)
    admission.check(image, registrant, actor["default_environment"])
    return image


def no_longer_admitted(
    database: Database, settings: Settings, described: Iterable[Actor]
) -> list[str]:
    """Return the ids of actors that whoever described them may not register any more.

    One whose image is unusable for another reason is none of them: its workers go on with the image that they know.
    """
    found = []
    for actor in described:
        try:
            image_of(database, settings, actor)
        except NotAdmitted:
            found.append(actor["id"])
        except UNUSABLE:
            continue
    return found


def write(
    database: Database,
    api_server: Callable[[str], str],
    actor_id: str,
    status: str,
    reason: str,
    revision: int | None = None,
) -> Accepted | None:
    """Set the status of an actor, and tell its link and webhook; return the message to the former.

    Args:
        database: of the platform.
        api_server: returns the base URL that an actor of a tenant is told.
        actor_id: the actor's.
        status: of `abaco.store.actors`.
        reason: why.
        revision: of the actor that has it; of another, nothing is changed.
    """
    with database.write() as tx:
        # several nodes may make an actor ready at once: one of them says so
        actor = actors.lock(tx, actor_id)
        if actor is None or (actor["status"], actor["status_message"]) == (status, reason):
            return None
        if revision is not None and actor["revision"] != revision:
            return None
        if actor["status"] == actors.SHUTTING_DOWN:
            return None
        actors.change(tx, actor_id, status=status, status_message=reason)
        kind = events.ACTOR_READY if status == actors.READY else events.ACTOR_ERROR
        return events.emit(tx, actor, kind, api_server(actor["tenant"]), status_message=reason)


async def write_until_written(
    database: Database,
    api_server: Callable[[str], str],
    actor_id: str,
    status: str,
    reason: str,
    revision: int | None = None,
    *,
    goes_on: Callable[[], bool] = lambda: True,
) -> Accepted | None:
    """Do as `write` does, however often that takes, as long as it is to go on."""
    while goes_on():
        try:
            return await threads.run(
                write, database, api_server, actor_id, status, reason, revision
            )
        except SQLAlchemyError as error:
            _logger.error("actor %s: not %s yet: %s", actor_id, status, type(error).__name__)
            await asyncio.sleep(_RETRY_SECONDS)
    return None
