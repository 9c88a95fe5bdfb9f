"""How an update treats the stored document."""

MERGE = "merge"
"""Given fields replace stored ones, the others stay."""

REPLACE = "replace"
"""Given fields are all that the document has."""
