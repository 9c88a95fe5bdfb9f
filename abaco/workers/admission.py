"""Who may register actors of an image, and which variables they may give them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from abaco.roles import ADMIN
from abaco.workers import environment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from abaco.settings import Image
    from abaco.store.registrations import Registrant


class NotAdmitted(Exception):
    """An actor must not be registered so; the text says who may."""


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
