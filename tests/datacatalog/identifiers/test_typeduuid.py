from __future__ import annotations

import uuid
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datacatalog.identifiers import typeduuid
from tests.datacatalog.vectors import VECTORS, cases, check

JOB = "107a6c4a-f354-53d6-b97d-2c497b9b352e"
TABLE = """
    generic 100  challenge_problem 101  experiment 102  sample 103  measurement 104  file 105
    pipeline 106  pipelinejob 107  pipelinejob_event 108  reference 109  product 110  upload 111
    experiment_design 114  input_classifier 115  fixity 116  process 117  annotation 118
    inline_annotation 119  query 120  dashboard 121  tag_annotation 122  text_annotation 123
    association 124  structured_request 125
"""
WORDS = TABLE.split()
TYPES = list(zip(WORDS[::2], WORDS[1::2], strict=True))


@cases("catalog_uuid")
def test_a_text_has_the_uuid_that_the_original_gave_it(vector: dict[str, Any]) -> None:
    check(vector, lambda: typeduuid.catalog_uuid(*vector["input"]))


@pytest.mark.parametrize(("collection", "key", "name", "expected"), VECTORS["catalog"])
def test_what_is_in_the_catalog_has_the_uuid_of_its_name(
    collection: str, key: str, name: str, expected: str
) -> None:
    if key == "uuid":
        assert typeduuid.get_uuidtype(name) == "pipeline"
    else:
        assert typeduuid.catalog_uuid(name, collection.removesuffix("s")) == expected


@pytest.mark.parametrize(("name", "expected"), VECTORS["challenge_problems"])
def test_challenge_problems_have_the_uuid_of_their_name(name: str, expected: str) -> None:
    assert typeduuid.catalog_uuid(name, "challenge_problem") == expected


@cases("get_uuidtype")
def test_a_uuid_has_the_type_that_the_original_saw(vector: dict[str, Any]) -> None:
    check(vector, lambda: typeduuid.get_uuidtype(*vector["input"]))


@cases("typeduuid.validate")
def test_the_original_refused_these_as_typed_uuids(vector: dict[str, Any]) -> None:
    check(vector, lambda: typeduuid.validate(*vector["input"], permissive=True))


@cases("uuid_to_hashid")
def test_a_uuid_has_the_hashid_that_the_original_gave_it(vector: dict[str, Any]) -> None:
    check(vector, lambda: typeduuid.uuid_to_hashid(*vector["input"]))


@cases("uuid_to_hashid")
def test_a_hashid_leads_back_to_its_uuid(vector: dict[str, Any]) -> None:
    assert typeduuid.hashid_to_uuid(vector["output"]) == vector["input"][0]


def test_the_namespaces_are_those_of_the_original() -> None:
    real = uuid.UUID(VECTORS["constants"]["UUID_NAMESPACE"])
    assert typeduuid.catalog_uuid("a") == typeduuid.catalog_uuid("a", namespace=real)
    assert str(typeduuid.UUID_MOCK_NAMESPACE) == VECTORS["constants"]["UUID_MOCK_NAMESPACE"]


@pytest.mark.parametrize(("name", "prefix"), TYPES)
def test_each_type_has_its_prefix(name: str, prefix: str) -> None:
    made = typeduuid.catalog_uuid("tacos", name)
    assert made.startswith(prefix)
    assert made[3:] == typeduuid.catalog_uuid("tacos")[3:]
    assert typeduuid.get_uuidtype(made) == name
    assert typeduuid.validate(made)


def test_there_are_no_other_types() -> None:
    assert typeduuid.listall() == sorted(name for name, _ in TYPES)


@pytest.mark.parametrize(
    "value",
    [
        JOB.upper(),
        JOB.replace("-", ""),
        f"{JOB}\n",
        f" {JOB}",
        f"{{{JOB}}}",
        f"urn:uuid:{JOB}",
        JOB.replace("-53d6-", "-43d6-"),
        JOB.replace("-b97d-", "-c97d-"),
        JOB.replace("107", "112"),
        JOB.replace("107", "113"),
        JOB.replace("2c49", "\uff12c49"),
        "102",
        None,
        107,
        JOB.encode(),
        uuid.UUID(JOB),
    ],
)
def test_only_the_canonical_form_is_a_typed_uuid(value: object) -> None:
    assert typeduuid.validate(JOB)
    assert not typeduuid.validate(value, permissive=True)
    with pytest.raises(ValueError) as refused:
        typeduuid.validate(value)
    assert str(refused.value) == f"{value} is not a typed UUID"


def test_another_domain_is_another_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = typeduuid.catalog_uuid("tacos")
    monkeypatch.setenv("CATALOG_DNS_DOMAIN", "tacos.example.org")
    assert typeduuid.catalog_uuid("tacos") != usual
    monkeypatch.setenv("CATALOG_DNS_DOMAIN", "sd2e.org")
    assert typeduuid.catalog_uuid("tacos") == usual


def test_a_mock_is_stable_and_no_real_identifier() -> None:
    mock = typeduuid.mock("tacos", "sample")
    assert mock == typeduuid.mock("tacos", "sample")
    assert mock != typeduuid.generate("tacos", "sample")
    assert typeduuid.get_uuidtype(mock) == "sample"


@pytest.mark.parametrize("make", [typeduuid.generate, typeduuid.mock])
def test_without_a_text_each_uuid_is_new(make: Any) -> None:
    assert len({make(uuid_type="file") for _ in range(20)}) == 20


@given(st.uuids())
@settings(deadline=None, database=None, max_examples=40)
def test_hashids_lose_nothing(value: uuid.UUID) -> None:
    assert typeduuid.hashid_to_uuid(typeduuid.uuid_to_hashid(str(value))) == str(value)


@pytest.mark.parametrize("text", ["", "tacos!", "Nd Nd", "_"])
def test_other_texts_are_no_hashids(text: str) -> None:
    with pytest.raises(ValueError, match=r"^.* is not the hashid of a UUID$"):
        typeduuid.hashid_to_uuid(text)
