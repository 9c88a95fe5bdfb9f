"""A job's token can be changed; the former one holds for a while."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from datacatalog.linkedstores.basestore.contention import Contention
from datacatalog.linkedstores.basestore.store import now
from datacatalog.linkedstores.pipelinejob import former_salts
from datacatalog.linkedstores.pipelinejob.reader import JobReader
from datacatalog.tokens import generate_salt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from datacatalog.linkedstores.pipelinejob.stored import FormerSalt, StoredJob
    from datacatalog.mongo import Document


class RotatingStore(JobReader):
    """The jobs, whose tokens can be changed."""

    def rotate_token(
        self, job_uuid: str, token: str | None = None, *, grace: float = former_salts.GRACE_SECONDS
    ) -> Document:
        """Give a job, hidden or not, a new token.

        The token that it has now holds for `grace` seconds more. Those of earlier rotations end when
        they were to end, at the latest with that one; of more than `tokens.MAX_FORMER_SALTS`, the
        oldest end at once.

        Args:
            job_uuid: the job's.
            token: the present token of the job, not a former one, or an administrative one.
            grace: from 0, which ends all former tokens, to `former_salts.MAX_GRACE_SECONDS`.

        Returns:
            The stored document and its new `_update_token`.

        Raises:
            UnknownJob: there is no such job.
            InvalidToken: the token does not allow it.
            ValueError: `grace` is not in its range.
        """
        if not 0 <= grace <= former_salts.MAX_GRACE_SECONDS:
            message = f"grace is {grace}: give 0 to {former_salts.MAX_GRACE_SECONDS:,} seconds"
            raise ValueError(message)
        contention = Contention(f"rotation of the token of job {job_uuid}")
        while True:
            stored = self.load_deletable(job_uuid)
            self.validate_token({**stored, "_former_salts": []}, token)
            kept, dropped = former_salts.rotated(stored, now(), grace)
            salt = generate_salt()
            changes = {"_salt": salt, former_salts.FORMER: kept}
            self._keep_rotations(stored, dropped)
            if self.commit(stored, changes):
                self._keep_rotations(stored, kept[-1:])
                return self.with_token({**stored, "_salt": salt, "_former_salts": kept})
            contention.pause()

    def commit(
        self,
        stored: StoredJob,
        changes: Mapping[str, Any],
        guard: Mapping[str, Any] | None = None,
        count: int = 1,
        **operators: Any,
    ) -> bool:
        """Do as in all stores; former salts whose tokens have ended go with the change."""
        ended = [] if former_salts.FORMER in changes else former_salts.ended(stored, now())
        if ended:
            self._keep_rotations(stored, ended)
            left = [each for each in former_salts.former(stored) if each not in ended]
            changes = {**changes, former_salts.FORMER: left}
        done = super().commit(stored, changes, guard, count, **operators)
        if done and ended:
            stored["_former_salts"] = changes[former_salts.FORMER]
        return done

    def _keep_rotations(self, stored: StoredJob, rotations: list[FormerSalt]) -> None:
        for each in rotations:
            self.keep_row(former_salts.row(self.audit(stored, former_salts.ACTION), stored, each))
