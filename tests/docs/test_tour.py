"""The recording of the tour, and the picture that is drawn of it."""

from __future__ import annotations

import json
import re
import socket
import tempfile
from pathlib import Path
from xml.etree import ElementTree

import pytest

from docs import record_tour, render_tour
from docs.record_tour import MASK, Event
from tests.docs.pages import text_of

MAX_BYTES = 300_000


@pytest.fixture(scope="module")
def recording() -> str:
    return render_tour.CAST.read_text()


@pytest.fixture(scope="module")
def shown(recording: str) -> str:
    """All that the terminal was sent, in one string."""
    return "".join(text for _, _, text in map(json.loads, recording.splitlines()[1:]))


def test_the_recording_has_the_format_of_asciinema(recording: str) -> None:
    head, *events = map(json.loads, recording.splitlines())
    assert head["version"] == 2
    assert {type(head[name]) for name in ("width", "height")} == {int}
    assert len(events) > 50
    for seconds, code, text in events:
        assert isinstance(seconds, float)
        assert isinstance(text, str)
        assert code == "o"
    moments = [seconds for seconds, *_ in events]
    assert moments == sorted(moments)
    assert moments[-1] < 90


def test_the_recording_was_made_of_what_the_programs_print(shown: str) -> None:
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)
    for said in ("Ctrl-C stops it.", '"state": "FINISHED"', "jobs with problems: 0"):
        assert said in plain
    assert re.findall(r"^ +(\d)  [-\d]+ [:\d]+  (\w+)", plain, re.MULTILINE) == [
        ("0", "create"),
        ("1", "run"),
        ("2", "finish"),
    ]


def test_no_secret_and_nothing_of_the_machine_is_in_the_recording(shown: str) -> None:
    # a table folds long words
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\s", "", shown)
    assert not re.search(r"[0-9a-f]{40}|SD2E_\w", plain)
    secrets = re.findall(r"(?:token=|code=|x-nonce=|withtoken)(.)", plain)
    assert len(secrets) >= 4
    assert set(secrets) == {MASK}
    own = (socket.gethostname(), tempfile.gettempdir(), str(Path.home()))
    assert [name for name in own if name in plain] == []


def test_a_secret_that_a_table_has_folded_is_blacked_out() -> None:
    word = "tacosalsachilies"
    events = [Event(0.0, f"token={word[:5]}\r\n\x1b[1m     \x1b[0m {word[5:]}&uuid=107")]
    (masked,) = record_tour.without([word], events)
    assert masked.text == f"token={MASK * 5}\r\n\x1b[1m     \x1b[0m {MASK * 11}&uuid=107"
    halves = [Event(0.0, word[:5]), Event(1.0, word[5:])]
    with pytest.raises(ValueError, match="still in the recording"):
        record_tour.without([word], halves)


def test_the_picture_is_what_the_script_makes_of_the_recording(recording: str) -> None:
    picture = render_tour.SVG.read_text()
    assert picture == render_tour.render(recording)
    assert len(picture.encode()) < MAX_BYTES
    ElementTree.fromstring(picture)  # noqa: S314 - it was made here
    assert "prefers-reduced-motion" in picture
    assert not re.search(r"<script|@import|https?://(?!www\.w3\.org|127\.0\.0\.1)", picture)
    assert f"docs/images/{render_tour.SVG.name}" in text_of("README.md")
