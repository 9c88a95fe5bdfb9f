"""Jobs, pipelines and what they refer to, kept in MongoDB.

`identifiers` and `tokens` are pure functions, `linkedstores` talks to the database, `managers` puts
the stores together for the actors that create and follow jobs.
"""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

if PathFinder.find_spec("service_identity") is None:
    # pymongo looks for what OCSP takes: it imports `cryptography` first, and then finds that this is missing.
    # That would be an eighth of a cold start, and 8 MiB of each process
    sys.modules.setdefault("pymongo.pyopenssl_context", None)  # type: ignore[arg-type]


def importing(package: str) -> Callable[[str], ModuleType]:
    """Return the `__getattr__` of a package that imports a module of it when that is asked for.

    Actors of the original import a package and name its modules: `linkedstores.file.FileStore`.
    """

    def find(name: str) -> ModuleType:
        module = f"{package}.{name}"
        try:
            return importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name != module:
                raise
            message = f"module {package!r} has no attribute {name!r}"
            raise AttributeError(message) from None

    return find


if not TYPE_CHECKING:  # else every name would be one of the package
    __getattr__ = importing(__name__)
