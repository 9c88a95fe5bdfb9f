from __future__ import annotations

import datetime
import itertools
from xml.etree import ElementTree as ET

import pytest

from pipelinejobs import formatting
from pipelinejobs.graph import Path, Spell
from pipelinejobs.page import timeline

NOON = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.timezone.utc)
HOUR = datetime.timedelta(hours=1)


def path(*spells: tuple[str, float]) -> Path:
    """Return a path through states, each begun so many hours after noon."""
    found = [Spell(state, NOON + hours * HOUR, "event") for state, hours in spells]
    for spell, following in itertools.pairwise(found):
        spell.until = following.since
    return Path(found)


def bars(drawing: str) -> dict[str, list[tuple[float, float]]]:
    """Return where the bars of each state begin, and how wide they are."""
    root = ET.fromstring(drawing)  # noqa: S314 - our own
    return {
        row.get("data-state", ""): [
            (float(bar.get("x", "").strip("%")), float(bar.get("width", "").strip("%")))
            for bar in row.iter("rect")
        ]
        for row in root
        if row.get("data-state")
    }


def test_bars_are_as_long_as_the_times() -> None:
    drawn = bars(
        timeline.drawn(path(("CREATED", 0), ("RUNNING", 1), ("FAILED", 4)), NOON + 9 * HOUR)
    )
    ((created, short),), ((running, long),) = drawn["CREATED"], drawn["RUNNING"]
    assert long == pytest.approx(3 * short, abs=0.1)
    assert running == pytest.approx(created + short, abs=0.1)
    # what is over is not drawn on until now
    ((failed, narrow),) = drawn["FAILED"]
    assert narrow == timeline._SHORTEST
    assert failed + narrow == pytest.approx(running + long, abs=0.1)


def test_a_job_at_work_is_drawn_until_now() -> None:
    drawn = bars(timeline.drawn(path(("CREATED", 0), ("RUNNING", 1)), NOON + 4 * HOUR))
    ((_, created),), ((_, running),) = drawn["CREATED"], drawn["RUNNING"]
    assert running == pytest.approx(3 * created, abs=0.1)


def test_a_state_has_one_row_however_often_it_was_come_to() -> None:
    spells = path(("FINISHED", 0), ("INDEXING", 1), ("FINISHED", 2), ("INDEXING", 3))
    drawn = bars(timeline.drawn(spells, NOON + 4 * HOUR))
    assert list(drawn) == ["FINISHED", "INDEXING"]
    assert [len(found) for found in drawn.values()] == [2, 2]


def test_it_stays_bounded() -> None:
    many = path(*(("RUNNING" if n % 2 else "CREATED", n) for n in range(5000)))
    assert sum(map(len, bars(timeline.drawn(many, NOON + 5000 * HOUR)).values())) == 500
    assert timeline.drawn(Path()) == ""


def test_a_row_shows_how_dense_the_events_were() -> None:
    quick = [NOON + n * datetime.timedelta(seconds=1) for n in range(400)]
    spells = path(("CREATED", 0), ("RUNNING", 1))
    spells.dates = [NOON, NOON + HOUR, *(date + 2 * HOUR for date in quick), NOON + 9 * HOUR]
    drawing = timeline.drawn(spells, NOON + 10 * HOUR)
    root = ET.fromstring(drawing)  # noqa: S314 - our own
    (row,) = (row for row in root if row.get("class") == "density")
    shown = [rect.findtext("title", "") for rect in row.iter("rect")]
    counts = [int(told.split()[0]) for told in shown]
    assert sum(counts) == 403
    # the 400 updates are a burst of seven minutes in ten hours, the others stand alone
    assert max(counts) > 100
    assert counts.count(1) == 3
    assert row[-1].text == "403"


def test_a_job_without_repeated_events_needs_no_such_row() -> None:
    spells = path(("CREATED", 0), ("RUNNING", 1))
    spells.dates = [spell.since for spell in spells.spells]
    assert "density" not in timeline.drawn(spells, NOON + 4 * HOUR)


def test_it_is_told_in_words() -> None:
    told = timeline.describe(path(("CREATED", 0), ("RUNNING", 1.25), ("FINISHED", 30)), NOON)
    assert told == (
        "The job was CREATED for 1 h 15 min, then RUNNING for 1 d 4 h, "
        "then FINISHED since 2026-03-02 18:00:00 UTC"
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "under 1 s"), (59.6, "1 min"), (61, "1 min 1 s"), (3600, "1 h"), (90_061, "1 d 1 h")],
)
def test_durations(seconds: float, text: str) -> None:
    assert formatting.duration(seconds) == text
