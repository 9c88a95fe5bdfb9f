"""What an actor may be made of, who may register one, and which variables they may give it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from abaco import references
from abaco.images import CONTAINER, Image, load_images
from abaco.roles import ADMIN, ROLES
from abaco.settings import NONE
from abaco.workers import environment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from abaco.settings import Settings
    from abaco.store.registrations import Registrant


class NotAdmitted(Exception):
    """An actor must not be registered so; the text says who may."""


class ImageRefused(Exception):
    """No actor can be made of an image, whoever registers it; the text says why."""


def find(settings: Settings, name: str) -> Image | None:
    """Return what is meant by the name of an image; None if it is not known.

    Where there is an engine for containers, every image of the registries that are allowed is known.

    Raises:
        SettingsError: the file of images cannot be used.
        ImageRefused: it is not the name of an image, or not of one of these registries.
    """
    known = load_images(*settings.images_files)
    if name in known or settings.containers.engine == NONE:
        return known.get(name)
    try:
        registry = references.read(name).registry
    except references.NotAReference as error:
        message = f"{error}, and {settings.images_files[0].name} has none of that name."
        raise ImageRefused(message) from None
    if registry not in settings.containers.registries:
        allowed = ", ".join(settings.containers.registries) or "no registry"
        message = (
            f"the image {name!r:.100} is of the registry {registry}; here images are of {allowed} "
            "(containers.registries)."
        )
        raise ImageRefused(message)
    # it can harm nothing but its own container, as with Abaco
    return Image(name, mode=CONTAINER, roles=ROLES, variables=("*",))


def check(image: Image, registrant: Registrant, variables: Iterable[str] = ()) -> None:
    """Check that somebody may register an actor of an image, with these variables.

    Args:
        image: what the actor is made of.
        registrant: an administrator may do everything.
        variables: the names in `defaultEnvironment`.

    Raises:
        NotAdmitted: they may not.
    """
    if registrant.admin:
        return
    if registrant.user not in image.users and not set(image.roles).intersection(registrant.roles):
        message = f"only {_admitted(image)} may register actors of the image {image.name}."
        raise NotAdmitted(message)
    for name in variables:
        if not environment.may_be_described(name, image):
            message = (
                f"only administrators may set the variable {name!r:.60} in the defaultEnvironment "
                f"of an actor of the image {image.name}."
            )
            raise NotAdmitted(message)


def _admitted(image: Image) -> str:
    """Say who may register actors of an image."""
    groups = ["administrators"]
    roles = [role for role in image.roles if role != ADMIN]
    if roles:
        groups.append(f"users with the role {' or '.join(roles)}")
    if image.users:
        groups.append(f"the users {', '.join(image.users)}")
    return " and ".join(groups)
