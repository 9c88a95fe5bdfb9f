from __future__ import annotations

import datetime
import json
import math
from typing import Any

import bson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datacatalog import documents
from datacatalog.linkedstores.pipelinejob import (
    JobCreateFailure,
    JobUpdateFailure,
    PipelineJobStore,
)
from datacatalog.mongo import Db, Document

KIB = 1024
AWKWARD: dict[str, dict[str, Any]] = {
    "dots": {"a.b": {"c.d.": 1, ".": 2, "..": 3}},
    "dollars": {"$set": {"$inc": {"a": 1}}, "$": 1, "a$": 2, "$$ROOT": 3, "$.x": 4},
    "percent signs": {"%": 1, "%24": 2, "%2524": 3, "%00": 4, "100%": 5, "$%24": 6},
    "NUL": {"a\0b": "c\0d", "\0": 1, "$\0%": 2, "%\0": 3},
    "empty keys": {"": {"": {"": []}}},
    "a reference": {"$ref": "jobs", "$id": 1, "$db": "admin"},
    "a date in extended JSON": {"$date": "2020-01-01T00:00:00Z"},
    "code": {"$code": "while(1);", "$scope": {}},
    "keys of the catalog": {"_id": 1, "uuid": 2, "history": [], "_salt": "x", "__proto__": {}},
    "unicode": {"ключ": "árbol ∆ 中文 🐍", "e\u0301": "é", "\u202e": "\ufeff\ufffd\u2028"},
    "nested lists": {"a": [[], [[]], [[1, [2, [None]]], {"b": [{}]}]]},
    "null and booleans": {"a": None, "b": True, "c": False, "d": [None, True]},
    "numbers": {"a": 1, "b": 1.0, "c": 2**63 - 1, "d": -(2**63), "e": 1e308, "f": 5e-324},
    "a large text": {"a": "x" * 100 * KIB, "b": "🐍" * 25 * KIB},
    "a large list": {"a": list(range(15_000))},
    "many keys": {f"key.{number}": number for number in range(4000)},
}
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text() | st.text(alphabet="$%.0245\0"), inner, max_size=4)
    ),
    max_leaves=20,
)


def exact(value: Any) -> str:
    """Return a string that tells 1, 1.0 and True apart."""
    return json.dumps(value, sort_keys=True)


def nested(levels: int) -> Any:
    """Return lists in lists, so many of them."""
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


@pytest.mark.parametrize("name", AWKWARD)
def test_a_value_comes_back_from_the_database_as_it_went_in(name: str, db: Db) -> None:
    value = AWKWARD[name]
    documents.check(value)
    db["things"].insert_one({"value": documents.encode(value)})
    stored = db["things"].find_one({})
    assert stored is not None
    assert exact(documents.decode(stored["value"])) == exact(value)


@pytest.mark.parametrize("name", AWKWARD)
def test_a_job_keeps_its_data_and_that_of_its_events(
    name: str, jobs: PipelineJobStore, pipeline: Document
) -> None:
    value = AWKWARD[name]
    fields = {"pipeline_uuid": pipeline["uuid"], "archive_path": "/products/v2/a", "data": value}
    made = jobs.create(fields)
    jobs.handle({"uuid": made["uuid"], "name": "run", "data": value}, made["_update_token"])
    found = jobs.find_one_by_uuid(made["uuid"])
    assert found is not None
    assert exact(found["data"]) == exact(value)
    assert [exact(entry["data"]) for entry in found["history"]] == [exact(value)] * 2
    assert [exact(job["data"]) for job in jobs.find(uuid=made["uuid"])] == [exact(value)]


def test_tuples_are_kept_as_lists(jobs: PipelineJobStore, pipeline: Document) -> None:
    class Settings(dict[str, Any]):
        """What callers have in place of a plain dictionary."""

    fields = {"pipeline_uuid": pipeline["uuid"], "archive_path": "/products/v2/a"}
    made = jobs.create({**fields, "data": {"a": (1, ({"$b": ()},))}})
    assert made["data"] == {"a": [1, [{"$b": []}]]}
    same = jobs.create({**fields, "data": Settings(a=[1, [Settings({"$b": []})]])})
    assert same["uuid"] == made["uuid"]
    event = {"uuid": made["uuid"], "name": "run", "data": Settings(a=({"$b": (1, 2)},))}
    handled = jobs.handle(event, made["_update_token"])
    assert handled["history"][-1]["data"] == {"a": [{"$b": [1, 2]}]}
    with pytest.raises(JobUpdateFailure, match=r"'data\.a\[1\]' is a set"):
        jobs.handle({**event, "data": {"a": (1, set())}}, made["_update_token"])


@given(JSON)
@settings(deadline=None, database=None, max_examples=40)
def test_decoding_undoes_encoding(value: Any) -> None:
    assert exact(documents.decode(documents.encode(value))) == exact(value)


@given(JSON)
@settings(deadline=None, database=None, max_examples=40)
def test_whatever_is_accepted_survives_bson(value: Any) -> None:
    documents.check(value)
    stored = bson.decode(bson.encode({"value": documents.encode(value)}))
    assert exact(documents.decode(stored["value"])) == exact(value)


@given(st.text(alphabet="$%.0245\0a"), st.text(alphabet="$%.0245\0a"))
@settings(deadline=None, database=None, max_examples=40)
def test_different_keys_stay_different(one: str, other: str) -> None:
    assert len(documents.encode({one: 1, other: 2})) == len({one, other})


def test_ordinary_keys_are_stored_as_they_are() -> None:
    value = {"tacos": {"a.b": [{"c$d": 1}]}, "ключ": 2}
    assert documents.encode(value) == value


@given(JSON)
@settings(deadline=None, database=None, max_examples=40)
def test_the_canonical_text_is_the_same_for_equal_values(value: Any) -> None:
    text = documents.check(value)
    assert exact(json.loads(text)) == exact(value)
    if isinstance(value, dict):
        assert documents.check(dict(reversed(value.items()))) == text


DEEP = 66
LIMIT = "at most 1,048,576 are kept: send a reference to the content instead"
REFUSED = {
    "too deep": (
        {"a": nested(DEEP)},
        f"'data.a{'[0]' * 24}[0…' is nested more than 64 levels deep",
    ),
    "far too deep": (
        nested(900),
        f"'data{'[0]' * 25}[…' is nested more than 64 levels deep",
    ),
    "too large": (
        {"a": "x" * KIB * KIB},
        f"'data' has 1,048,584 bytes, {LIMIT}",
    ),
    "too large in bytes": (
        ["🐍" * (256 * KIB)],
        f"'data' has 1,048,580 bytes, {LIMIT}",
    ),
    "not a number": ({"a": [1, math.nan]}, "'data.a[1]' is nan, which JSON cannot say"),
    "infinite": ({"a": math.inf}, "'data.a' is inf, which JSON cannot say"),
    "minus infinite": ([-math.inf], "'data[0]' is -inf, which JSON cannot say"),
    "beyond 64 bits": ({"a": 2**63}, "'data.a' is a number beyond 64 bits: send it as text"),
    "far below": ({"a": -(2**63) - 1}, "'data.a' is a number beyond 64 bits: send it as text"),
    "half a character": (
        {"a": "\ud83d"},
        "'data.a' has a lone surrogate, which is not a character",
    ),
    "half a character in a key": (
        {"a": {"\udc0d": 1}},
        "'data.a' has a lone surrogate, which is not a character",
    ),
    "a date": (
        {"a": datetime.date(2020, 1, 2)},
        "'data.a' is a date, which JSON does not have",
    ),
    "bytes": ({"a": b"x"}, "'data.a' is a bytes, which JSON does not have"),
    "a set": ({"a": {1}}, "'data.a' is a set, which JSON does not have"),
    "a number as key": (
        {"a": {1: 2}},
        "'data.a' has the key 1, and only strings can be keys",
    ),
    "nothing as key": ({None: 1}, "'data' has the key None, and only strings can be keys"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_stored_is_refused_by_name(name: str) -> None:
    value, message = REFUSED[name]
    with pytest.raises(documents.DocumentError) as refused:
        documents.check(value)
    assert str(refused.value) == message
    assert isinstance(refused.value, ValueError)


@pytest.mark.parametrize("name", REFUSED)
def test_a_store_refuses_it_too_and_keeps_nothing(
    name: str, jobs: PipelineJobStore, job: Document, pipeline: Document, db: Db
) -> None:
    value, message = REFUSED[name]
    before = db["jobs"].find_one({})
    with pytest.raises(JobUpdateFailure) as event:
        jobs.handle({"uuid": job["uuid"], "name": "run", "data": value}, job["_update_token"])
    assert str(event.value).endswith(message)
    fields = {"pipeline_uuid": pipeline["uuid"], "archive_path": "/products/v2/a", "data": value}
    with pytest.raises(JobCreateFailure) as create:
        jobs.create(fields)
    assert str(create.value).endswith(message)
    assert list(db["jobs"].find({})) == [before]
    assert db["rejected_events"].count_documents({}) == 0


def test_exactly_the_largest_and_deepest_values_are_kept(
    jobs: PipelineJobStore, job: Document
) -> None:
    largest, deepest = {"a": "x" * (KIB * KIB - 8)}, nested(DEEP - 1)
    assert len(documents.check(largest)) == KIB * KIB
    for value in (largest, deepest):
        jobs.handle({"uuid": job["uuid"], "name": "run", "data": value}, job["_update_token"])
    assert [entry["data"] for entry in jobs.history(job["uuid"], skip=1)] == [largest, deepest]


def test_a_long_place_is_cut_in_the_message() -> None:
    with pytest.raises(documents.DocumentError) as refused:
        documents.check({"k" * 200: math.nan}, "data")
    place = "data." + "k" * 75
    assert str(refused.value) == f"'{place}…' is nan, which JSON cannot say"
