from __future__ import annotations

import pytest

from datacatalog.identifiers import agave


@pytest.mark.parametrize(
    "text",
    ["6583653933928541720-242ac11b-0001-007", "b2da6b2e-fd0c-4a2a-8a71-0c4c3ac1b1b6-007"],
)
def test_ids_of_agave_and_aloe_jobs_are_accepted(text: str) -> None:
    assert agave.validate(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "6583653933928541720-242ac11b-0001-002",
        "6583653933928541720-242ac11b-0001-007\n",
        "x6583653933928541720-242ac11b-0001-007",
        "b2da6b2e-fd0c-4a2a-8a71-0c4c3ac1b1b6",
        "107a6c4a-f354-53d6-b97d-2c497b9b352e",
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    assert not agave.validate(text, permissive=True)
    with pytest.raises(ValueError) as refused:
        agave.validate(text)
    assert str(refused.value) == f"{text} is not the id of an Agave job"
