"""`make audit`: known vulnerabilities, dangerous code, secrets."""

from __future__ import annotations

import sys
from pathlib import Path

from audit import checks
from audit.accepted import Acceptance


def main(folder: Path) -> int:
    """Audit the project in a folder; return the exit code, 1 if something was found."""
    accepted = Acceptance(folder)
    failed = False
    for title, look in (
        ("vulnerabilities", checks.vulnerabilities),
        ("code", checks.code),
        ("secrets", checks.secrets),
    ):
        try:
            found = look(folder, accepted)
        except checks.Unreachable as error:
            print(f"{title}: not looked for, the service cannot be reached: {error}")
            continue
        print(f"{title}: {len(found) or 'nothing'} found")
        for line in found:
            print(f"  {line}")
        failed = failed or bool(found)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(Path.cwd()))
