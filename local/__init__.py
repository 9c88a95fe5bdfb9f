"""What a machine without a platform needs: a database of its own, and a demonstration.

Neither the image nor the libraries use this package.
"""

from __future__ import annotations

import datacatalog  # noqa: F401 - before `pymongo`, which then does without `cryptography`
