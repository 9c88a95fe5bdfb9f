"""The roles of users that Abaco knows (spec: abaco-v2, 0.1); who has none of them may do nothing."""

from __future__ import annotations

EVERYONE = "Internal/everyone"
PRIVILEGED = "Internal/abaco-privileged"
ADMIN = "Internal/abaco-admin"
ROLES = (EVERYONE, "Internal/abaco-user", "Internal/abaco-limited", PRIVILEGED, ADMIN)
