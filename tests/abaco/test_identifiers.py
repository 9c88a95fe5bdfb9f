from __future__ import annotations

from hashids import Hashids
from hypothesis import given
from hypothesis import strategies as st

from abaco import identifiers


@given(st.integers(0, 2**64 - 1) | st.integers(0, 10_000))
def test_a_number_is_written_as_hashids_writes_it(number: int) -> None:
    assert identifiers.encoded(number) == Hashids(salt="eJa5wZlEX4eWU").encode(number)


def test_a_new_identifier_is_one_and_its_own() -> None:
    made = {identifiers.new() for _ in range(100)}
    assert len(made) == 100
    assert all(map(identifiers.is_identifier, made))
