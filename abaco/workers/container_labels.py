"""The labels by which gateways and nodes know their containers again."""

from __future__ import annotations

GATEWAY_LABEL = "abaco.gateway"
"""Of every container: whose it is, so that a later gateway finds what an earlier one left."""
WORKER_LABEL = "abaco.worker"
"""Of every container: the worker whose message it runs."""
EXECUTION_LABEL, FENCE_LABEL = "abaco.execution", "abaco.fence"
"""Of every container of a node: the execution that it runs, and which taking of it."""
