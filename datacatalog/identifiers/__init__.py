"""Identifiers: typed UUIDs, Abaco and Agave ids, session names."""
