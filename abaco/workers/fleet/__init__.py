"""The engine `celery`: messages run on other machines, however many gateways there are.

`engine` is its part in a gateway, `node` the program on each machine (`python -m abaco worker`), `tasks` what its
processes do, `process_workers` the workers in such a process, `leased` the message of one of them. `bell` rings through RabbitMQ for what is in PostgreSQL,
and `sweeper` for what nobody has heard. `membership` keeps away who would run the messages without them.
"""

from __future__ import annotations

CONFIGURATION, NODE, PLATFORM = "ABACO_NODE_CONFIGURATION", "ABACO_NODE_ID", "ABACO_NODE_PLATFORM"
"""The variables that tell the processes of a node what it is, and whose."""
