"""`python -m abaco serve` with this repository's configuration: what `make up` runs."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pymongo
import pytest
import yaml

from abaco.store import tokens
from abaco.store.database import Database
from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.mongo import Document
from local.database import LocalDatabase, Server
from tests.abaco.running import EVERYONE, SECONDS, Client, basis, eventually, is_in_status, shell
from tests.conftest import ROOT

LAST_LINE = "Ctrl-C stops it."


class Up:
    """The gateway as `make up` starts it, in a folder of its own and a process group of its own."""

    def __init__(self, folder: Path, **environ: str) -> None:
        settings = yaml.safe_load((ROOT / "abaco.yml").read_text())
        images = yaml.safe_load((ROOT / "images.yml").read_text())
        for image in images.values():
            image["folder"] = str(ROOT / image["folder"])
        (folder / "abaco.yml").write_text(yaml.safe_dump(settings))
        (folder / "images.yml").write_text(yaml.safe_dump(images))
        self.folder = folder
        self.data: Path = folder / settings["data"]
        self.log = folder / "log"
        self.lines: list[str] = []
        self._environ = {**basis(), **environ}
        self._output = folder / "output"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Up:
        """Start it; return when it has printed everything."""
        with self._output.open("w") as output, self.log.open("a") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "abaco", "serve", "--port", "0"],
                cwd=self.folder,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=log,
                start_new_session=True,
            )

        def printed() -> bool:
            self.lines = self._output.read_text().splitlines()
            assert self._process is not None
            assert self._process.poll() is None, self.log.read_text()
            return LAST_LINE in self.lines

        eventually(printed)
        return self

    def wait(self) -> int:
        """Return the exit code."""
        assert self._process is not None
        return self._process.wait(SECONDS)

    def interrupt(self) -> int:
        """Press Ctrl-C; return the exit code."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGINT)
        return self.wait()

    def kill(self) -> None:
        """End it without a chance to tidy up."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self.wait()

    def processes(self) -> list[psutil.Process]:
        """Return what it has started."""
        assert self._process is not None
        return psutil.Process(self._process.pid).children(recursive=True)

    def word(self, name: str, position: int = 0) -> str:
        """Return a word of the printed line that begins with a name."""
        (line,) = [line for line in self.lines if line.startswith(f"{name} ")]
        return line.split()[1 + position]

    @property
    def url(self) -> str:
        """The base URL."""
        return self.lines[0].split()[-1]

    @property
    def job(self) -> tuple[str, str]:
        """The uuid and the token of the job that is offered."""
        return self.word("job"), self.word("job", 3)

    def client(self) -> Client:
        """Return a client with the printed token."""
        return Client(self.url, self.word("token"))

    def do_what_is_printed(self) -> dict[str, Any]:
        """Do what is printed for another terminal; return the last answer."""
        begin = self.lines.index("  . .venv/bin/activate")
        lines = [line for line in self.lines[begin + 1 :] if line.startswith("  ")]
        assert [line.split()[0] for line in lines[:2]] == ["pipelinejobs", "pipelinejobs"]
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        script = "\n".join([f"cd {self.folder}", *lines])
        shown = shell(script, **{**self._environ, "PATH": path})
        assert self.job[0] in shown.partition("\n{")[0]
        answer: dict[str, Any] = json.loads(shown.splitlines()[-1])
        return answer

    def grant(self, user: str) -> str:
        """Return an access token of an ordinary user."""
        database = Database(f"sqlite:///{self.data / 'abaco.db'}")
        with database.write() as tx:
            access = tokens.create(tx, "SD2E", user, [EVERYONE], lifetime=3600).access
        database.close()
        return access

    def environment(self) -> dict[str, str]:
        """Return what the actor is configured with."""
        with self.client() as client:
            found: dict[str, str] = client.result("GET", "/jobs-manager")["defaultEnvironment"]
        return found

    def stored(self, uuid: str) -> dict[str, Any]:
        """Return the document of a job as it is in the database."""
        environment = self.environment()
        with pymongo.MongoClient[dict[str, Any]](environment["_REACTOR_MONGODB_AUTHN"]) as client:
            database = client[environment["_REACTOR_MONGODB_DATABASE"]]
            document = database["jobs"].find_one({"uuid": uuid})
        assert document is not None
        return document

    def history(self, uuid: str) -> list[str]:
        """Return the names of a job's events."""
        return [entry["name"] for entry in self.stored(uuid)["history"]]


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """The gateway, started from nothing."""
    running = Up(tmp_path_factory.mktemp("up")).start()
    yield running
    assert running.interrupt() == 0, running.log.read_text()


# From nothing


def test_the_actor_is_registered_and_ready_by_id_and_alias(up: Up) -> None:
    with up.client() as client:
        actor = client.result("GET", f"/{up.word('actor')}")
        assert actor["name"] == "pipelinejobs-manager"
        eventually(is_in_status(client, "jobs-manager", "READY"))
        assert client.result("GET", "/jobs-manager")["id"] == actor["id"]
    assert f"actor    {actor['id']} (alias jobs-manager)" in up.lines


def test_a_user_who_wants_to_be_the_operator_is_refused_on_every_way_in(up: Up) -> None:
    actor, (uuid, _) = up.word("actor"), up.job
    evil = up.folder / "evil.log"
    wanted = {
        "_REACTOR_AUTHORIZATION_TRUSTED_USERS": "mallory",
        "_REACTOR_LOGS_FILE": str(evil),
        "_REACTOR_MONGODB_AUTHN": "mongodb://127.0.0.1:9",
        "CATALOG_LOCAL_STORAGE": "x=/",
    }
    only = "Not authorized -- only administrators may register actors of the image "
    only += "pipelinejobs-manager."
    image = {"image": "pipelinejobs-manager"}
    before = up.environment()
    with up.client() as operator, Client(up.url, up.grant("mallory")) as mallory:
        assert mallory.refusal("POST", "", json={**image, "defaultEnvironment": wanted}) == only
        grant = {"user": "mallory", "level": "UPDATE"}
        operator.result("POST", f"/{actor}/permissions", json=grant)
        for change in (image, {**image, "defaultEnvironment": wanted}, {"image": "nowhere"}):
            assert mallory.refusal("PUT", f"/{actor}", json=change) == only
        nonce = operator.result("POST", f"/{actor}/nonces", json={"level": "UPDATE"})["id"]
        with Client(up.url) as stranger:
            credential = {"x-nonce": nonce}
            assert stranger.refusal("PUT", f"/{actor}", json=image, params=credential) == only
        for name, value in wanted.items():
            config = {"name": name, "value": value, "actors": actor}
            assert mallory.refusal("POST", "/configs", json=config) == only
            shown = operator.refusal("POST", "/configs", json=config)
            assert f"protects the variable {name}" in shown
        reset = {"uuid": uuid, "name": "reset"}
        assert mallory.ask(actor, reset, **wanted).json()["kind"] == "not_authorized"
        operator.result("DELETE", f"/{actor}/nonces/{nonce}")
        operator.result("POST", f"/{actor}/permissions", json={**grant, "level": "NONE"})
    assert not evil.exists()
    assert (up.environment(), up.history(uuid)) == (before, ["create"])


def test_the_printed_commands_move_the_job_to_running_and_to_finished(up: Up) -> None:
    uuid, _ = up.job
    assert up.stored(uuid)["state"] == "CREATED"
    answer = up.do_what_is_printed()
    wanted = {"uuid": uuid, "state": "FINISHED", "last_event": "finish"}
    assert {name: answer[name] for name in wanted} == wanted
    assert up.history(uuid) == ["create", "run", "finish"]


def test_clients_find_the_token_in_the_folder_that_is_printed(up: Up) -> None:
    (export,) = [line for line in up.lines if "AGAVE_CACHE_DIR" in line]
    script = f'{export}\ncat "$AGAVE_CACHE_DIR/current"'
    content = json.loads(shell(script))
    assert (content["access_token"], content["baseurl"]) == (up.word("token"), up.url)


def create(up: Up, data: dict[str, Any]) -> tuple[str, str]:
    """Create a job by a message; return its uuid and token."""
    uuid, _ = up.job
    message = {
        "pipeline_uuid": up.stored(uuid)["pipeline_uuid"],
        "archive_path": "/products/v2/tacos",
        "data": data,
    }
    with up.client() as client:
        answer = client.ask("jobs-manager", message).json()
    return answer["uuid"], answer["token"]


def move(up: Up, uuid: str, token: str, event: str = "run") -> str:
    """Move a job by a message; return the state that it has then."""
    with up.client() as client:
        client.ask("jobs-manager", {"uuid": uuid, "name": event, "token": token})
    return str(up.stored(uuid)["state"])


# What is kept, and for whom


def test_what_is_kept_is_for_its_owner_only(up: Up) -> None:
    names = {"abaco.db", "abaco.db-wal", "abaco.db-shm", "catalog_admin_token_secret", "ca-key.pem"}
    found = {path.name: path for path in up.data.rglob("*")}
    assert names | {"current"} <= set(found)
    for path in (up.data, up.data.parent / "database", *found.values()):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path


def test_nothing_that_is_secret_is_in_the_log(up: Up) -> None:
    uuid, token = create(up, {"secrets": True})
    parameters = {"x-nonce": up.word("nonce"), "token": token, "uuid": uuid, "event": "run"}
    actor = up.word("actor")
    with Client(up.url) as stranger:
        query = {**parameters, "_REACTOR_MONGODB_AUTHN": "hidden", "_abaco_synchronous": "true"}
        assert stranger.post(f"/{actor}/messages", json={}, params=query).json()["uuid"] == uuid
        wrong = {"Authorization": f"Bearer {token}"}
        assert stranger.get("", headers=wrong).status_code == 401
        stranger.post(f"/{actor}/messages", content=b"{", params=parameters)
    log = up.log.read_text()
    assert "_REACTOR_MONGODB_AUTHN" in log
    kept = json.loads(cache(up).read_text())
    secrets = {name: kept[name] for name in ("access_token", "refresh_token", "apisecret")}
    secrets |= {name: value for name, value in up.environment().items() if "ADMIN_TOKEN" in name}
    secrets |= {"nonce": up.word("nonce"), "job": token, "parameter": "hidden"}
    assert len(secrets) == 8
    assert [name for name, secret in secrets.items() if secret in log] == []


# A restart, and one after a crash


@dataclass
class Restarts:
    """What was seen of a gateway that was stopped, started, killed and started again."""

    up: Up
    used_job: str
    other_job: str
    printed: list[list[str]]
    found: list[dict[str, Any]]
    processes: list[psutil.Process]
    databases: list[Server | None]


@pytest.fixture(scope="module")
def restarts(up: Up) -> Restarts:
    database = LocalDatabase(up.folder / ".local")
    other_job, token = create(up, {"other": True})
    assert move(up, other_job, token) == "RUNNING"
    used_job, _ = up.job
    if up.stored(used_job)["state"] == "CREATED":
        up.do_what_is_printed()
    seen = Restarts(up, used_job, other_job, [up.lines], [look(up)], up.processes(), [])
    assert up.interrupt() == 0, up.log.read_text()
    seen.databases.append(database.status())
    up.start()
    see(seen)
    up.kill()
    seen.databases.append(database.status())
    up.start()
    see(seen)
    return seen


def see(seen: Restarts) -> None:
    """Note what there is after a start."""
    seen.printed.append(seen.up.lines)
    seen.found.append(look(seen.up))
    seen.databases.append(LocalDatabase(seen.up.folder / ".local").status())


def look(up: Up) -> dict[str, Any]:
    """Return what a user finds."""
    with up.client() as client:
        eventually(is_in_status(client, "jobs-manager", "READY"))
        return {
            "actor": client.result("GET", "/jobs-manager")["id"],
            "nonces": [each["id"] for each in client.result("GET", "/jobs-manager/nonces")],
            "executions": client.result("GET", "/jobs-manager/executions")["executions"],
            "server is right": json.loads(cache(up).read_text())["baseurl"] == up.url,
        }


def cache(up: Up) -> Path:
    """Return the file in which clients find the token."""
    return up.data / "agave" / "current"


def line(printed: list[str], name: str) -> str:
    """Return the printed line that begins with a name."""
    (found,) = [each for each in printed if each.startswith(f"{name} ")]
    return found


def test_actor_token_and_nonce_are_the_same_after_a_restart(restarts: Restarts) -> None:
    for name in ("actor", "token", "nonce"):
        assert len({line(printed, name) for printed in restarts.printed}) == 1
    assert restarts.found[0] == restarts.found[1] == restarts.found[2]
    assert len(restarts.found[0]["nonces"]) == 1
    assert restarts.found[0]["server is right"]
    assert len(restarts.found[0]["executions"]) >= 2


def test_the_history_of_jobs_is_kept(restarts: Restarts) -> None:
    assert restarts.up.history(restarts.other_job) == ["create", "run"]
    assert restarts.up.history(restarts.used_job) == ["create", "run", "finish"]


def test_another_job_is_offered_when_one_is_used_up_and_until_it_is(restarts: Restarts) -> None:
    first, second, third = [line(printed, "job") for printed in restarts.printed]
    assert first != second
    assert second == third
    up = restarts.up
    assert up.stored(up.job[0])["state"] == "CREATED"
    assert [move(up, *up.job, event) for event in ("run", "finish")] == ["RUNNING", "FINISHED"]


def test_ctrl_c_ends_everything_that_was_started(restarts: Restarts) -> None:
    # the database, and the warm process of the actor
    assert len(restarts.processes) >= 2
    assert [process for process in restarts.processes if is_alive(process)] == []
    assert restarts.databases[0] is None


def is_alive(process: psutil.Process) -> bool:
    """Tell whether a process runs, and is not one whose end nobody has asked for."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.long
def test_a_database_that_a_killed_gateway_left_is_used_and_stopped_in_the_end(
    restarts: Restarts,
) -> None:
    _, started, left, used = restarts.databases
    assert started is not None
    assert started == left == used
    stop = [sys.executable, "-m", "local.database", "stop"]
    folder = ["--folder", str(restarts.up.data.parent)]
    taken = subprocess.run([*stop, *folder], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (taken.returncode, "`make up` is running" in taken.stderr) == (1, True)
    assert restarts.up.interrupt() == 0
    assert LocalDatabase(restarts.up.folder / ".local").status() is None
    assert "Traceback" not in restarts.up.log.read_text()
    restarts.up.start()


@pytest.mark.long
def test_an_export_is_restored_into_the_database_of_make_up(tmp_path: Path) -> None:
    up = Up(tmp_path).start()
    job, token = create(up, {"dear": True})
    assert move(up, job, token) == "RUNNING"
    python, local = sys.executable, f"--folder {tmp_path}/.local"
    export = f"{tmp_path}/catalog.ndjson"
    console = f"PYTHONPATH={ROOT} {python} -m pipelinejobs --local {tmp_path}/.local"
    shell(f"{console} export {export}")
    assert up.interrupt() == 0
    shutil.rmtree(tmp_path / ".local" / "database")
    database = f"cd {ROOT} && {python} -m local.database"
    shell(f"{database} start {local}")
    assert "in conflict: 0" in shell(f"{console} import {export}")
    assert "jobs with problems: 0" in shell(f"{console} verify")
    shell(f"{database} stop {local}")
    up.start()
    try:
        assert up.history(job) == ["create", "run"]
        with up.client() as client:
            eventually(is_in_status(client, "jobs-manager", "READY"))
        assert move(up, job, token, "finish") == "FINISHED"
    finally:
        up.interrupt()


# Another database


@pytest.mark.long
def test_a_database_that_was_running_before_is_left_running(tmp_path: Path) -> None:
    database = LocalDatabase(tmp_path / ".local")
    server = database.start()
    try:
        assert Up(tmp_path).start().interrupt() == 0
        assert database.status() == server
    finally:
        database.stop()


@pytest.fixture
def configured(mongodb: dict[str, Any]) -> dict[str, str]:
    """The variables that name a database."""
    return {
        "_REACTOR_MONGODB_AUTHN": mongodb["authn"],
        "_REACTOR_MONGODB_DATABASE": mongodb["database"],
    }


def test_no_database_is_started_where_one_is_configured(
    tmp_path: Path, server: Server, configured: dict[str, str]
) -> None:
    running = Up(tmp_path, **configured).start()
    try:
        assert [path.name for path in (tmp_path / ".local").iterdir()] == ["abaco"]
        assert running.do_what_is_printed()["state"] == "FINISHED"
        assert running.environment().items() >= configured.items()
    finally:
        assert running.interrupt() == 0
    assert psutil.pid_exists(server.pid)


def test_where_there_are_jobs_of_others_none_is_made_to_try_it(
    tmp_path: Path, configured: dict[str, str], job: Document, jobs: PipelineJobStore
) -> None:
    running = Up(tmp_path, **configured).start()
    try:
        assert "In another terminal with the same variables, list jobs:" in running.lines
        assert not [line for line in running.lines if line.startswith("job ")]
        assert [each["uuid"] for each in jobs.coll.find()] == [job["uuid"]]
    finally:
        assert running.interrupt() == 0


@pytest.mark.parametrize(
    ("authn", "says"),
    [
        pytest.param(
            "nonsense",
            "mongodb.authn is neither a MongoDB URI nor the base64 of one",
            marks=pytest.mark.long,
        ),
        (
            "mongodb://ada:secret@127.0.0.1:1/?serverSelectionTimeoutMS=100",
            "_REACTOR_MONGODB_AUTHN names 127.0.0.1:1, which cannot be used: ServerSelectionTimeoutError",
        ),
    ],
)
def test_a_database_that_cannot_be_used_is_said_in_one_line(
    tmp_path: Path, authn: str, says: str
) -> None:
    running = Up(tmp_path, _REACTOR_MONGODB_AUTHN=authn)
    with pytest.raises(AssertionError, match=re.escape(says)):
        running.start()
    assert running.wait() == 1
    assert running.log.read_text() == f"ERROR {says}\n"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(
            "debug: true\ndebug: false\n",
            "{}, line 2: the key 'debug' stands twice in one mapping",
            marks=pytest.mark.long,
        ),
        ("mongodb: {tmeout: 3}\n", "settings: mongodb.tmeout means nothing: did you mean timeout?"),
    ],
)
def test_settings_that_cannot_be_used_are_said_in_one_line_before_anything_is_started(
    tmp_path: Path, content: str, says: str
) -> None:
    file = tmp_path / "config.yml"
    file.write_text(content)
    running = Up(tmp_path)
    with pytest.raises(AssertionError, match="ERROR"):
        running.start()
    assert running.wait() == 1
    assert running.log.read_text() == f"ERROR {says.format(file)}\n"
    assert not (tmp_path / ".local" / "database").exists()
