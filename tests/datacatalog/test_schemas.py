from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from datacatalog import schemas
from datacatalog.identifiers import typeduuid
from datacatalog.linkedstores import lookup
from datacatalog.linkedstores.file import FileStore
from datacatalog.linkedstores.pipelinejob import PipelineJobStore, fsm
from datacatalog.mongo import Document
from reactors import schema


def known(name: str) -> dict[str, Any]:
    found = schemas.document(name)
    assert found is not None
    return found


def test_every_schema_is_valid_and_refers_to_others_that_there_are() -> None:
    kinds = [
        *(f"{kind}_uuid" for kind in typeduuid.PREFIXES),
        *lookup.KINDS,
        "agave_files_uri",
        "experiment_reference",
    ]
    waiting = [
        *(f"{kind}.json" for kind in kinds),
        *(f"{kind}_document.json" for kind in lookup.KINDS),
    ]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        document = known(name)
        Draft7Validator.check_schema(document)
        assert document["$id"] == f"https://schema.catalog.sd2e.org/schemas/{name}"
        waiting += re.findall(r'"\$ref": "([^"]+)"', json.dumps(document))
    assert schemas.document("salsa.json") is None


def test_a_store_shows_the_schema_of_what_it_is_given(mongodb: dict[str, Any]) -> None:
    jobs = PipelineJobStore(mongodb).schema
    assert jobs["required"] == ["pipeline_uuid", "archive_path", "data"]
    assert jobs["properties"]["pipeline_uuid"] == {"$ref": "pipeline_uuid.json"}
    assert FileStore(mongodb).schema == known("file.json")


def test_names_are_those_of_the_state_machine() -> None:
    assert known("pipelinejob_eventname.json")["enum"] == list(fsm.EVENTS)
    assert known("pipelinejob_state.json")["enum"] == list(fsm.STATES)


@pytest.mark.parametrize("kind", ["pipelinejob", "pipeline", "file"])
def test_what_is_stored_fits_its_schema(
    tmp_path: Path,
    jobs: PipelineJobStore,
    job: Document,
    pipeline: Document,
    files: FileStore,
    kind: str,
) -> None:
    stored: Document | None = {
        "pipelinejob": jobs.find_one_by_uuid(job["uuid"]),
        "pipeline": pipeline,
        "file": files.add_update_document({"name": "/uploads/tacos.csv", "level": "Reference"}),
    }[kind]
    assert stored is not None
    content = {"$id": f"{schemas.ADDRESS}main.json", "$ref": f"{kind}_document.json"}
    (tmp_path / "main.json").write_text(json.dumps(content))
    validator = schema.load(tmp_path / "main.json")
    shown = json.loads(json.dumps(stored, default=str))
    assert [error.message for error in validator.iter_errors(shown)] == []
    assert not validator.is_valid({**shown, "uuid": "107"})
