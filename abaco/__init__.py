"""A local Abaco: the HTTP service that hosts actors on one machine.

It speaks the Abaco v2 API and knows nothing about what its actors do. `store` keeps the state of
the platform, `workers` run the actors' processes, `http` is the API.
"""
