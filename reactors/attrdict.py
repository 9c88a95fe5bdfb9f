"""A dictionary whose keys can be read as attributes."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any


class AttrDict(dict[str, Any]):
    """`settings.mongodb.authn` for `settings["mongodb"]["authn"]`, also in the members of lists."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for key, value in self.items():
            self[key] = _with_attributes(value)

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = _with_attributes(value)

    def __delattr__(self, name: str) -> None:
        try:
            del self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __add__(self, other: Any) -> AttrDict:
        return _sum(self, other) if isinstance(other, Mapping) else NotImplemented

    def __radd__(self, other: Any) -> AttrDict:
        return _sum(other, self) if isinstance(other, Mapping) else NotImplemented


def merge(base: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Write keys into a dictionary; those of a dictionary that both have are merged likewise."""
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            merge(base[key], value)
        else:
            base[key] = value


def _sum(first: Mapping[str, Any], second: Mapping[str, Any]) -> AttrDict:
    both = copy.deepcopy(dict(first))
    merge(both, second)
    return AttrDict(both)


def _with_attributes(value: Any) -> Any:
    if isinstance(value, dict):
        return value if isinstance(value, AttrDict) else AttrDict(value)
    if isinstance(value, list):
        return [_with_attributes(member) for member in value]
    return value
