from __future__ import annotations

import pytest

from abaco.workers.fate import MAX_ATTEMPTS, MAX_FAILURES, Facts, Fate, decide


@pytest.mark.parametrize(
    ("facts", "fate"),
    [
        (Facts(), Fate.ENDED),
        # whoever stops it means it
        (Facts(stopped=True, killed=True), Fate.ENDED),
        (Facts(stopped=True, aborted=True, unavailable=True), Fate.ENDED),
        # what ends by itself while the gateway does has ended
        (Facts(aborted=True), Fate.ENDED),
        (Facts(aborted=True, killed=True, attempts=MAX_ATTEMPTS), Fate.AGAIN),
        (Facts(aborted=True, failed=True, failures=MAX_FAILURES), Fate.AGAIN),
        (Facts(failed=True, failures=MAX_FAILURES - 1), Fate.AGAIN),
        (Facts(failed=True, failures=MAX_FAILURES), Fate.ENDED),
        (Facts(killed=True, attempts=MAX_ATTEMPTS - 2), Fate.AGAIN),
        (Facts(killed=True, attempts=MAX_ATTEMPTS - 1), Fate.ENDED),
        (Facts(unavailable=True), Fate.LATER),
        # who waits for the answer is told, and sends it again
        (Facts(unavailable=True, answered=True), Fate.ENDED),
        (Facts(unavailable=True, answered=True, repeatable=True), Fate.LATER),
    ],
)
def test_what_becomes_of_a_message(facts: Facts, fate: Fate) -> None:
    assert decide(facts) is fate
