"""Jobs, pipelines and what they refer to, kept in MongoDB.

`identifiers` and `tokens` are pure functions, `linkedstores` talks to the database, `managers` puts
the stores together for the actors that create and follow jobs.
"""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder

if PathFinder.find_spec("service_identity") is None:
    # pymongo looks for what OCSP takes: it imports `cryptography` first, and then finds that this is missing.
    # That would be an eighth of a cold start, and 8 MiB of each process
    sys.modules.setdefault("pymongo.pyopenssl_context", None)  # type: ignore[arg-type]
