from __future__ import annotations

import datetime
import re

from datacatalog.identifiers import interestinganimal


def test_a_name_is_an_adjective_and_an_animal() -> None:
    assert re.fullmatch(r"[a-z]+-[a-z]+", interestinganimal.generate())


def test_names_vary() -> None:
    assert len({interestinganimal.generate() for _ in range(20)}) > 1


def test_an_instanced_name_ends_in_the_time() -> None:
    moment = datetime.datetime(2020, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
    assert interestinganimal.instanced("solid-snake", moment) == "solid-snake-20200102T030405Z"


def test_without_a_time_it_is_now() -> None:
    before = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    name = interestinganimal.generate(timestamp=True)
    after = datetime.datetime.now(datetime.timezone.utc)
    stamp = datetime.datetime.strptime(name.rsplit("-", 1)[1], "%Y%m%dT%H%M%S%z")
    assert before <= stamp <= after
