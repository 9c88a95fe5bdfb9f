"""What such actors bring along for the package `attrdict`, which Python 3.10 and later cannot import.

It does as that one did: what is read as an attribute is a copy, and its lists are tuples.
"""

from collections.abc import Mapping


class AttrDict(dict):
    def __getattr__(self, name):
        if name.startswith("_") or name not in self:
            raise AttributeError(name)
        return _attributes(self[name])

    def __setattr__(self, name, value):
        self[name] = value

    def __delattr__(self, name):
        del self[name]


def _attributes(value):
    if isinstance(value, Mapping):
        return AttrDict(value)
    if isinstance(value, (list, tuple)):
        return tuple(_attributes(member) for member in value)
    return value
