"""The steps of the actor, one module each, in the order in which `reactor.py` takes them.

`settings` → `messages` (what kind is it) → `authorization` (who may) → `actions` (do it) →
`announcements` (tell the subscribers).
"""
