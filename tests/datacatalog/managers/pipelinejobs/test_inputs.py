from __future__ import annotations

from typing import Any

import pytest

from datacatalog.identifiers import typeduuid
from datacatalog.managers.pipelinejobs.inputs import find_inputs
from datacatalog.mongo import Db

FILES = ["/uploads/tacc/a.csv", "/products/v2/b.json", "/reference/genome.fa", "/uploads/c d.csv"]
REFERENCES = ["https://tacos.example.org/7", "http://tacos.example.org/8", "/reference/genome.fa"]
A, B, GENOME, SPACED = (typeduuid.catalog_uuid(name, "file") for name in FILES)
SEVEN, EIGHT, GENOME_REFERENCE = (typeduuid.catalog_uuid(name, "reference") for name in REFERENCES)


@pytest.fixture(autouse=True)
def catalog(db: Db) -> None:
    db["files"].insert_many(
        [{"name": name, "uuid": typeduuid.catalog_uuid(name, "file")} for name in FILES]
    )
    db["references"].insert_many(
        [
            {"uri": name, "reference_id": f"id of {name}", "uuid": uuid}
            for name, uuid in zip(REFERENCES, (SEVEN, EIGHT, GENOME_REFERENCE), strict=True)
        ]
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("/uploads/tacc/a.csv", [A]),
        ("agave://data-sd2e-community/uploads/tacc/a.csv", [A]),
        ("agave://another.system/uploads/tacc/a.csv", [A]),
        ("  /uploads/tacc/a.csv ", [A]),
        ("/uploads//tacc/./x/../a.csv", [A]),
        ("agave://data-sd2e-community//uploads//tacc///a.csv", [A]),
        ("/products/v2/b.json", [B]),
        ("/uploads/c d.csv", [SPACED]),
        ("agave://data-sd2e-community/uploads/c d.csv", [SPACED]),
        ("/uploads/tacc/unknown.csv", []),
        ("/uploads/../etc/passwd", []),
        ("/uploads_of_others/tacc/a.csv", []),
        ("uploads/tacc/a.csv", []),
        ("a.csv", []),
        ("agave://uploads/tacc/a.csv", []),
        ("", []),
    ],
)
def test_a_file_is_found_by_its_uri_or_path(name: str, expected: list[str], db: Db) -> None:
    assert find_inputs(db, [name], {}) == (expected, [])


def test_references_are_found_by_their_url(db: Db) -> None:
    names = [*REFERENCES[:2], "https://tacos.example.org/unknown", "ftp://tacos.example.org/7"]
    assert find_inputs(db, names, {}) == ([], sorted([SEVEN, EIGHT]))


def test_what_is_under_reference_can_be_a_file_and_a_reference(db: Db) -> None:
    assert find_inputs(db, ["/reference/genome.fa"], {}) == ([GENOME], [GENOME_REFERENCE])


@pytest.mark.parametrize(
    ("inputs", "data"),
    [
        (FILES[:1], {}),
        (tuple(FILES[:1]), {}),
        ({"table": FILES[0]}, {}),
        ({"tables": [{"first": FILES[0]}]}, {}),
        ((), {"inputs": FILES[:1]}),
        ((), {"inputs": {"table": [FILES[0]]}}),
        ((), {"inputs": FILES[0]}),
        ((), {"parameters": {"table": FILES[0]}}),
        (FILES[:1], {"inputs": FILES[:1], "parameters": FILES[:1]}),
    ],
)
def test_inputs_and_parameters_of_any_shape_are_searched(
    inputs: Any, data: dict[str, Any], db: Db
) -> None:
    assert find_inputs(db, inputs, data) == ([A], [])


def test_other_parts_of_the_data_are_not_searched(db: Db) -> None:
    assert find_inputs(db, (), {"notes": FILES, "outputs": FILES}) == ([], [])


@pytest.mark.parametrize("value", [None, 7, 1.5, True, [None, 7, [False]], {"a": None, "b": {}}])
def test_values_that_are_not_text_are_skipped(value: Any, db: Db) -> None:
    found = find_inputs(db, [value, FILES[0]], {"inputs": value, "parameters": [value, FILES[1]]})
    assert found == (sorted([A, B]), [])


@pytest.mark.parametrize("text", ["agave://[x/uploads/a", "agave://", "http://[", "\0", "$ne"])
def test_texts_that_are_no_uri_are_skipped(text: str, db: Db) -> None:
    assert find_inputs(db, [text, FILES[0]], {}) == ([A], [])


@pytest.mark.parametrize(
    "name", ["/uploads/run #7.csv", "/uploads/what?.csv", "/uploads/a%20b.csv"]
)
def test_a_file_may_have_a_name_that_means_something_in_urls(name: str, db: Db) -> None:
    uuid = typeduuid.catalog_uuid(name, "file")
    db["files"].insert_one({"name": name, "uuid": uuid})
    assert find_inputs(db, [name], {}) == ([uuid], [])
    assert find_inputs(db, [f"agave://data-sd2e-community{name}"], {}) == ([uuid], [])
