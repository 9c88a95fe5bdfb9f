"""The name under which uploads are indexed by other actors."""

from datacatalog.managers.pipelinejobs.indexing import Indexed, Indexer

__all__ = ["Indexed", "Indexer"]
