from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest

from datacatalog.linkedstores.experiment import ExperimentStore
from datacatalog.linkedstores.file import FileStore
from datacatalog.linkedstores.fixity import FixityStore
from datacatalog.linkedstores.pipeline import PipelineStore
from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.linkedstores.reference import ReferenceStore
from datacatalog.linkedstores.sample import SampleStore
from datacatalog.mongo import Document
from tests.abaco.running import eventually
from tests.conftest import TACOBOT
from tests.siblings.conftest import OUTPUTS
from tests.siblings.platform import SYSTEM
from tests.siblings.site import MANAGER, Site

READS = "/uploads/tacos/reads.fastq"
RECIPE = "https://example.org/recipes/brisket"
SAMPLE = "sample.tacc.20001"
EXPERIMENTS = ("experiment.tacc.10001", "experiment.tacc.10002")
UUID = re.compile(r"107[0-9a-f]{5}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@pytest.fixture(scope="module")
def known(catalog: dict[str, Any]) -> dict[str, str]:
    """The UUIDs of what the catalog knows already, by its identifiers."""
    reference = {"reference_id": "reference.tacc.1", "uri": RECIPE, "name": "Brisket"}
    documents = [
        FileStore(catalog).add_update_document({"name": READS}),
        ReferenceStore(catalog).add_update_document(reference),
        *(
            ExperimentStore(catalog).add_update_document({"experiment_id": name})
            for name in EXPERIMENTS
        ),
    ]
    sample = {"sample_id": SAMPLE, "measurements": [], "child_of": [documents[2]["uuid"]]}
    documents.append(SampleStore(catalog).add_update_document(sample))
    return dict(
        zip(
            (READS, RECIPE, *EXPERIMENTS, SAMPLE), (each["uuid"] for each in documents), strict=True
        )
    )


def order(**more: Any) -> dict[str, Any]:
    """Return a message to the launcher."""
    return {
        "inputs": [f"agave://{SYSTEM}{READS}", RECIPE],
        "parameters": {"salsa.level": "hot", "tacos": [3, {"al": "pastor"}]},
        "sample_id": SAMPLE,
        "archive_patterns": [{"patterns": [r"\.csv$"], "level": "1"}],
        "product_patterns": [
            {"patterns": [r"\.bam$"], "derived_from": [READS], "derived_using": [RECIPE]}
        ],
        **more,
    }


def launched(site: Site, image: str, message: dict[str, Any]) -> tuple[str, str]:
    """Launch a job; return its uuid and its id on the platform."""
    execution, log = site.run(image, message)
    assert execution["exitCode"] == 0, log
    job_id = list(site.platform.jobs)[-1]
    assert job_id in log.splitlines()[-1]
    (notified,) = {
        UUID.search(each["url"])[0]  # type: ignore[index]  # it has one
        for each in site.platform.notifications(job_id)
    }
    return notified, job_id


# From registering to linked files


def test_a_pipeline_that_is_registered_again_is_the_same_one(
    site: Site, registered: dict[str, str]
) -> None:
    (stored,) = PipelineStore(site.mongodb).query()
    assert stored["uuid"] == registered["uuid"]
    assert stored["name"] == TACOBOT["name"]


def test_the_update_token_changes_a_pipeline_and_no_other_does(
    site: Site, registered: dict[str, str]
) -> None:
    changed = {"description": "Makes better tacos"}
    uuid, token = registered["uuid"], registered["_update_token"]
    execution, log = site.run("registrar", changed, uuid=uuid, token="0123456789abcdef")
    assert (execution["exitCode"], log.splitlines()[-1].partition(" ")[2]) == (
        1,
        "ERROR Pipeline was not written: Token was not valid",
    )
    execution, log = site.run("registrar", changed, uuid=uuid, token=token)
    assert execution["exitCode"] == 0, log
    stored = PipelineStore(site.mongodb).find_one_by_uuid(uuid)
    assert stored is not None
    assert stored["description"] == "Makes better tacos"
    assert stored["components"] == TACOBOT["components"]


@pytest.fixture(scope="module")
def indexed(launching: Site, known: dict[str, str]) -> tuple[Document, Document, str]:
    """A job that was launched, has run, and was indexed: as it was after the launch, and at the end."""
    uuid, job_id = launched(launching, "cold launcher", order())
    before = launching.stored(uuid)
    launching.platform.process(job_id)
    launching.until(uuid, "finish")
    event = {"uuid": uuid, "name": "index", "token": token_of(launching, job_id)}
    execution, log = launching.run(MANAGER, event)
    assert execution["exitCode"] == 0, log
    return before, launching.until(uuid, "indexed"), job_id


def token_of(site: Site, job_id: str) -> str:
    """Return the token of a job, which is in its notifications."""
    found = re.search(r"[?&]token=([0-9a-f]{16})", site.platform.notifications(job_id)[0]["url"])
    assert found is not None
    return found[1]


def test_a_launched_job_knows_what_it_is_about(
    indexed: tuple[Document, Document, str], registered: dict[str, str], known: dict[str, str]
) -> None:
    before, _, job_id = indexed
    assert before["state"] == "RUNNING"
    assert before["pipeline_uuid"] == registered["uuid"]
    assert before["generated_by"] == [registered["uuid"]]
    assert before["child_of"] == [known[SAMPLE]]
    assert before["acted_on"] == [known[READS]]
    assert before["acted_using"] == [known[RECIPE]]
    assert before["data"]["parameters"] == order()["parameters"]
    assert before["data"]["inputs"] == order()["inputs"]
    assert before["product_patterns"][0]["derived_from"] == [known[READS]]
    run = before["history"][-1]
    assert (run["name"], run["data"]["launched"]) == ("run", job_id)
    assert run["data"]["response"]["submitTime"] == "2026-11-23T10:00:00-06:00"


def test_the_job_of_the_platform_has_what_the_actor_put_into_it(
    launching: Site, indexed: tuple[Document, Document, str]
) -> None:
    before, _, job_id = indexed
    job = launching.platform.jobs[job_id]
    assert job["inputs"] == {"first": f"agave://{SYSTEM}{READS}", "second": RECIPE}
    assert job["parameters"] == {"smoke": True, **order()["parameters"]}
    assert (job["archiveSystem"], job["archivePath"]) == (SYSTEM, before["archive_path"])
    assert before["archive_path"].startswith("/products/v2/106")


def test_the_history_is_what_happened(indexed: tuple[Document, Document, str]) -> None:
    _, job, job_id = indexed
    assert job["state"] == "FINISHED"
    names = [entry["name"] for entry in job["history"]]
    assert names == ["create", "run", "run", "finish", "index", "indexed"]
    finish = job["history"][3]["data"]
    assert (finish["id"], finish["status"]) == (job_id, "FINISHED")
    assert finish["description"] == "Job completed"
    assert "_links" not in finish
    dates = [entry["date"] for entry in job["history"]]
    assert dates == sorted(dates)


def test_the_outputs_are_in_the_catalog_with_their_links(
    launching: Site,
    indexed: tuple[Document, Document, str],
    registered: dict[str, str],
    known: dict[str, str],
) -> None:
    _, job, _ = indexed
    files = {file["name"]: file for file in FileStore(launching.mongodb).find(child_of=job["uuid"])}
    table, reads = (f"{job['archive_path']}/{name}" for name in ("counts.csv", "reads.bam"))
    assert sorted(files) == [table, reads]
    for file, level, kind in ((files[table], "1", "CSV"), (files[reads], "Unknown", "BAM")):
        assert (file["level"], file["type"], file["storage_system"]) == (level, kind, SYSTEM)
        assert file["generated_by"] == [registered["uuid"]]
        assert file["file_id"].startswith("file.tacc.")
    assert files[table]["derived_from"] == []
    assert files[reads]["derived_from"] == [known[READS]]
    assert files[reads]["derived_using"] == [known[RECIPE]]


def test_the_outputs_that_ask_for_it_have_a_fixity(
    launching: Site, indexed: tuple[Document, Document, str]
) -> None:
    _, job, _ = indexed
    fixities = FixityStore(launching.mongodb)
    found = fixities.find_one_by_id(name=f"{job['archive_path']}/counts.csv")
    assert found is not None
    content = OUTPUTS["counts.csv"]
    assert (found["size"], found["checksum"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert found["version"] == 1
    file = FileStore(launching.mongodb).find_one_by_id(name=found["name"])
    assert file is not None
    assert found["child_of"] == [file["uuid"]]
    assert fixities.find_one_by_id(name=f"{job['archive_path']}/reads.bam") is None


# A wrapped job definition

DEFINITION: dict[str, Any] = {
    "appId": "bbq-brisket-0.5.0",
    "name": "brisket",
    "parameters": {"smoke": True, "hours": 12},
    "maxRunTime": "02:00:00",
}


def wrap(**more: Any) -> dict[str, Any]:
    """Return a message to the wrapper."""
    return {
        "job_definition": {**DEFINITION, **more},
        "inputs": [{"reads": f"agave://{SYSTEM}{READS}"}, {"recipe": RECIPE}],
        "parameters": {"hours": 14},
        "experiments": [{"id": name} for name in EXPERIMENTS],
        "archive_patterns": [{"patterns": [], "processing_level": "2"}],
    }


def test_a_wrapped_definition_is_launched_with_its_place_and_inputs(
    launching: Site, known: dict[str, str]
) -> None:
    uuid, job_id = launched(launching, "wrapper", wrap())
    job = launching.platform.jobs[job_id]
    stored = launching.stored(uuid)
    assert stored["data"] == {
        **DEFINITION,
        "inputs": {"reads": f"agave://{SYSTEM}{READS}", "recipe": RECIPE},
        "parameters": {"smoke": True, "hours": 14},
    }
    assert {name: job[name] for name in stored["data"]} == stored["data"]
    assert job["archivePath"] == stored["archive_path"]
    assert re.fullmatch(r".*/[a-z]+-[a-z]+-\d{8}T\d{6}Z", job["archivePath"])
    assert stored["child_of"] == sorted(known[name] for name in EXPERIMENTS)
    assert (stored["acted_on"], stored["acted_using"]) == ([known[READS]], [known[RECIPE]])
    actor = f"{launching.platform.url}/actors/v2/{launching.actors['wrapper']}"
    assert stored["agent"] == actor
    assert stored["task"].startswith(f"{actor}/executions/")
    launching.platform.process(job_id)
    launching.until(uuid, "finish")
    assert launching.history(uuid) == ["create", "update", "resource", "run", "finish"]
    event = {"uuid": uuid, "name": "index", "token": token_of(launching, job_id)}
    launching.run(MANAGER, event)
    launching.until(uuid, "indexed")
    files = FileStore(launching.mongodb).find(child_of=uuid)
    assert {file["name"].removeprefix(job["archivePath"] + "/") for file in files} == set(OUTPUTS)
    assert {file["level"] for file in files} == {"2"}


# What the actors of the original call


def test_metadata_is_changed_without_a_token_unless_the_catalog_enforces_them(
    site: Site, registered: dict[str, str]
) -> None:
    changed = {"description": "Makes the best tacos"}
    execution, log = site.run("registrar", changed, uuid=registered["uuid"])
    assert execution["exitCode"] == 0, log
    (stored,) = PipelineStore(site.mongodb).query()
    assert stored["description"] == changed["description"]


def ask(site: Site, uuid: str, name: str, **more: Any) -> dict[str, Any]:
    """Let the actor that applies events by itself apply one; return what it tells."""
    token = PipelineJobStore(site.mongodb).get_token(PipelineJobStore(site.mongodb).load(uuid))
    message = {"uuid": uuid, "name": name, "token": token, **more}
    return dict(site.ada.ask(site.actors["eventer"], message).json())


def test_events_are_applied_by_the_store_and_by_the_instance(
    eventer: Site, known: dict[str, str]
) -> None:
    uuid, job_id = launched(eventer, "launcher", order(parameters={"by": "eventer"}))
    told = ask(eventer, uuid, "update", by_store=True, data={"cost": 1})
    assert told == {"before": ["RUNNING", "run"], "state": "RUNNING", "drawn": True}
    assert ask(eventer, uuid, "update")["before"] == ["RUNNING", "update"]
    eventer.platform.process(job_id)
    eventer.until(uuid, "finish")
    told = ask(eventer, uuid, "index")
    assert (told["state"], told["listed"]) == ("FINISHED", False), "the log is not indexed"
    assert ask(eventer, uuid, "reset")["state"] == "CREATED"
    stored = eventer.stored(uuid)
    assert [entry["name"] for entry in stored["history"]][-4:] == [
        *("index", "indexed", "reset", "ready")
    ]
    assert stored["label"].startswith("reset by ")


def test_what_the_state_machine_refuses_is_an_error_of_managed_jobs(
    eventer: Site, known: dict[str, str]
) -> None:
    uuid, _ = launched(eventer, "launcher", order(parameters={"by": "chance"}))
    token = PipelineJobStore(eventer.mongodb).get_token(
        PipelineJobStore(eventer.mongodb).load(uuid)
    )
    message = {"uuid": uuid, "name": "validate", "token": token}
    execution, log = eventer.run("eventer", message)
    assert execution["exitCode"] == 1
    assert "Event validate was not applied: validate event: not allowed" in log
    for wrong in ({"name": "cook"}, {"token": "null"}, {"uuid": "106" + uuid[3:]}):
        _, log = eventer.run("eventer", {**message, **wrong})
        assert log.splitlines()[-1].endswith("ERROR Invalid message")


def test_a_job_whose_outputs_are_missing_is_reset_and_run_again(
    auditing: Site, known: dict[str, str]
) -> None:
    uuid, job_id = launched(auditing, "launcher", order(parameters={"by": "auditor"}))
    auditing.platform.process(job_id)
    job = auditing.until(uuid, "finish")
    post = auditing.platform.jobs[job_id]
    execution, log = auditing.run("auditor", post, mpjId=uuid)
    assert execution["exitCode"] == 0, log
    assert log.splitlines()[-1].endswith("INFO 2 events, nothing is missing")

    options = {"settings": {"options": {"wanted": ["counts.csv", "tacos.csv"]}}}
    execution, log = auditing.run("auditor", {**post, "__options": options}, mpjId=uuid)
    assert execution["exitCode"] == 0, log
    assert f"{uuid} is CREATED: ready event: not allowed" in log
    assert log.splitlines()[-1].endswith(f"{uuid} runs again, without tacos.csv")
    assert auditing.stored(uuid)["state"] == "RUNNING"
    assert auditing.history(uuid)[-3:] == ["reset", "ready", "run"]
    assert list((auditing.storage / job["archive_path"].lstrip("/")).iterdir()) == []

    execution, log = auditing.run("auditor", post, mpjId=uuid)
    assert execution["exitCode"] == 1
    assert f"ERROR {uuid} was launched 2 times" in log.splitlines()[-1]


def test_uploads_are_copied_and_indexed_one_by_one(site: Site, buckets: Path) -> None:
    (buckets / "lab").mkdir()
    (buckets / "lab" / "Jalapeño & 1.csv").write_text("taco\n")
    execution, log = site.run("uploads-manager", {"uri": "s3://tacos/lab/Jalapeño & 1.csv"})
    assert execution["exitCode"] == 0, log
    name, files = "/uploads/lab/Jalapeno--1.csv", FileStore(site.mongodb)
    eventually(lambda: files.find_one_by_id(name=name) is not None)
    fixity = FixityStore(site.mongodb).find_one_by_id(name=name)
    assert fixity is not None
    assert fixity["size"] == 5
    _, log = site.run("uploads-manager", {"uri": "s3://tacos/lab/none.csv"})
    assert "ERROR Not copied: cp: cannot stat" in log.splitlines()[-1]


def test_a_directory_of_uploads_is_indexed_by_messages_of_the_actor_to_itself(
    site: Site, buckets: Path
) -> None:
    names = [f"/uploads/more/{number}/tacos.csv" for number in range(2)]
    for name in names:
        file = site.storage / name.lstrip("/")
        file.parent.mkdir(parents=True)
        file.write_text("taco\n")
    execution, log = site.run("uploads-indexer", {"uri": f"agave://{SYSTEM}/uploads/more"})
    assert execution["exitCode"] == 0, log
    assert log.splitlines()[-1].endswith("2 files to index")
    files = FileStore(site.mongodb)
    eventually(lambda: all(files.find_one_by_id(name=name) for name in names))
    _, log = site.run("uploads-indexer", {"uri": f"agave://{SYSTEM}/uploads/none"})
    assert log.splitlines()[-1].endswith(f"ERROR Nothing is at agave://{SYSTEM}/uploads/none")


# What goes wrong


def test_a_launch_that_is_refused_leaves_no_job(launching: Site, known: dict[str, str]) -> None:
    before = len(jobs(launching))
    execution, log = launching.run("launcher", order(app="bbq-tofu-0.1.0"))
    assert execution["exitCode"] == 1, log
    says = "Failed to launch bbq-tofu-0.1.0: HTTP status 404: No app found matching bbq-tofu-0.1.0"
    assert says in log.splitlines()[-1]
    assert len(jobs(launching)) == before


def test_a_launch_that_is_refused_after_an_event_leaves_a_failed_job(
    launching: Site, known: dict[str, str]
) -> None:
    execution, log = launching.run("wrapper", wrap(appId="bbq-tofu-0.2.0"))
    assert execution["exitCode"] == 1
    (job,) = [each for each in jobs(launching) if each["data"].get("appId") == "bbq-tofu-0.2.0"]
    assert f"Not launched: {job['uuid']}" in log.splitlines()[-1]
    assert job["state"] == "FAILED"
    assert [entry["name"] for entry in job["history"]] == ["create", "update", "fail"]
    reason = "HTTP status 404: No app found matching bbq-tofu-0.2.0"
    assert job["history"][-1]["data"] == {"reason": reason}


def jobs(site: Site) -> list[Document]:
    """Return all jobs that users find."""
    return PipelineJobStore(site.mongodb).query()


def test_a_job_that_the_platform_kills_has_failed(launching: Site, known: dict[str, str]) -> None:
    uuid, job_id = launched(launching, "launcher", order(app="bbq-burnt-0.5.0"))
    launching.platform.process(job_id)
    job = launching.until(uuid, "fail")
    assert job["state"] == "FAILED"
    assert "killed by the scheduler" in job["history"][-1]["data"]["description"]
    event = {"uuid": uuid, "name": "index", "token": token_of(launching, job_id)}
    launching.run(MANAGER, event)
    refused = eventually(
        lambda: [log for image, _, log in launching.executions() if "index event: not" in log]
    )
    assert len(refused) == 1
    assert "index event: not allowed in state FAILED" in refused[0]
    assert launching.stored(uuid)["state"] == "FAILED"


@pytest.mark.parametrize(
    ("image", "message", "says"),
    [
        ("launcher", {"inputs": "tacos"}, "Invalid message"),
        ("launcher", order(sample_id="sample.tacc.0"), "sample.tacc.0"),
        ("wrapper", {}, "Invalid message: the message does not fit: "),
        ("wrapper", {**wrap(), "experiments": [{"id": "unknown"}]}, "unknown"),
        ("registrar", {"name": "Tacobot"}, "Invalid message"),
    ],
)
def test_what_makes_no_sense_is_said_by_the_actor_in_its_own_way(
    launching: Site, image: str, message: Any, says: str
) -> None:
    before = len(jobs(launching))
    execution, log = launching.run(image, message)
    assert execution["exitCode"] == 1
    assert " ERROR " in log.splitlines()[-1]
    assert says in log.splitlines()[-1]
    assert "Traceback" not in log
    assert len(jobs(launching)) == before


# At the end of it all


def test_everybody_ended_in_order_and_told_no_secret(
    launching: Site, registered: dict[str, str], indexed: tuple[Document, Document, str]
) -> None:
    executions = launching.executions()
    ends = [(each["exitCode"], log.splitlines()[-1]) for _, each, log in executions]
    assert {code for code, _ in ends} <= {0, 1}
    assert [line for code, line in ends if (code == 1) != (" ERROR " in line)] == []
    assert not [image for image, each, _ in executions if image == MANAGER and each["exitCode"]]
    secrets = {launching.nonce, *launching.platform.tokens}
    secrets |= {token_of(launching, job_id) for job_id in launching.platform.jobs}
    secrets |= {registered["_update_token"]}
    # what tokens are made of
    stores = (PipelineStore(launching.mongodb), PipelineJobStore(launching.mongodb))
    secrets |= {stored["_salt"] for store in stores for stored in store.query()}
    logs = "\n".join([launching.gateway.log.read_text(), *(log for _, _, log in executions)])
    assert len(secrets) > 5
    assert [secret for secret in secrets if secret in logs] == []
    assert "x-nonce=[redacted]&token=[redacted]" in logs
