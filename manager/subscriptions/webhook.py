"""A webhook: a URL that is told by HTTP, in the form that it wants."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from manager.subscriptions import formats, signing
from manager.subscriptions.posting import ANSWER_SECONDS, Answer, Poster
from manager.subscriptions.subscriber import state_of

if TYPE_CHECKING:
    import datetime

    from datacatalog.linkedstores.pipelinejob import PipelineJobStore
    from manager.subscriptions.definition import Definition
    from manager.subscriptions.subscriber import News


class Webhook:
    """Tells one URL.

    Args:
        definition: what it is told, where, and in which form.
        jobs: where more is read that a form needs.
        since: what came earlier is not told.
    """

    def __init__(
        self, definition: Definition, jobs: PipelineJobStore, since: datetime.datetime
    ) -> None:
        self.name = definition.name
        self.since = since
        self.definition = definition
        self._jobs = jobs
        self._poster = Poster(definition.url, allow_private=definition.allow_private)
        self._pipelines: dict[str, bool] = {}
        """by their UUIDs, whether it is told of their jobs; one may be registered at any time"""

    def wants(self, news: News) -> bool:
        """Tell whether this is told."""
        wanted = self.definition
        if wanted.events and news.entry["name"] not in wanted.events:
            return False
        if wanted.states and state_of(news) not in wanted.states:
            return False
        if wanted.pipelines and not self._is_among_pipelines(str(news.job.get("pipeline_uuid"))):
            return False
        return formats.says_anything(wanted.format, news)

    def tell(self, news: News, seconds: float) -> None:
        """Send it.

        Raises:
            DeliveryFailed: it was not told.
        """
        self._send(formats.make(self.definition.format, news, self._jobs), seconds)

    def test(self) -> Answer:
        """Send something that says that it is a test; return the answer.

        Raises:
            DeliveryFailed: it was not answered by a 2xx.
        """
        return self._send(formats.make_test(self.definition.format), ANSWER_SECONDS)

    def close(self) -> None:
        """Close the connection."""
        self._poster.close()

    def _send(self, made: formats.Made, seconds: float) -> Answer:
        signed = signing.headers(self.definition.secrets, made.id, int(time.time()), made.body)
        return self._poster.post(made.body, {**made.headers, **signed}, seconds=seconds)

    def _is_among_pipelines(self, uuid: str) -> bool:
        if uuid not in self._pipelines:
            self._pipelines[uuid] = uuid in self._jobs.pipeline_uuids(self.definition.pipelines)
        return self._pipelines[uuid]
