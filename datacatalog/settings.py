"""The catalog's settings, read from an environment."""

from __future__ import annotations

import functools
import os
import uuid
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

API_SERVER, ACTOR, EXECUTION = "_abaco_api_server", "_abaco_actor_id", "_abaco_execution_id"
"""Where an actor runs, its platform says what callbacks have to begin with, and who runs as what."""
_SECRETS = ("admin_key", "admin_secret")


class CatalogSettings(NamedTuple):
    """What the `CATALOG_*` and `TACC_*` variables say; see `docs/settings.md`."""

    dns_domain: str = "sd2e.org"
    storage_system: str = "data-sd2e-community"
    records_source: str = "jobs-manager"
    api_server: str = "https://api.sd2e.org"
    owner: str = "sd2eadm"
    project: str = "SD2E-Community"
    tenant: str = "sd2e"
    admin_key: str = ""
    admin_secret: str = ""
    admin_lifetime: int = 3600
    max_index_filters: int = 100
    max_index_patterns: int = 512
    enforce_tokens: bool = False
    """whether metadata is changed with a token only; jobs always are"""
    local_storage: Mapping[str, str] = MappingProxyType({})
    """storage systems whose files are in a folder of this machine"""

    def __repr__(self) -> str:
        shown = {name: value for name, value in self._asdict().items() if name not in _SECRETS}
        return f"CatalogSettings({', '.join(f'{name}={shown[name]!r}' for name in shown)})"

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] | None = None) -> CatalogSettings:
        """Read the settings from `environ`, by default the process's own.

        Raises:
            ValueError: a number is not a positive whole one, a switch neither true nor false, or `CATALOG_LOCAL_STORAGE` is not of
                the form `system=/folder,system2=/folder2`.
        """
        source = os.environ if environ is None else environ
        texts = {
            "dns_domain": "CATALOG_DNS_DOMAIN",
            "storage_system": "CATALOG_STORAGE_SYSTEM",
            "records_source": "CATALOG_RECORDS_SOURCE",
            "api_server": API_SERVER if source.get(API_SERVER) else "TACC_API_SERVER",
            "owner": "TACC_USERNAME",
            "project": "TACC_PROJECT_NAME",
            "tenant": "TACC_TENANT",
            "admin_key": "CATALOG_ADMIN_TOKEN_KEY",
            "admin_secret": "CATALOG_ADMIN_TOKEN_SECRET",
        }
        given: dict[str, Any] = {
            name: source[variable] for name, variable in texts.items() if source.get(variable)
        }
        numbers = {
            "admin_lifetime": ("CATALOG_ADMIN_TOKEN_LIFETIME", "seconds"),
            "max_index_filters": ("CATALOG_MAX_INDEX_FILTERS", "filters"),
            "max_index_patterns": ("CATALOG_MAX_INDEX_PATTERNS", "patterns"),
        }
        for name, (variable, unit) in numbers.items():
            if source.get(variable):
                given[name] = _positive(variable, source[variable], unit)
        given["enforce_tokens"] = _switch("CATALOG_ENFORCE_TOKENS", source)
        return cls(local_storage=_folders(source.get("CATALOG_LOCAL_STORAGE", "")), **given)

    @property
    def namespace(self) -> uuid.UUID:
        """The namespace of this catalog's typed UUIDs (docs/reference/jobs.md#identifiers)."""
        return _namespace(self.dns_domain)


def running() -> tuple[str | None, str | None]:
    """Return the ids of the actor and the execution that this process is; None where it is none.

    They are not settings of the catalog: a warm process has the same ones for many executions.
    """
    return os.environ.get(ACTOR), os.environ.get(EXECUTION)


@functools.lru_cache(maxsize=8)
def _namespace(domain: str) -> uuid.UUID:
    return uuid.uuid3(uuid.NAMESPACE_DNS, domain)


def _switch(variable: str, source: Mapping[str, str]) -> bool:
    text = source.get(variable, "").lower()
    if text not in ("", "true", "false", "1", "0"):
        message = f"{variable} is {text!r:.20}: give true or false"
        raise ValueError(message)
    return text in ("true", "1")


def _positive(variable: str, text: str, unit: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        message = f"{variable} is {text!r}: give a positive number of {unit}"
        raise ValueError(message)
    return int(text)


def _folders(text: str) -> dict[str, str]:
    folders = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        system, _, folder = part.partition("=")
        if not system or not folder.startswith("/"):
            message = (
                f"CATALOG_LOCAL_STORAGE has {part!r}: give system=/folder, "
                "with commas between several, and absolute folders"
            )
            raise ValueError(message)
        folders[system.strip()] = folder
    return folders
