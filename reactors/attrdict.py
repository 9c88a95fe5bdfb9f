"""A dictionary whose keys can be read as attributes."""

from __future__ import annotations

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


def _with_attributes(value: Any) -> Any:
    if isinstance(value, dict):
        return value if isinstance(value, AttrDict) else AttrDict(value)
    if isinstance(value, list):
        return [_with_attributes(member) for member in value]
    return value
