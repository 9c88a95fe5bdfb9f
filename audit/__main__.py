"""`make audit`: known vulnerabilities, dangerous code, secrets."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from audit import checks
from audit.accepted import Acceptance


def main(folder: Path) -> int:
    """Audit the project in a folder; return the exit code, 1 if something was found."""
    accepted = Acceptance(folder)
    failed = False
    looks = (checks.vulnerabilities, checks.code, checks.secrets)
    with ThreadPoolExecutor() as side_by_side:
        looking = [(look.__name__, side_by_side.submit(look, folder, accepted)) for look in looks]
    for title, looked in looking:
        try:
            found = looked.result()
        except checks.Unreachable as error:
            print(f"{title}: not looked for, the service cannot be reached: {error}")
            continue
        except checks.Failed as error:
            print(f"{title}: {error}")
            failed = True
            continue
        print(f"{title}: {len(found) or 'nothing'} found")
        for line in found:
            print(f"  {line}")
        failed = failed or bool(found)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(Path.cwd()))
