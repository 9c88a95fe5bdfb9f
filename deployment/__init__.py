"""Brings the actor to a tenant of the platform: image, actor, nonces, alias, logs (`make deploy`).

`settings` is what is deployed, `session` who deploys it and where, `tenant` the API, `clients` the programs
that may stand in for it, `engine` the container engine, `commands` what `make` calls.
"""
