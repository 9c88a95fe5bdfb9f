from __future__ import annotations

import pytest
from hashids import Hashids

from datacatalog.identifiers import abaco
from tests.datacatalog.vectors import VECTORS


def test_each_new_id_is_an_abaco_id_of_its_own() -> None:
    made = [abaco.generate() for _ in range(20)]
    assert len(set(made)) == 20
    assert all(abaco.validate(name) for name in made)


def test_an_id_is_the_upper_half_of_a_version_1_uuid() -> None:
    (number,) = Hashids(salt="eJa5wZlEX4eWU").decode(abaco.generate())
    assert number < 2**64
    assert number >> 12 & 0xF == 1


@pytest.mark.parametrize(
    "name", [VECTORS["pipelines"]["job_manager_id"], "D0ZxR0wPLpoJA", "wgqobY6wgkQJQ"]
)
def test_ids_of_real_actors_are_accepted(name: str) -> None:
    assert abaco.validate(name)


@pytest.mark.parametrize("text", ["", "jobs-manager", "eqMyqq4xB1Lqb", "not a hashid"])
def test_other_texts_are_refused(text: str) -> None:
    assert not abaco.validate(text, permissive=True)
    with pytest.raises(ValueError) as refused:
        abaco.validate(text)
    assert str(refused.value) == f"{text} is not an Abaco id"
