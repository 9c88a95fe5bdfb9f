"""The roles that Abaco knows. A user who has none of them may do nothing.

The rules are in docs/reference/abaco.md#authentication.
"""

from __future__ import annotations

EVERYONE = "Internal/everyone"
PRIVILEGED = "Internal/abaco-privileged"
ADMIN = "Internal/abaco-admin"
ROLES = (EVERYONE, "Internal/abaco-user", "Internal/abaco-limited", PRIVILEGED, ADMIN)
