"""What the command line and the page work on: the database of jobs, and the gateway.

The settings are the actor's: `config.yml` and `_REACTOR_*`, `CATALOG_*` and `TACC_*` variables. Where
they name no database, it is the one of `make up` in the local folder, with its secrets. The gateway
is the one that a client of the platform finds: by `_abaco_api_server` and `_abaco_access_token`, or
in the file that `AGAVE_CACHE_DIR` leads to, in the one of `make up`, or in `~/.agave/current`.
"""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from abaco import clientcache
from datacatalog import mongo
from datacatalog.identifiers import typeduuid
from datacatalog.linkedstores.basestore import beginnings
from datacatalog.linkedstores.basestore.store import VISIBLE
from datacatalog.linkedstores.pipeline import PipelineStore
from datacatalog.linkedstores.pipelinejob import PipelineJobStore, naming
from datacatalog.linkedstores.pipelinejob.search import JobSearch
from datacatalog.linkedstores.statistics.reader import Statistics
from datacatalog.linkedstores.views import Views
from datacatalog.managers.pipelinejobs.callback import callback_url
from datacatalog.settings import CatalogSettings
from datacatalog.tokens import get_admin_token
from local.database import DEFAULT_FOLDER, LocalDatabase
from manager import settings
from manager.exceptions import InvalidSettings
from pipelinejobs import parsing
from pipelinejobs.exceptions import CommandError, Unreachable, UsageError
from reactors.exceptions import SettingsError
from reactors.runtime import Reactor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from datacatalog.linkedstores.pipelinejob.stored import StoredJob
    from pipelinejobs.gateway_client import GatewayClient

AUTHN, DATABASE = "_REACTOR_MONGODB_AUTHN", "_REACTOR_MONGODB_DATABASE"
SERVER, TOKEN = "_abaco_api_server", "_abaco_access_token"
SECRETS = ("CATALOG_ADMIN_TOKEN_KEY", "CATALOG_ADMIN_TOKEN_SECRET")
ACTOR, NONCE = "_REACTOR_PIPELINES_JOB_MANAGER_ID", "_REACTOR_PIPELINES_JOB_MANAGER_NONCE"
"""What `make up` keeps in files of these names, in lower case, as it does with `SECRETS`."""
_FOLDERS = (Path(__file__).resolve().parent.parent, Path("/"))
"""Where `config.yml` is looked for before the working directory: beside the code, as shipped."""
_MAX_CANDIDATES = 5
HIDDEN_REMEDY = "`pipelinejobs jobs undelete {}` brings it back"
"""What to do about a hidden job, by its UUID."""
UNKNOWN_REMEDY = "`pipelinejobs jobs ls` lists those that exist, and it may have been removed"
ALIAS = "jobs-manager"
"""By which `make up` registers the actor."""


class Backend:
    """What the commands work on.

    Args:
        folder: of `make up`.
        environ: by default that of the process.
    """

    def __init__(
        self, folder: Path = DEFAULT_FOLDER, environ: Mapping[str, str] | None = None
    ) -> None:
        self.folder = folder
        self._given = dict(os.environ if environ is None else environ)

    @cached_property
    def _settings(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = Reactor(self._given, folders=[*_FOLDERS, Path.cwd()]).settings
        return found

    @cached_property
    def is_local(self) -> bool:
        """Whether the settings name no database, so that it is the one of `make up`."""
        try:
            given = self._settings
        except SettingsError as error:
            raise UsageError(str(error)) from error
        section = given.get("mongodb")
        return not (isinstance(section, dict) and section.get("authn"))

    @cached_property
    def environ(self) -> dict[str, str]:
        """The environment, completed by what is known of a database and a gateway."""
        # the first of these that has a variable is believed
        sources = (
            self._of_local_database(),
            self._given,
            self._of_local_files(),
            self._of_client_cache(),
            {"_abaco_actor_id": self.actor},
        )
        return {name: value for source in reversed(sources) for name, value in source.items()}

    def _of_local_database(self) -> dict[str, str]:
        server = LocalDatabase(self.folder).status() if self.is_local else None
        return {} if server is None else {AUTHN: server.uri}

    def _of_local_files(self) -> dict[str, str]:
        """Return what `make up` keeps: of its database, if that is used, and of its gateway likewise."""
        found = self._kept(*SECRETS) if self.is_local else {}
        cache = self.client_cache
        leads_here = cache is not None and cache.resolve() == self._local_cache.resolve()
        if leads_here and SERVER not in self._given:
            pair = self._kept(ACTOR, NONCE)
            named = settings.section_of(self._settings, "pipelines").get("job_manager_id")
            # the nonce is for that id, and for no other name of the actor
            if not named or named == pair.get(ACTOR):
                found |= pair
        return found

    def _kept(self, *names: str) -> dict[str, str]:
        """Return what `make up` keeps in files of these names."""
        files = {name: self.folder / "abaco" / name.lower() for name in names}
        return {name: file.read_text().strip() for name, file in files.items() if file.is_file()}

    def _of_client_cache(self) -> dict[str, str]:
        cache = self.client_cache
        if SERVER in self._given or cache is None:
            # a token is shown to its own gateway only
            return {}
        content = clientcache.read(cache)
        return {
            SERVER: str(content.get("baseurl") or ""),
            TOKEN: str(content.get("access_token") or ""),
        }

    @property
    def client_cache(self) -> Path | None:
        """The file that names the gateway and holds a token for it."""
        named = self._given.get("AGAVE_CACHE_DIR")
        home = Path("~/.agave/current").expanduser()
        files = [Path(named) / "current"] if named else [self._local_cache, home]
        return next((file for file in files if file.is_file()), None)

    @property
    def _local_cache(self) -> Path:
        return self.folder / "abaco" / "agave" / "current"

    @cached_property
    def actor(self) -> str:
        """The id or alias of the manager."""
        given = settings.section_of(self._settings, "pipelines")
        return given.get("job_manager_id") or ALIAS

    @cached_property
    def trusted_users(self) -> tuple[str, ...]:
        """Who may change every job without its token."""
        return tuple(
            settings.section_of(self._settings, "authorization").get("trusted_users") or ()
        )

    def reactor(self, **variables: str) -> Reactor:
        """Return a Reactor with the settings, as the actor itself has.

        Args:
            variables: of this message.

        Raises:
            UsageError: the settings cannot be used.
        """
        try:
            rx = Reactor({**self.environ, **variables}, folders=[*_FOLDERS, Path.cwd()])
            settings.check(rx.settings)
        except (SettingsError, InvalidSettings) as error:
            raise UsageError(str(error)) from error
        return rx

    @cached_property
    def mongodb(self) -> dict[str, Any]:
        """The settings of the database.

        Raises:
            UsageError: the settings of it mean nothing.
            Unreachable: there is none, or the local one does not answer.
        """
        section = dict(settings.section_of(self.reactor().settings, "mongodb"))
        if not section.get("authn"):
            if LocalDatabase(self.folder).has_process():
                message = (
                    f"the local database in {self.folder} does not answer: try again later. "
                    "`make up` starts it again after a minute"
                )
                raise Unreachable(message)
            message = (
                f"no database: start the local one with `make up`, which is looked for in "
                f"{self.folder.absolute()} (for another folder, --local or PIPELINEJOBS_LOCAL), "
                f"or give a MongoDB URI in {AUTHN}"
            )
            raise Unreachable(message)
        try:
            mongo.decode_authn(section["authn"])
        except ValueError as error:
            raise UsageError(str(error)) from error
        return section

    @cached_property
    def catalog(self) -> CatalogSettings:
        """The settings of the catalog.

        Raises:
            UsageError: one of them is wrong.
        """
        try:
            return CatalogSettings.from_environ(self.environ)
        except ValueError as error:
            raise UsageError(str(error)) from error

    @cached_property
    def jobs(self) -> PipelineJobStore:
        """The jobs."""
        try:
            return PipelineJobStore(self.mongodb, catalog=self.catalog)
        except ValueError as error:
            raise UsageError(str(error)) from error

    @cached_property
    def search(self) -> JobSearch:
        """What is looked for among the jobs."""
        return JobSearch(self.jobs)

    @cached_property
    def statistics(self) -> Statistics:
        """What was counted of them."""
        return Statistics(self.jobs.db)

    @cached_property
    def views(self) -> Views:
        """The views of the list that are saved."""
        return Views(self.jobs.db)

    @cached_property
    def pipelines(self) -> PipelineStore:
        """The pipelines."""
        # a person changes one on purpose only, whatever actors may do
        catalog = self.catalog._replace(enforce_tokens=True)
        return PipelineStore(self.mongodb, catalog=catalog)

    @cached_property
    def gateway(self) -> GatewayClient:
        """The client of the gateway.

        Raises:
            Unreachable: no gateway is known.
        """
        from pipelinejobs.gateway_client import GatewayClient, http_client  # noqa: PLC0415 - most commands do without

        server = self.environ.get(SERVER)
        if not server:
            message = (
                f"no gateway: start the local one with `make up`, let AGAVE_CACHE_DIR lead to a "
                f"client's cache, or set {SERVER}; --direct goes straight to the database"
            )
            raise Unreachable(message)
        verify = self.client_cache is None or clientcache.read(self.client_cache).get("verify")
        client = http_client(server, verify=verify is not False)
        return GatewayClient(server, self.environ.get(TOKEN, ""), self.actor, client)

    def close(self) -> None:
        """Close the connections to the gateway."""
        if "gateway" in vars(self):
            self.gateway.close()

    def admin_token(self) -> str:
        """Return the administrative token of this moment.

        Raises:
            UsageError: its key and secret are not set.
        """
        if not (self.catalog.admin_key and self.catalog.admin_secret):
            missing = " and ".join(name for name in SECRETS if not self.environ.get(name))
            message = f"there are no administrative tokens: set {missing}, to what the actor has"
            if not self.is_local and len(self._kept(*SECRETS)) == len(SECRETS):
                message += f"; those of `make up` are not used where {AUTHN} names a database"
            raise UsageError(message)
        return get_admin_token(
            self.catalog.admin_key, self.catalog.admin_secret, self.catalog.admin_lifetime
        )

    def callback(self, uuid: str, token: str, session: str | None) -> str:
        """Return the URL to give to a platform that reports on a job.

        It has a nonce in it where one is known: of the settings, or of `make up`.
        """
        rx = self.reactor()
        pipelines = settings.section_of(rx.settings, "pipelines")
        actor, nonce = pipelines.get("job_manager_id"), pipelines.get("job_manager_nonce")
        return callback_url(
            rx.api_server, actor or self.actor, nonce, token=token, uuid=uuid, session=session
        )

    def pipeline_uuid(self, name: str) -> str:
        """Return the UUID of a pipeline that is named by it, by its beginning or by its id.

        Raises:
            CommandError: there is none, or there are several.
        """
        by_uuid = self.pipelines.find_one_by_uuid(name)
        known = by_uuid or self.pipelines.find_one_by_id(id=name)
        if known is not None:
            return str(known["uuid"])
        found = self.pipelines.beginning_with(name, _MAX_CANDIDATES)
        if not found:
            message = (
                f"no pipeline has the uuid or id {name!r:.60}: see `pipelinejobs pipelines ls`"
            )
            raise CommandError(message)
        return _only(name, found)

    def rejected_id(self, name: str) -> str:
        """Return the id of a refused event that is named by it or by its beginning.

        Raises:
            CommandError: there are several.
        """
        found = self.jobs.rejected_beginning_with(name, _MAX_CANDIDATES)
        # where there is none, it is looked for by the whole id, and so refused
        return _only(name, found) if found else name

    def job_uuid(self, name: str) -> str:
        """Return the UUID of the job that is meant by it, its beginning, a title or a session.

        Raises:
            CommandError: there is none, or there are several.
        """
        uuid = typeduuid.canonical(name)
        if typeduuid.validate(uuid, permissive=True):
            return parsing.job_uuid(uuid)
        found = naming.named(self.jobs, name, _MAX_CANDIDATES + 1)
        if not found:
            message = (
                f"no job is called {name!r:.60}: give a uuid, at least {beginnings.MIN_BEGINNING} "
                "characters of its beginning, or the whole title or session of one of the newest "
                f"{naming.MAX_SEARCHED:,} jobs, as `pipelinejobs jobs ls` shows them"
            )
            raise CommandError(message)
        if len(found) > 1:
            shown = ", ".join(_candidate(job) for job in found[:_MAX_CANDIDATES])
            more = ", and more" if len(found) > _MAX_CANDIDATES else ""
            message = f"{name!r:.60} names several jobs: {shown}{more}: give more of the uuid"
            raise CommandError(message)
        return str(found[0]["uuid"])

    def visible_head(self, uuid: str) -> StoredJob:
        """Return the head of a job to which events can be sent.

        Raises:
            UnknownJob: there is no such job.
            CommandError: it is hidden.
        """
        head = self.jobs.load_head(uuid, deletable=True)
        if head.get(VISIBLE) is False:
            message = f"job {uuid} is hidden and takes no events: {HIDDEN_REMEDY.format(uuid)}"
            raise CommandError(message)
        return head


def _only(name: str, found: list[str]) -> str:
    """Return the one that is found.

    Raises:
        CommandError: there are several.
    """
    if len(found) > 1:
        message = f"{name!r:.60} begins several: {', '.join(found)}: give more of it"
        raise CommandError(message)
    return found[0]


def _candidate(job: Mapping[str, Any]) -> str:
    title = naming.title_of(job)
    return f"{job['uuid']} ({job['state']}{f', {title:.40}' if title else ''})"
