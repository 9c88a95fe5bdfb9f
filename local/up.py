"""What the local gateway is prepared with: a database, this actor, credentials, a job to try them with.

The gateway calls `prepare` at every start (`setup` in `abaco.yml`). What is there is found again.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import secrets
import shlex
from typing import TYPE_CHECKING, NamedTuple

from abaco import clientcache, folders
from abaco.exceptions import ServerError
from abaco.platform import Prepared
from datacatalog import mongo
from datacatalog.linkedstores.basestore.store import now
from datacatalog.linkedstores.pipeline import PipelineStore
from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.managers.pipelinejobs import ManagedPipelineJob
from local import day
from local.database import LocalDatabase
from local.database_supervisor import DatabaseSupervisor, explain, look
from local.dispatcher_supervisor import DispatcherSupervisor
from local.exceptions import LocalDatabaseError
from local.tacobot import TACOBOT
from pipelinejobs.backend import ACTOR, ALIAS, AUTHN, NONCE, SECRETS, SERVER, TOKEN, Backend
from pipelinejobs.backend import DATABASE as DATABASE_VARIABLE
from pipelinejobs.exceptions import CommandError
from pipelinejobs.measures import Measures
from pipelinejobs.page.application import address_with, make_page

if TYPE_CHECKING:
    from pathlib import Path

    from abaco.platform import Platform
    from local.database import Server

IMAGE = "pipelinejobs-manager"
USER = "operator"
ROLES = ["Internal/everyone", "Internal/abaco-admin"]
DEFAULT_DATABASE = "catalog"
PATIENCE = "_REACTOR_MONGODB_PATIENCE"
DISPATCHER = "_REACTOR_DELIVERIES_DISPATCHER"
DEMO = "PIPELINEJOBS_DEMO"
"""With 1, a database without jobs is filled with some."""
_PASSED_ON = ("_REACTOR_", "CATALOG_", "TACC_")
_LIFETIME = 365 * 86_400
_MADE_BY = "made by make up"
"""How its nonce and its token are described."""


class _Made(NamedTuple):
    """What there is once the actor is registered."""

    actor_id: str
    token: str
    nonce: str
    job: ManagedPipelineJob | None
    """to try the actor with, where a terminal shows it and nobody has jobs of their own"""


def prepare(platform: Platform) -> Prepared:
    """Start the database if none is configured; register the actor; make credentials and a job.

    Then make the page and the metrics, and start the dispatcher. If the demonstration is wanted, fill
    the database with its jobs before the actor is registered.

    A MongoDB is configured by `_REACTOR_MONGODB_AUTHN` in the environment, where further settings
    of the actor are taken from as well.

    Raises:
        ServerError: the database does not start or answer, the settings of the actor cannot be used,
            or a file cannot be written.
    """
    environment = {name: value for name, value in os.environ.items() if name.startswith(_PASSED_ON)}
    _check_settings(platform.data.parent, environment)
    environment.setdefault(DATABASE_VARIABLE, DEFAULT_DATABASE)
    supervisor = None
    with contextlib.ExitStack() as stack:
        try:
            if not environment.get(AUTHN):
                database = LocalDatabase(platform.data.parent, platform.stopping)
                supervisor, server = _start(database, platform.data / "database.pid")
                stack.callback(supervisor.close)
                environment[AUTHN] = database.admit(server, environment[DATABASE_VARIABLE])
            # the gateway keeps a message that cannot be handled yet
            environment.setdefault(PATIENCE, "0")
            for name in SECRETS:
                environment.setdefault(name, _secret(platform.data / name.lower()))
            environment[DISPATCHER] = "true"
            demo = _demo(environment)
            made = _register(platform, environment)
            lines = [*demo, *_greeting(platform, made, is_local=supervisor is not None)]
            actor = {ACTOR: made.actor_id}
            backend = Backend(platform.data.parent, {**environment, **actor})
            page, collector = make_page(platform, backend), Measures(backend)
            dispatcher = DispatcherSupervisor(
                platform.data.parent,
                {
                    **environment,
                    **actor,
                    SERVER: platform.listening,
                    TOKEN: made.token,
                },
            )
            stack.callback(dispatcher.close)
        except (LocalDatabaseError, ValueError) as error:
            # a ValueError is how the catalog says what is wrong with its settings; it has no secret in it
            raise ServerError(str(error)) from error
        except mongo.DatabaseError as error:
            hosts = mongo.hosts(_mongodb(environment))
            reason = f"{AUTHN} names {hosts}, which cannot be used: {type(error).__name__}"
            raise ServerError(reason) from error
        except OSError as error:
            message = f"{error.filename or platform.data.parent}: {error.strerror}"
            raise ServerError(message) from error
        close = stack.pop_all().close
    mongodb = _mongodb(environment)
    # whoever has the token has it for as long as the gateway runs
    hourly = functools.partial(platform.extend, made.token)
    if supervisor is None:
        return Prepared(lines, close, page, lambda: explain(look(mongodb)), (), collector, hourly)
    check = functools.partial(supervisor.check, mongodb)
    return Prepared(lines, close, page, check, [database.data], collector, hourly)


def _check_settings(folder: Path, environment: dict[str, str]) -> None:
    try:
        Backend(folder, environment).reactor()
    except CommandError as error:
        raise ServerError(str(error)) from error


def _demo(environment: dict[str, str]) -> list[str]:
    """Fill the database with a day of jobs, where that is wanted and it has none; say what was done."""
    if os.environ.get(DEMO) != "1":
        return []
    count = day.fill(PipelineJobStore(_mongodb(environment)), now())
    if not count:
        return [
            "demo     no jobs were made up, since the database has some; to begin again, stop this and move .local away"
        ]
    return [f"demo     {count} jobs of a day that was made up"]


def _start(database: LocalDatabase, note: Path) -> tuple[DatabaseSupervisor, Server]:
    """Start the embedded database; what was started here is stopped at the end.

    One that runs already is somebody else's to stop, unless a gateway left it that was killed.

    Args:
        database: the embedded one.
        note: the file in which a gateway says what it has to stop.
    """
    found = database.status()
    server = found or database.start()
    ours = found is None or (note.exists() and note.read_text() == str(server.pid))
    return DatabaseSupervisor(database, server, note if ours else None), server


def _register(platform: Platform, environment: dict[str, str]) -> _Made:
    """Register the actor; make credentials and a job, and keep in files how to reach it."""
    description = {
        "image": IMAGE,
        "name": IMAGE,
        "description": "The actor to which pipelines report.",
        "token": True,
        "default_environment": environment,
    }
    actor = platform.actor(USER, ALIAS, description)
    token = _token(platform)
    nonce = platform.nonce(actor, USER, ["Internal/everyone"], _MADE_BY)["id"]
    for name, value in ((ACTOR, actor["id"]), (NONCE, nonce)):
        folders.write_whole(platform.data / name.lower(), value.encode())
    pipeline = PipelineStore(_mongodb(environment)).add_update_document(TACOBOT)["uuid"]
    job = None
    # logs keep what a fleet says, and are not to have the token of a job
    if not platform.is_fleet and not _is_in_use(environment, pipeline):
        job = _job(environment, actor["id"], pipeline, platform.data / "job")
    return _Made(actor["id"], token, nonce, job)


def _is_in_use(environment: dict[str, str], pipeline: str) -> bool:
    """Tell whether there are jobs of other pipelines, which are not those of the demonstration."""
    jobs = PipelineJobStore(_mongodb(environment)).coll
    others = jobs.find_one({"pipeline_uuid": {"$ne": pipeline}}, {"_id": 1})
    return others is not None and os.environ.get(DEMO) != "1"


def _greeting(platform: Platform, made: _Made, *, is_local: bool) -> list[str]:
    """Return what is said at the start: what there is, and then what to do next."""
    if platform.is_fleet:
        return _told_to_logs(platform, made.actor_id)
    job = made.job
    # who has configured a database has told this terminal only
    elsewhere = "" if is_local else " with the same variables"
    return [
        f"actor    {made.actor_id} (alias {ALIAS})",
        f"token    {made.token}",
        f"nonce    {made.nonce}",
        *([f"job      {job.uuid} with token {job.token}"] if job else []),
        "",
        f"The API is described at {platform.address}/docs.",
        "Clients of Abaco find the token with",
        f"  export AGAVE_CACHE_DIR={shlex.quote(str(_cache(platform).parent))}",
        "",
        f"In another terminal{elsewhere}, list jobs{' and move that one' if job else ''}:",
        "  . .venv/bin/activate",
        "  pipelinejobs jobs ls",
        *(_ways_to_report(str(job.uuid)) if job else []),
        "",
        "In a browser, this address signs you in, once and within ten minutes:",
        f"page     {address_with(platform, platform.code(made.token) or '')}",
        "Ctrl-C stops it.",
    ]


def _ways_to_report(job_uuid: str) -> list[str]:
    return [
        f"  pipelinejobs jobs send run {job_uuid}",
        "Report as a program does that has only a URL, and wait for the answer:",
        f"  URL=$(pipelinejobs token job {job_uuid} --callback)",
        '  curl "$URL&event=finish&_abaco_synchronous=true" \\',
        "    -H 'Content-Type: application/json' -d '{}'",
    ]


def _told_to_logs(platform: Platform, actor_id: str) -> list[str]:
    """Return what is said where logs keep it: where the credentials are, and none of them."""
    return [
        f"actor    {actor_id} (alias {ALIAS})",
        f"token    in {_cache(platform)}",
        f"nonce    in {platform.data / NONCE.lower()}",
        f"The API is described at {platform.address}/docs.",
    ]


def _token(platform: Platform) -> str:
    """Return the user's token, of which the platform keeps the hash and this file the rest."""
    file = _cache(platform)
    kept = str(clientcache.read(file).get("access_token", ""))
    if kept and platform.extend(kept):
        clientcache.point(file, platform.address)
        return kept
    grant = platform.token(USER, ROLES, _LIFETIME, _MADE_BY)
    clientcache.write(file, grant, tenant=platform.tenant, user=USER, server=platform.address)
    return grant.access


def _cache(platform: Platform) -> Path:
    return platform.data / "agave" / "current"


def _job(
    environment: dict[str, str], actor_id: str, pipeline: str, file: Path
) -> ManagedPipelineJob:
    """Return a job to which nothing has happened yet; each one that is used up has a successor.

    Args:
        environment: of the actor.
        actor_id: whose callback the job has.
        pipeline: of which it is.
        file: keeps the job's number, so that those before it are not looked at again.
    """
    mongodb = _mongodb(environment)
    former = file.read_text() if file.exists() else ""
    for order in itertools.count(int(former) if former.isdecimal() else 1):
        job = ManagedPipelineJob(
            mongodb,
            {"job_manager_id": actor_id},
            pipeline_uuid=pipeline,
            data={"order": order},
            archive_path=f"/products/v2/tacos/{order}",
        ).setup()
        document = PipelineJobStore(mongodb).find_one_by_uuid(str(job.uuid))
        if document is not None and document["state"] == "CREATED":
            file.write_text(str(order))
            return job
    raise AssertionError  # the numbers do not end


def _mongodb(environment: dict[str, str]) -> dict[str, str]:
    return {
        "authn": environment[AUTHN],
        "database": environment[DATABASE_VARIABLE],
    }


def _secret(file: Path) -> str:
    """Return a secret that is made once and kept in a file."""
    if not file.exists():
        folders.write_whole(file, secrets.token_hex(24).encode())
    return file.read_text().strip()
