"""The workers: each runs one message of its actor at a time, in a process.

`pool` knows all workers, `worker` is one of them, `processes` starts what runs the actor's code,
`environment` and `workspace` are what that process finds, `host` is the program of a warm one.
"""
