"""The part of the Actors SDK that actors import: `from reactors.runtime import Reactor`.

It knows Abaco: its environment, its messages, its results socket. It knows nothing about jobs.
"""
