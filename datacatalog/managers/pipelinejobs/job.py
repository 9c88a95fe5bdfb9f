"""A job to be: from what an actor knows to a job in the catalog."""

from __future__ import annotations

import copy
import logging
from typing import TYPE_CHECKING, Any

from datacatalog import paths
from datacatalog.identifiers import abaco, agave, interestinganimal, typeduuid
from datacatalog.linkedstores.basestore.store import warn_of_unused
from datacatalog.linkedstores.pipelinejob import fields
from datacatalog.linkedstores.pipelinejob.reader import serialize
from datacatalog.managers.pipelinejobs import archive, sources
from datacatalog.managers.pipelinejobs.callback import (
    agave_notifications,
    callback_url,
    tapis_notifications,
)
from datacatalog.managers.pipelinejobs.exceptions import (
    ManagedPipelineJobError,
    StorageError,
    managed,
)
from datacatalog.managers.pipelinejobs.inputs import find_inputs
from datacatalog.managers.pipelinejobs.instance import KEPT, JobManager
from datacatalog.managers.pipelinejobs.requests import SOURCES, listed
from datacatalog.settings import running

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pymongo.database import Database
    from typing_extensions import Self

    from datacatalog.linkedstores.pipelinejob.stored import StoredJob
    from datacatalog.settings import CatalogSettings

PRODUCTS = paths.PRODUCTS
_log = logging.getLogger(__name__)
Identifiers = str | list[str] | tuple[str, ...]
Requests = str | dict[str, Any] | list[Any] | tuple[Any, ...] | None


class ManagedPipelineJob(JobManager):
    """A job that `setup` finds or creates.

    Args:
        mongodb: settings or a `pymongo` database, as for all stores.
        pipelines: the section `pipelines` of an actor's settings: `job_manager_id`,
            `job_manager_nonce` and perhaps `pipeline_uuid`.
        instanced: put each set-up into an archive folder of its own.
        agave: a client of the platform, for the job's files.
        experiment_design_id, experiment_id, sample_id, measurement_id: what the job is about, one
            identifier or several of one type; the first that is given counts.
        data: what the job is to do.
        archive_path: where the outputs go, by default a path made of pipeline, parents and data.
        archive_system: the storage system of the archive path.
        archive_patterns, product_patterns: what indexing looks for among the outputs: one request
            or several.
        session: a name for this run, by default `adjective-animal`.
        agent, task: who runs the job, and as what; without an agent, the actor and the execution
            that this process is.
        inputs: names of files and references that the job works on, besides those in `data`.
        pipeline_uuid: wins over the one in `pipelines`.
        setup_archive_path: make the archive path in `setup`, where there is a client. That it
            could not be made is logged only: most platforms make it themselves.
        api_server: of the tenant, by default `TACC_API_SERVER`.
        catalog: the catalog's settings, by default those of the environment.
        others: are not used; a warning names them.

    Raises:
        ManagedPipelineJobError: there is no such pipeline, or the archive path is a URI.
        InvalidRequest: the patterns are something else than requests.
        ValueError: what the job is about cannot be resolved.
    """

    def __init__(
        self,
        mongodb: Mapping[str, Any] | Database[Any],
        pipelines: Mapping[str, Any],
        instanced: bool = False,
        agave: Any = None,
        *,
        experiment_design_id: Identifiers | None = None,
        experiment_id: Identifiers | None = None,
        sample_id: Identifiers | None = None,
        measurement_id: Identifiers | None = None,
        data: dict[str, Any] | None = None,
        archive_path: str | None = None,
        archive_system: str | None = None,
        archive_patterns: Requests = (),
        product_patterns: Requests = (),
        session: str | None = None,
        agent: str | None = None,
        task: str | None = None,
        inputs: Any = (),
        pipeline_uuid: str | None = None,
        setup_archive_path: bool = True,
        api_server: str | None = None,
        catalog: CatalogSettings | None = None,
        **others: Any,
    ) -> None:
        super().__init__(mongodb, agave, catalog=catalog)
        warn_of_unused("a managed job", others)
        self.config = dict(pipelines)
        self.instanced = instanced
        self.pipeline_uuid = self._verified(pipeline_uuid or self.config.get("pipeline_uuid"))
        self.generated_by = [self.pipeline_uuid]
        given = (experiment_design_id, experiment_id, sample_id, measurement_id)
        parents = next((value for value in given if value is not None), None)
        self.child_of = [] if parents is None else self._resolve(parents)
        self.data = copy.deepcopy(dict(data or {}))
        self.inputs = inputs
        self.acted_on, self.acted_using = find_inputs(self.store.db, inputs, self.data)
        self.session = (session or interestinganimal.generate()).rstrip("-")
        actor, execution = running() if agent is None else (agent, None)
        self.agent, self.task = actor, task or execution
        self.archive_system = archive_system or self.store.catalog.storage_system
        self.archive_patterns = listed(archive_patterns or (), "archive_patterns")
        self.product_patterns = listed(product_patterns or (), "product_patterns")
        self.api_server = api_server or self.store.catalog.api_server
        self.setup_archive_path = setup_archive_path
        self._given_path = archive_path
        self.archive_path = self._make_archive_path()
        self.callback: str | None = None
        self.indexer_callback: str | None = None

    def setup(self, data: dict[str, Any] | None = None) -> ManagedPipelineJob:
        """Find or create the job, with `data` merged over what was given first.

        Sets `uuid`, `token`, `job`, `callback`, and `indexer_callback` where there is an indexer.

        Raises:
            JobCreateFailure: the job cannot be stored.
            ManagedPipelineJobError: it is hidden.
        """
        if data:
            self.data.update(copy.deepcopy(dict(data)))
            self.acted_on, self.acted_using = find_inputs(self.store.db, self.inputs, self.data)
            self.archive_path = self._make_archive_path()
        self.canonicalize_agent_and_task()
        self.canonicalize_product_patterns()
        with managed():
            stored, _ = self.store.find_or_create(self._fields())
        if not stored.get("_visible", True):
            message = f"Job {stored['uuid']} exists and is hidden: undelete it first"
            raise ManagedPipelineJobError(message)
        self._attach(stored)
        if self.setup_archive_path and self.client is not None:
            try:
                self._with_archive_path(archive.make)
            except StorageError as error:
                _log.warning("job %s: %s", self.uuid, error)
        return self

    def attach(self) -> Self:
        """Find the job that `setup` would find, and do not create it.

        Raises:
            ManagedPipelineJobError: there is none.
        """
        return self.load(self.store.get_typeduuid(self._fields()))

    def _fields(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in KEPT}

    def _attach(self, stored: StoredJob) -> None:
        session = self.session
        super()._attach(stored)
        self.session = self.session or session
        self.callback = self._callback_of("job_manager")
        self.indexer_callback = self._callback_of("job_indexer")

    def _callback_of(self, actor: str) -> str | None:
        """Return the URL at which an actor of the settings takes events of this job."""
        if not self.config.get(f"{actor}_id"):
            return None
        return callback_url(
            self.api_server,
            self.config[f"{actor}_id"],
            self.config.get(f"{actor}_nonce"),
            token=str(self.token),
            uuid=str(self.uuid),
            session=self.session,
        )

    def canonicalize_agent_and_task(self) -> None:
        """Make URLs of an agent and a task that are bare ids of the platform.

        An agent may be an Abaco actor or an Agave app, a task an execution of that actor or an
        Agave job. Everything else stays as it is.
        """
        self.canonicalize_actor()
        self.canonicalize_job()

    def canonicalize_actor(self, agent: str | None = None) -> str | None:
        """Return the URL of an actor or app; one that is not given is the job's, and becomes it.

        Args:
            agent: a bare id; anything else stays as it is.
        """
        if agent is None:
            self.agent = self.agent and self.canonicalize_actor(self.agent)
            return self.agent
        base = self.api_server.rstrip("/")
        if abaco.validate(agent, permissive=True):
            return f"{base}/actors/v2/{agent}"
        return f"{base}/apps/v2/{agent}" if agave.is_app(agent) else agent

    def canonicalize_job(self, task: str | None = None) -> str | None:
        """Return the URL of a job on the platform or of an execution of the job's agent.

        One that is not given is the job's task, and becomes it.

        Args:
            task: a bare id; anything else stays as it is.
        """
        if task is None:
            self.task = self.task and self.canonicalize_job(self.task)
            return self.task
        if agave.validate(task, permissive=True):
            return f"{self.api_server.rstrip('/')}/jobs/v2/{task}"
        is_execution = self.agent and abaco.validate(task, permissive=True)
        return f"{self.agent}/executions/{task}" if is_execution else task

    def canonicalize_product_patterns(self) -> None:
        """Make UUIDs of the sources in the product patterns that are in the catalog already."""
        self.product_patterns = [
            {name: self._canonical(name, value) for name, value in pattern.items()}
            if isinstance(pattern, dict)
            else pattern
            for pattern in self.product_patterns
        ]

    def _canonical(self, name: str, value: Any) -> Any:
        if name not in SOURCES or not isinstance(value, list | tuple):
            return value
        files = self.stores["file"]
        return [
            (sources.find(files, each) or each) if isinstance(each, str) else each for each in value
        ]

    def serialize_data(self) -> str:
        """Return the job's data as the JSON text that its archive path is made of."""
        return serialize(self.data)

    def agave_notifications(self) -> list[dict[str, Any]]:
        """Return the `notifications` of an Agave or Aloe job request that report to the manager.

        Raises:
            ManagedPipelineJobError: the job is not set up, or the settings name no manager.
        """
        return agave_notifications(self._require_callback())

    def tapis_notifications(self) -> list[dict[str, Any]]:
        """Return the `subscriptions` of a Tapis v3 job request that report to the manager.

        Raises:
            ManagedPipelineJobError: the job is not set up, or the settings name no manager.
        """
        return tapis_notifications(self._require_callback())

    def build_webhook(self) -> str:
        """Return the callback: the URL at which the manager takes events of this job.

        Raises:
            ManagedPipelineJobError: the job is not set up, or the settings name no manager.
        """
        return self._require_callback()

    def _require_callback(self) -> str:
        if self.callback is None:
            message = "There is no callback: set pipelines.job_manager_id and call setup() first"
            raise ManagedPipelineJobError(message)
        return self.callback

    def _verified(self, pipeline_uuid: str | None) -> str:
        if not pipeline_uuid:
            message = "There is no pipeline_uuid: give it, or set pipelines.pipeline_uuid"
            raise ManagedPipelineJobError(message)
        if not self.store.has_pipeline(pipeline_uuid):
            message = f"Failed to verify pipeline_uuid:{pipeline_uuid} exists in store pipeline"
            raise ManagedPipelineJobError(message)
        return str(pipeline_uuid)

    def _resolve(self, parents: Identifiers) -> list[str]:
        identifiers = [parents] if isinstance(parents, str) else list(parents)
        resolved = {name: self.get_uuid_from_identifier(name) for name in identifiers}
        unknown = [name for name, uuid in resolved.items() if uuid is None]
        if unknown or not resolved:
            message = "Unable to resolve any identifers to UUIDs"
            raise ValueError(f"{message}: {', '.join(map(str, unknown))}" if unknown else message)
        uuids = sorted({uuid for uuid in resolved.values() if uuid is not None})
        if len({typeduuid.get_uuidtype(uuid) for uuid in uuids}) > 1:
            message = "Cannot resolve a list of identifiers with mixed types"
            raise ValueError(message)
        return uuids

    def _make_archive_path(self) -> str:
        if self._given_path:
            with managed():
                return fields.archive_path(self._given_path)
        parents, content = ":".join(self.child_of), self.serialize_data()
        hashids = [
            typeduuid.uuid_to_hashid(
                typeduuid.catalog_uuid(text, "generic", self.store.catalog.namespace)
            )
            for text in (parents, content)
        ]
        path = "/".join([PRODUCTS, self.pipeline_uuid.replace("-", ""), *hashids])
        return f"{path}/{interestinganimal.instanced(self.session)}" if self.instanced else path


class ReactorManagedPipelineJob(ManagedPipelineJob):
    """A job of a running actor, which tells it most of what it needs.

    Args:
        reactor: has `settings.mongodb`, `settings.pipelines`, `session`, `uid`, `execid`,
            `api_server`; and `client`, for the job's files, where the platform gave a token.
        data: what the job is to do.
        others: as for `ManagedPipelineJob`.
    """

    def __init__(self, reactor: Any, data: dict[str, Any] | None = None, **others: Any) -> None:
        agent = f"{reactor.api_server.rstrip('/')}/actors/v2/{reactor.uid}"
        known: dict[str, Any] = {
            "agave": _client_of(reactor),
            "session": reactor.session,
            "agent": agent,
            "task": f"{agent}/executions/{reactor.execid}",
            "api_server": reactor.api_server,
        }
        super().__init__(
            reactor.settings.mongodb,
            reactor.settings.pipelines,
            data=data,
            **{**known, **others},
        )


def _client_of(reactor: Any) -> Any:
    """Return the actor's client of the platform; None where it has none."""
    try:
        return reactor.client
    except ValueError:  # no access token, say
        return None
