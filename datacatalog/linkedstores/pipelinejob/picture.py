"""The state machine as a PNG, with the way of a job marked; needs the package pygraphviz."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datacatalog.linkedstores.pipelinejob import fsm
from datacatalog.linkedstores.pipelinejob.exceptions import JobError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

EXTRA = "pictures"
"""What of `pyproject.toml` installs the package."""
_VISITED = {"color": "#1769aa", "fillcolor": "#ddf0ff"}
_CURRENT = {"color": "#0b2e4f", "fillcolor": "#1769aa", "fontcolor": "#ffffff"}


def png(title: str, events: Iterable[str]) -> bytes:
    """Return the picture.

    Args:
        title: stands above it.
        events: of a job, oldest first; the state that they lead to stands out.

    Raises:
        JobError: the package is not installed.
    """
    try:
        from pygraphviz import AGraph  # noqa: PLC0415 - optional
    except ImportError as error:
        message = (
            f"no picture is drawn without pygraphviz: pip install 'pipelinejobs-manager[{EXTRA}]'"
        )
        raise JobError(message) from error
    states = list(_states(events))
    graph = AGraph(directed=True, label=title, labelloc="t", fontname="sans-serif", rankdir="LR")
    plain = {"fontname": "sans-serif", "color": "#8c959f"}
    graph.node_attr.update(shape="box", style="rounded,filled", fillcolor="#ffffff", **plain)
    graph.edge_attr.update(fontsize="10", **plain)
    for state in fsm.STATES:
        kind = _CURRENT if state == states[-1] else _VISITED if state in states else {}
        graph.add_node(state, **kind)
    for source, event, target in _edges(states[-1]):
        graph.add_edge(source, target, key=event, label=event)
    drawn: bytes = graph.draw(format="png", prog="dot")
    return drawn


def _states(events: Iterable[str]) -> Iterator[str]:
    state = fsm.FIRST_STATE
    yield state
    for event in events:
        state = fsm.TRANSITIONS[event].target or state
        yield state


def _edges(current: str) -> Iterator[tuple[str, str, str]]:
    """Yield what leads from one state to another; of a reset, which any state has, one from here."""
    for event, transition in fsm.TRANSITIONS.items():
        for source in sorted(transition.sources):
            target = transition.target
            if target not in (None, source) and (event != "reset" or source == current):
                yield source, event, str(target)
