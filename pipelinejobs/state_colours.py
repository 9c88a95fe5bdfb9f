"""The colours of states: one table for the page, its charts and drawings, and the command line.

What is under way is blue, what went well green, what failed red, what was rejected yellow, what is reset
purple. States of one kind differ in lightness. The ends of a run can be told apart by people who see no red,
no green or no blue, on a light and on a dark ground; everywhere the name of the state is beside or behind it.
"""

from __future__ import annotations

from typing import NamedTuple


class Colour(NamedTuple):
    """What a state looks like.

    Attributes:
        light: on a light ground, as `#rrggbb`.
        dark: on a dark ground.
        terminal: as a style of Rich, so that a terminal shows it in the colours of its user.
    """

    light: str
    dark: str
    terminal: str


COLOURS = {
    "CREATED": Colour("#7fb0f0", "#88e0ff", "cyan"),
    "RUNNING": Colour("#1f5fb0", "#3584c7", "blue"),
    "FAILED": Colour("#a32a0a", "#dc4a34", "red"),
    "FINISHED": Colour("#10b077", "#27bb74", "green"),
    "INDEXING": Colour("#2f3b8c", "#6f86e8", "blue"),
    "VALIDATING": Colour("#6b7bd1", "#9aaef0", "blue"),
    "VALIDATED": Colour("#45c293", "#7ee0ae", "green"),
    "REJECTED": Colour("#dea31f", "#f6c52c", "yellow"),
    "FINALIZED": Colour("#00694a", "#128a56", "bold green"),
    "RETIRED": Colour("#a0959f", "#8b949e", "dim"),
    "RESET": Colour("#6a416e", "#be8bff", "magenta"),
}


def terminal_style(state: str) -> str:
    """Return the style of a state in a terminal; of anything else, none."""
    colour = COLOURS.get(state)
    return "" if colour is None else colour.terminal


def css_class(state: object) -> str:
    """Return the class by which `style_sheet` gives something the colour of a state."""
    return f"state-{state}".lower()


def style_sheet() -> str:
    """Return CSS that gives the classes of states their colour as `--ink`, in light and dark."""
    names = {state: f"--{css_class(state)}" for state in COLOURS}
    inks = "; ".join(
        f"{names[state]}: light-dark({colour.light}, {colour.dark})"
        for state, colour in COLOURS.items()
    )
    rules = [f".{css_class(state)} {{ --ink: var({name}) }}" for state, name in names.items()]
    return "\n".join([f":root {{ {inks} }}", *rules, ""])
