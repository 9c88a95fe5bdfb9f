"""Actors that others have written, together with the manager on one gateway.

`actors/` has each of them as a folder, as it would be in an image: a program, its settings, the
schema of its messages. They are written as callers of the original packages wrote theirs, and must
run on ours as they are. `platform` is the tenant around the gateway, with a jobs service.
"""
