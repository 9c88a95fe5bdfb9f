"""Jobs to which nothing has happened for longer than is usual in their pipeline and state."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

from datacatalog.linkedstores.basestore.store import now
from datacatalog.linkedstores.statistics.sums import quantile

if TYPE_CHECKING:
    from datacatalog.mongo import Document
    from pipelinejobs.backend import Backend

STATES = ("CREATED", "RUNNING", "INDEXING", "VALIDATING")
"""In which a job is not to stay."""
LEAST_KNOWN = 5
"""How often jobs of a pipeline must have left a state, for others to be called slow."""
_SHARE = 0.95
_MAX_QUIET = 500


def find(backend: Backend) -> list[Document]:
    """Return stuck jobs, the longest quiet first, each with `quiet` and `usual` in seconds.

    Usual is the time within which 95 % of the jobs of the pipeline have left the state.
    """
    usual: dict[tuple[str, str], float] = {}
    for pipeline, found in backend.statistics.ever().items():
        for state in STATES:
            histogram = found.in_state(state)
            longest = quantile(histogram, _SHARE)
            if longest is not None and histogram.total() >= LEAST_KNOWN:
                usual[pipeline, state] = longest
    if not usual:
        return []
    moment = now()
    since = moment - datetime.timedelta(seconds=min(usual.values()))
    stuck = []
    for job in backend.search.quiet(sorted({state for _, state in usual}), since, _MAX_QUIET):
        longest = usual.get((str(job.get("pipeline_uuid")), str(job.get("state"))))
        quiet = (moment - job["updated"]).total_seconds()
        if longest is not None and quiet > longest:
            stuck.append({**job, "quiet": quiet, "usual": longest})
    return stuck
