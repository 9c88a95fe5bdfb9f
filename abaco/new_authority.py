"""Makes a certificate authority, and prints its certificate and its key as JSON.

`abaco.certificates` runs it as a process of its own: the library that it takes would cost a gateway 8 MiB for
as long as it runs.
"""

from __future__ import annotations

import json
import sys

import trustme


def main(organization: str) -> None:
    """Make an authority of this name, and print it."""
    made = trustme.CA(path_length=0, organization_name=organization)
    pems = {"certificate": made.cert_pem, "key": made.private_key_pem}
    json.dump({name: pem.bytes().decode() for name, pem in pems.items()}, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
