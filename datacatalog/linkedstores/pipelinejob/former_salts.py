"""The salts of a job: the one that its token is made of, and former ones whose tokens still hold.

A former salt is kept with the moment at which its token ends, and with what the audit log says of
the rotation, so that a writer that dies before its row leaves it to the next change.
"""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any, Final

from datacatalog.linkedstores.basestore.store import revision_of
from datacatalog.tokens import MAX_FORMER_SALTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from datacatalog.linkedstores.pipelinejob.stored import FormerSalt
    from datacatalog.mongo import Document

FORMER: Final = "_former_salts"
ACTION = "rotate_token"
GRACE_SECONDS = 3600
"""For which the former token holds, unless something else is asked for."""
MAX_GRACE_SECONDS = 30 * 86_400


def former(job: Mapping[str, Any]) -> list[FormerSalt]:
    """Return the former salts of a stored job, those that have ended too, the oldest first."""
    found = job.get(FORMER)
    return found if isinstance(found, list) else []


def holding(job: Mapping[str, Any], moment: datetime.datetime) -> list[FormerSalt]:
    """Return the former salts whose tokens hold at a moment."""
    return [each for each in former(job) if each["until"] > moment]


def ended(job: Mapping[str, Any], moment: datetime.datetime) -> list[FormerSalt]:
    """Return the former salts whose tokens have ended."""
    return [each for each in former(job) if each["until"] <= moment]


def rotated(
    job: Mapping[str, Any], moment: datetime.datetime, grace: float
) -> tuple[list[FormerSalt], list[FormerSalt]]:
    """Return the former salts of a job after a rotation: those that are kept, those that are not.

    No former token holds longer than the one that the rotation ends. The newest are kept.

    Args:
        job: as it is stored before the rotation.
        moment: of the rotation.
        grace: for how many seconds the token holds that the job has.
    """
    until = moment + datetime.timedelta(seconds=grace)
    latest: FormerSalt = {
        "_salt": job.get("_salt"),
        "until": until,
        "rotated": moment,
        "revision": (revision_of(job) or 0) + 1,
    }
    earlier: list[FormerSalt] = [
        {**each, "until": min(each["until"], until)} for each in former(job)
    ]
    keeping = [each for each in earlier if each["until"] > moment][1 - MAX_FORMER_SALTS :]
    return [*keeping, latest], [each for each in earlier if each not in keeping]


def row(audited: Document, job: Mapping[str, Any], rotation: FormerSalt) -> Document:
    """Return the row of the audit log for a rotation; its `_id` makes a second write harmless.

    Args:
        audited: what every row of the job has.
        job: as it is stored.
        rotation: the former salt that it has left.
    """
    return {
        **audited,
        "_id": f"{job['_id']}:{rotation['revision']}",
        "date": rotation["rotated"],
        "former_until": rotation["until"],
    }
