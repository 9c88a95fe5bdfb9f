"""Stores: the only place that talks to MongoDB, one module for each kind of document."""
