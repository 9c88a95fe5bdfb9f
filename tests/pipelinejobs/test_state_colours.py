"""The colours of states: can they be told apart, by whom, and on which ground?"""

from __future__ import annotations

import itertools
import math

import pytest

from datacatalog.linkedstores.pipelinejob import fsm
from pipelinejobs import state_colours
from pipelinejobs.page import plots, rendering

_CONES = {
    "all colours": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "no red": ((0.152, 1.053, -0.205), (0.115, 0.786, 0.099), (-0.004, -0.048, 1.052)),
    "no green": ((0.367, 0.861, -0.228), (0.280, 0.673, 0.047), (-0.012, 0.043, 0.969)),
    "no blue": ((1.256, -0.077, -0.179), (-0.078, 0.931, 0.148), (0.005, 0.691, 0.304)),
}
"""How people see linear RGB (Machado, Oliveira and Fernandes, 2009)."""
_GROUNDS = {"light": "#ffffff", "dark": "#161b22"}


def _linear(colour: str) -> list[float]:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    return [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]


def _lab(rgb: list[float]) -> tuple[float, float, float]:
    red, green, blue = rgb
    xyz = (
        (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.9505,
        0.2126 * red + 0.7152 * green + 0.0722 * blue,
        (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.089,
    )
    x, y, z = (c ** (1 / 3) if c > 0.008856 else 7.787 * c + 16 / 116 for c in xyz)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def _seen(colour: str, eyes: str) -> tuple[float, float, float]:
    rgb = _linear(colour)
    made = [sum(m * c for m, c in zip(row, rgb, strict=True)) for row in _CONES[eyes]]
    return _lab([min(1.0, max(0.0, c)) for c in made])


def _contrast(one: str, other: str) -> float:
    low, high = sorted(
        sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), _linear(colour), strict=True))
        for colour in (one, other)
    )
    return (high + 0.05) / (low + 0.05)


def test_every_state_has_a_colour() -> None:
    assert set(state_colours.COLOURS) == set(fsm.STATES)
    assert state_colours.terminal_style("FINISHED") == "green"
    assert state_colours.terminal_style("a session") == ""


@pytest.mark.parametrize("ground", _GROUNDS)
@pytest.mark.parametrize("eyes", _CONES)
def test_the_ends_of_a_run_are_told_apart(ground: str, eyes: str) -> None:
    ends = {end: getattr(state_colours.COLOURS[end], ground) for end in plots.ENDS}
    for one, other in itertools.combinations(ends, 2):
        distance = math.dist(_seen(ends[one], eyes), _seen(ends[other], eyes))
        assert distance > 20, (one, other, distance)


@pytest.mark.parametrize("ground", _GROUNDS)
def test_a_colour_stands_out_from_the_ground(ground: str) -> None:
    for state, colour in state_colours.COLOURS.items():
        assert _contrast(getattr(colour, ground), _GROUNDS[ground]) > 2, state


def test_the_page_has_the_same_colours() -> None:
    css = rendering.static_file("page.css")[0].decode()
    for state, colour in state_colours.COLOURS.items():
        name = f"--state-{state.lower()}"
        assert f"{name}: light-dark({colour.light}, {colour.dark})" in css
        assert f".state-{state.lower()} {{ --ink: var({name}) }}" in css
