from __future__ import annotations

import time

import pytest

from abaco.passes import SECONDS, Passes


def test_a_pass_tells_the_token_that_it_stands_for() -> None:
    here = Passes()
    assert here.token_id(here.make("3Zb8XQkKOvWwD")) == "3Zb8XQkKOvWwD"


def test_a_pass_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    here, now = Passes(), time.time()
    made = here.make("3Zb8XQkKOvWwD")
    monkeypatch.setattr(time, "time", lambda: now + SECONDS + 1)
    assert here.token_id(made) is None


@pytest.mark.parametrize("shown", ["", ".", "pass.x.9999999999", "pass.x.9999999999.", "a.b.c.ä"])
def test_what_is_no_pass_stands_for_nothing(shown: str) -> None:
    assert Passes().token_id(shown) is None


def test_a_pass_of_another_process_stands_for_nothing() -> None:
    assert Passes().token_id(Passes().make("3Zb8XQkKOvWwD")) is None
    here = Passes()
    assert here.token_id(here.make("3Zb8XQkKOvWwD").replace("3Zb8", "3Zb9")) is None
