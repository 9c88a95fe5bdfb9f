"""The catalog's settings, read from an environment."""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_DNS_DOMAIN = "sd2e.org"
DEFAULT_ADMIN_LIFETIME = 3600


@dataclass(frozen=True)
class CatalogSettings:
    """What the `CATALOG_*` and `TACC_*` variables say; see the table in the README."""

    dns_domain: str = DEFAULT_DNS_DOMAIN
    storage_system: str = "data-sd2e-community"
    records_source: str = "jobs-manager"
    api_server: str = "https://api.sd2e.org"
    owner: str = "sd2eadm"
    project: str = "SD2E-Community"
    tenant: str = "sd2e"
    admin_key: str = field(default="", repr=False)
    admin_secret: str = field(default="", repr=False)
    admin_lifetime: int = DEFAULT_ADMIN_LIFETIME

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] | None = None) -> CatalogSettings:
        """Read the settings from `environ`, by default the process's own.

        Raises:
            ValueError: `CATALOG_ADMIN_TOKEN_LIFETIME` is not a positive whole number.
        """
        source = os.environ if environ is None else environ
        texts = {
            "dns_domain": "CATALOG_DNS_DOMAIN",
            "storage_system": "CATALOG_STORAGE_SYSTEM",
            "records_source": "CATALOG_RECORDS_SOURCE",
            "api_server": "TACC_API_SERVER",
            "owner": "TACC_USERNAME",
            "project": "TACC_PROJECT_NAME",
            "tenant": "TACC_TENANT",
            "admin_key": "CATALOG_ADMIN_TOKEN_KEY",
            "admin_secret": "CATALOG_ADMIN_TOKEN_SECRET",
        }
        given: dict[str, Any] = {
            name: source[variable] for name, variable in texts.items() if source.get(variable)
        }
        lifetime = source.get("CATALOG_ADMIN_TOKEN_LIFETIME") or str(DEFAULT_ADMIN_LIFETIME)
        if not lifetime.isascii() or not lifetime.isdigit() or int(lifetime) == 0:
            message = (
                f"CATALOG_ADMIN_TOKEN_LIFETIME is {lifetime!r}: give a positive number of seconds"
            )
            raise ValueError(message)
        return cls(admin_lifetime=int(lifetime), **given)

    @property
    def namespace(self) -> uuid.UUID:
        """The namespace of this catalog's typed UUIDs (spec: jobs, section 4)."""
        return uuid.uuid3(uuid.NAMESPACE_DNS, self.dns_domain)
