"""The demonstration: messages of every kind, each to a process of its own, as the platform does it.

python -m local.demo
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from abaco import streams
from datacatalog.linkedstores.pipeline import PipelineStore
from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from local.database import DEFAULT_FOLDER, LocalDatabase
from local.exceptions import LocalDatabaseError
from local.tacobot import ACTOR_ID, TACOBOT
from reactors.results import MAX_BYTES, PATH_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datacatalog.mongo import Document

ROOT = Path(__file__).resolve().parent.parent
DATABASE = "demo"
AGAVE_POST = {
    "id": "8381155107425120746-242ac11b-0001-007",
    "appId": "bbq-brisket-0.5.0",
    "executionSystem": "hpc-tacc",
    "owner": "tacobot",
    "archivePath": "products/v2/tacos",
    "archiveSystem": "data-sd2e-community",
    "status": "ARCHIVING",
    "inputs": {"meat": "agave://data-sd2e-community/uploads/brisket.csv"},
    "parameters": {"smoke": True},
    "_links": {"self": {"href": "https://api.sd2e.org/jobs/v2/8381155107425120746"}},
}
ALOE_POST = {
    **{name: value for name, value in AGAVE_POST.items() if name != "_links"},
    "status": "FINISHED",
    "tenantId": "sd2e",
    "tenantQueue": "aloe.jobq.sd2e.submit",
}
CLOUD_EVENT = {
    "specversion": "1.0",
    "id": "tray-2",
    "source": "https://kitchen.example.org/tacobot",
    "type": "org.example.kitchen.update",
    "time": "2026-11-23T10:00:01Z",
    "data": {"tacos": 2},
}
RUN_EVENT = {
    "eventType": "RUNNING",
    "eventTime": "2026-11-23T10:00:02Z",
    "run": {"runId": "01936b6e-8f5a-7c1d-9a65-2f0b7f1c8e11"},
    "job": {"namespace": "kitchen", "name": "tacos"},
    "inputs": [{"namespace": "agave://data-sd2e-community", "name": "uploads/brisket.csv"}],
    "producer": "https://kitchen.example.org/tacobot",
    "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
}
TAPIS_POST = {
    "uuid": "26d7cc5a-c9f1-47b2-b9e2-ad1ad8f0ec2a",
    "tenant": "sd2e",
    "subscriptionName": "tacos",
    "eventUuid": "f3a5c2de-4f4b-49de-b8ca-6a9b1bb60ad4",
    "event": {
        "specversion": "1.0",
        "source": "https://tapis.io/v3/jobs",
        "type": "jobs.JOB_NEW_STATUS.ARCHIVING",
        "subject": "9ea0a1f6-3f0a-4b5e-8a4e-0d6c7b8a9f10-007",
        "data": '{"jobName": "tacos", "newJobStatus": "ARCHIVING", "oldJobStatus": "RUNNING"}',
        "seriesSeqCount": 7,
        "timestamp": "2026-11-23T10:00:00.123456Z",
    },
    "deliveryTarget": {
        "deliveryMethod": "WEBHOOK",
        "deliveryAddress": "https://api.sd2e.org/actors/v2/jobs-manager/messages?x-nonce=…",
    },
}


@dataclass(frozen=True)
class Step:
    """One message, and the exit code that it should have."""

    title: str
    body: Any = None
    parameters: dict[str, str] = field(default_factory=dict)
    exit_code: int = 0
    execution: str | None = None
    """the id of an execution, if the platform delivers that one again"""


@dataclass(frozen=True)
class Outcome:
    """What the process did."""

    exit_code: int
    log: str
    answer: dict[str, Any]


class Platform:
    """Runs the actor as Abaco does: a process per message, with an environment made from nothing.

    Args:
        uri: of the database.
        folder: for the results socket.
    """

    def __init__(self, uri: str, folder: Path) -> None:
        self._uri = uri
        self._socket_path = folder / "results.sock"
        self._results = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._results.bind(str(self._socket_path))
        self._results.settimeout(0)

    def run(self, step: Step) -> Outcome:
        """Deliver a message and wait for the end of its execution."""
        process = subprocess.run(
            [sys.executable, "reactor.py"],
            cwd=ROOT,
            env=self.environment(step),
            capture_output=True,
            text=True,
            check=False,
        )
        return Outcome(process.returncode, process.stderr.strip(), self._answer())

    def environment(self, step: Step) -> dict[str, str]:
        """Return what the process of a message finds in its environment."""
        environ = {
            **step.parameters,
            "PATH": os.environ.get("PATH", os.defpath),
            "_abaco_actor_id": ACTOR_ID,
            "_abaco_execution_id": step.execution or secrets.token_hex(6),
            "_abaco_username": "taco-chef",
            "_abaco_api_server": "https://api.sd2e.org",
            "_REACTOR_MONGODB_AUTHN": self._uri,
            "_REACTOR_MONGODB_DATABASE": DATABASE,
            PATH_VARIABLE: str(self._socket_path),
        }
        if step.body is not None:
            # a JSON body reaches the actor as the repr of the object
            environ["MSG"] = repr(step.body)
        return environ

    def close(self) -> None:
        """Stop listening for results."""
        self._results.close()

    def _answer(self) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = json.loads(self._results.recv(MAX_BYTES))
        except BlockingIOError:
            return {}
        return answer


def create_step(pipeline_uuid: str, order: str) -> Step:
    """Return the message that creates a job."""
    body = {
        "pipeline_uuid": pipeline_uuid,
        "archive_path": f"/products/v2/tacos/{order}",
        "data": {"tacos": 3, "salsa.level": "hot", "order": order},
    }
    return Step("create a job", body)


def steps(job: dict[str, Any], other: dict[str, Any]) -> Iterator[Step]:
    """Yield messages of every kind for one job, and deletes for another."""
    uuid, token = job["uuid"], job["token"]
    mine = {"uuid": uuid, "token": token}
    by_nonce = {**mine, "x-nonce": "SD2E_EkBWRvV1gKG1a"}
    yield Step("a JSON event", {"uuid": uuid, "name": "run", "token": token})
    yield Step(
        "URL parameters, and a body that is kept",
        {"step": "grilling", "progress": 0.4},
        {**by_nonce, "event": "update"},
    )
    yield Step(
        "an empty body, a platform status in the URL",
        {},
        {**by_nonce, "status": "heartbeat", "note": "still grilling"},
    )
    yield Step("a callback of Agave", AGAVE_POST, by_nonce)
    yield Step("a notification of Tapis v3", TAPIS_POST, by_nonce)
    yield Step("an event as CloudEvents has it", {**CLOUD_EVENT, "subject": uuid, "token": token})
    yield Step("an event of a run of OpenLineage", RUN_EVENT, by_nonce)
    yield Step("a callback of Aloe", ALOE_POST, by_nonce, execution=f"aloe-{uuid}")
    yield Step("the same execution, delivered again", ALOE_POST, by_nonce, 0, f"aloe-{uuid}")
    yield Step("a late event", {"uuid": uuid, "name": "run", "token": token}, exit_code=1)
    wrong = "0123456789abcdef"
    yield Step("a wrong token", {"uuid": uuid, "name": "fail", "token": wrong}, exit_code=1)
    delete = {"uuid": other["uuid"], "action": "delete", "token": other["token"]}
    yield Step("a soft delete of another job", delete)
    yield Step("a forced delete of it", {**delete, "force": True})


def show_step(console: Console, number: int, step: Step, outcome: Outcome) -> None:
    """Print a message and what became of it."""
    good = outcome.exit_code == step.exit_code
    console.print(f"\n[bold]{number:2}. {escape(step.title)}[/bold]")
    if step.parameters:
        console.print(
            f"    URL   {escape('&'.join(f'{k}={v}' for k, v in step.parameters.items()))}"
        )
    body = "(none)" if step.body is None else json.dumps(step.body)
    console.print(f"    body  {escape(body)}")
    colour = "green" if outcome.exit_code == 0 else "yellow"
    colour = colour if good else "red"
    console.print(f"    [{colour}]exit code {outcome.exit_code}[/]  {escape(outcome.log)}")
    if outcome.answer:
        console.print(f"    answer {escape(json.dumps(outcome.answer))}")


def show_history(console: Console, job: Document) -> None:
    """Print the history of a job as a table."""
    table = Table(title=f"History of job {job['uuid']}, now {job['state']}", title_justify="left")
    for name in ("#", "date (UTC)", "event", "data"):
        table.add_column(name, overflow="fold")
    for number, entry in enumerate(job["history"]):
        moment = entry["date"].strftime("%H:%M:%S.%f")[:-3]
        table.add_row(str(number), moment, entry["name"], escape(json.dumps(entry["data"])))
    console.print()
    console.print(table)


def run(console: Console, folder: Path) -> bool:
    """Run the demonstration; tell whether every message had the exit code that it should have."""
    with console.status("starting the local database"):
        database = LocalDatabase(folder)
        found = database.status()
        server = found or database.start()
        uri = database.admit(server, DATABASE)
    note = "it was running" if found else "it keeps running; `make stop` stops it"
    console.print(f"database: {server.address} ({note})")
    mongodb = {"authn": uri, "database": DATABASE}
    pipeline = PipelineStore(mongodb).add_update_document(TACOBOT)
    console.print(f"pipeline: {TACOBOT['name']}, {pipeline['uuid']}")
    with tempfile.TemporaryDirectory() as results:
        platform = Platform(uri, Path(results))
        try:
            order = secrets.token_hex(4)
            created = []
            for number, name in enumerate((order, f"{order}-spare"), start=1):
                step = create_step(pipeline["uuid"], name)
                outcome = platform.run(step)
                show_step(console, number, step, outcome)
                if outcome.exit_code != 0:
                    return False
                created.append(outcome.answer)
            failures = 0
            for number, step in enumerate(steps(*created), start=3):
                outcome = platform.run(step)
                show_step(console, number, step, outcome)
                failures += outcome.exit_code != step.exit_code
        finally:
            platform.close()
    job = PipelineJobStore(mongodb).find_one_by_uuid(created[0]["uuid"])
    if job is None:
        return False
    show_history(console, job)
    return failures == 0


@streams.guarded()
def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m local.demo",
        description="Run the actor on messages of every kind and show what happens.",
        epilog="example: python -m local.demo --folder .local",
    )
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER, help="of the local database")
    console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
    try:
        good = run(console, parser.parse_args().folder)
    except LocalDatabaseError as error:
        print(f"ERROR {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    if not good:
        print("ERROR not every message had the outcome that it should have", file=sys.stderr)
    return 0 if good else 1


if __name__ == "__main__":
    streams.prepare()
    sys.exit(main())
