"""A dictionary whose keys can be read as attributes."""

from __future__ import annotations

from typing import Any


class AttrDict(dict[str, Any]):
    """`settings.mongodb.authn` for `settings["mongodb"]["authn"]`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for key, value in self.items():
            if isinstance(value, dict) and not isinstance(value, AttrDict):
                self[key] = AttrDict(value)

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value
