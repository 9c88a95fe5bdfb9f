"""All listings as CSV: the fields of JSON, with rows and without."""

from __future__ import annotations

import csv
import inspect
import io

import pytest

from datacatalog.linkedstores.pipelinejob import EventRefused, PipelineJobStore
from datacatalog.linkedstores.pipelinejob.untold import Left
from datacatalog.linkedstores.subscriptions import Subscriptions
from datacatalog.mongo import Db, Document
from pipelinejobs import output
from pipelinejobs.commands import several
from tests.pipelinejobs.running import Run
from tests.pipelinejobs.test_table import COMMANDS

LISTINGS = {
    "jobs ls": ("jobs", "ls"),
    "jobs history": ("jobs", "history", "JOB"),
    "jobs cancel": ("jobs", "cancel", "JOB", "JOB", "--direct"),
    "pipelines ls": ("pipelines", "ls"),
    "stats": ("stats",),
    "doctor": ("doctor",),
    "refused ls": ("refused", "ls"),
    "refused retry": ("refused", "retry", "--all"),
    "verify": ("verify",),
    "subscriptions ls": ("subscriptions", "ls"),
    "subscriptions dead": ("subscriptions", "dead", "lab"),
    "outbox ls": ("outbox", "ls"),
}
"""A listing with rows for each of them, where `JOB` stands for a job."""
LIKE = {"jobs stuck": "test_jobs", "jobs send": "jobs cancel", "jobs delete": "jobs cancel"}
"""What has its rows elsewhere, or from the same function."""


@pytest.fixture
def filled(cli: Run, job: Document, jobs: PipelineJobStore, db: Db) -> Document:
    """A catalog in which each listing has a row."""
    with pytest.raises(EventRefused):
        jobs.handle({"uuid": job["uuid"], "name": "finish"}, job["_update_token"])
    assert cli("subscriptions", "add", "lab", "https://x").code == 0
    place = {"lab": {"told": 0, "tries": 1}}
    applied = jobs.apply(jobs.load(job["uuid"]), "run", {})
    jobs.untold.leave_behind([Left(applied.job, applied.entry["date"], place)])
    letter = {"subscriber": "lab", "job_id": 1, "job_uuid": job["uuid"], "number": 1}
    Subscriptions(db).bury(letter)
    jobs.coll.update_one({"uuid": job["uuid"]}, {"$set": {"state": "FINISHED"}})
    return job


def head(text: str) -> list[str]:
    """Return the names of the fields."""
    return next(csv.reader(io.StringIO(text)))


@pytest.mark.parametrize("name", LISTINGS)
def test_csv_has_the_fields_of_json(name: str, cli: Run, filled: Document) -> None:
    arguments = [filled["uuid"] if each == "JOB" else each for each in LISTINGS[name]]
    shown = cli(*arguments, "-o", "csv").out
    assert len(shown.splitlines()) > 1
    if name == "refused retry":
        assert head(shown) == ["uuid", "event", "outcome", "detail", "id"]
    else:
        assert head(shown) == list(cli(*arguments, "-o", "json").rows[0])


@pytest.mark.parametrize(
    ("arguments", "fields"),
    [
        (("pipelines", "ls"), "uuid,id,name,type,description,owner,created"),
        (("refused", "ls"), "id,uuid,date,event,data,state,reason,execution_id,applied"),
        (("refused", "retry", "--all"), "uuid,event,outcome,detail,id"),
        (("outbox", "ls"), "uuid,subscriber,waiting,since,tries,due,reason"),
        (("verify",), "uuid,problem"),
    ],
)
def test_csv_has_them_without_rows(arguments: tuple[str, ...], fields: str, cli: Run) -> None:
    assert cli(*arguments, "-o", "csv").out == f"{fields}\n"


def test_csv_of_subscriptions_has_them_without_rows(cli: Run, db: Db) -> None:
    none = cli("subscriptions", "ls", "-o", "csv").out
    assert cli("subscriptions", "add", "lab", "https://x").code == 0
    assert none == cli("subscriptions", "ls", "-o", "csv").out.splitlines(keepends=True)[0]
    empty = cli("subscriptions", "dead", "lab", "-o", "csv").out
    Subscriptions(db).bury({"subscriber": "lab", "job_id": 1, "number": 1})
    assert (
        empty == cli("subscriptions", "dead", "lab", "-o", "csv").out.splitlines(keepends=True)[0]
    )


def test_each_listing_is_here() -> None:
    written = (output.listing.__name__, several.for_each.__name__)
    lists = {
        name
        for name, command in COMMANDS.items()
        if any(f"{each}(" in inspect.getsource(command.callback) for each in written)
    }
    assert lists <= {*LISTINGS, *LIKE}
