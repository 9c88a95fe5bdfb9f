from __future__ import annotations

import pytest

from datacatalog.settings import CatalogSettings
from tests.datacatalog.vectors import VECTORS


def test_an_empty_environment_gives_the_documented_defaults() -> None:
    catalog = CatalogSettings.from_environ({})
    assert catalog.dns_domain == "sd2e.org"
    assert catalog.storage_system == "data-sd2e-community"
    assert catalog.admin_lifetime == 3600
    assert (catalog.max_index_filters, catalog.max_index_patterns) == (100, 512)
    assert catalog.local_storage == {}
    assert str(catalog.namespace) == VECTORS["constants"]["UUID_NAMESPACE"]


def test_there_is_no_default_administrative_key_or_secret() -> None:
    catalog = CatalogSettings.from_environ({})
    assert (catalog.admin_key, catalog.admin_secret) == ("", "")


def test_each_variable_is_read() -> None:
    catalog = CatalogSettings.from_environ(
        {
            "CATALOG_DNS_DOMAIN": "tacos.example.org",
            "CATALOG_STORAGE_SYSTEM": "data-tacos",
            "CATALOG_RECORDS_SOURCE": "kitchen",
            "TACC_API_SERVER": "https://api.example.org",
            "TACC_USERNAME": "cook",
            "TACC_PROJECT_NAME": "Tacos",
            "TACC_TENANT": "kitchen",
            "CATALOG_ADMIN_TOKEN_KEY": "key",
            "CATALOG_ADMIN_TOKEN_SECRET": "secret",
            "CATALOG_ADMIN_TOKEN_LIFETIME": "60",
            "CATALOG_MAX_INDEX_FILTERS": "7",
            "CATALOG_MAX_INDEX_PATTERNS": "8",
            "CATALOG_LOCAL_STORAGE": "data-tacos=/tacos, data-b=/b=c,",
        }
    )
    assert catalog == CatalogSettings(
        dns_domain="tacos.example.org",
        storage_system="data-tacos",
        records_source="kitchen",
        api_server="https://api.example.org",
        owner="cook",
        project="Tacos",
        tenant="kitchen",
        admin_key="key",
        admin_secret="secret",
        admin_lifetime=60,
        max_index_filters=7,
        max_index_patterns=8,
        local_storage={"data-tacos": "/tacos", "data-b": "/b=c"},
    )


def test_an_empty_variable_counts_as_unset() -> None:
    names = ("CATALOG_DNS_DOMAIN", "TACC_USERNAME", "CATALOG_ADMIN_TOKEN_LIFETIME")
    assert CatalogSettings.from_environ(dict.fromkeys(names, "")) == CatalogSettings()


def test_the_environment_of_the_process_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TACC_TENANT", "kitchen")
    assert CatalogSettings.from_environ().tenant == "kitchen"


@pytest.mark.parametrize("text", ["an hour", "0", "-60", "1.5", " 60", "\uff16\uff10", "²"])
def test_a_lifetime_that_is_no_positive_whole_number_is_named(text: str) -> None:
    with pytest.raises(ValueError) as refused:
        CatalogSettings.from_environ({"CATALOG_ADMIN_TOKEN_LIFETIME": text})
    assert str(refused.value) == (
        f"CATALOG_ADMIN_TOKEN_LIFETIME is {text!r}: give a positive number of seconds"
    )


@pytest.mark.parametrize("part", ["data-tacos", "=/tacos", "data-tacos=tacos", "data-tacos="])
def test_a_folder_of_a_storage_system_is_absolute(part: str) -> None:
    with pytest.raises(ValueError) as refused:
        CatalogSettings.from_environ({"CATALOG_LOCAL_STORAGE": f"data-b=/b,{part}"})
    assert str(refused.value).startswith(f"CATALOG_LOCAL_STORAGE has {part!r}: give system=/folder")


@pytest.mark.parametrize("name", ["FILTERS", "PATTERNS"])
def test_a_bound_that_is_no_positive_whole_number_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=f"^CATALOG_MAX_INDEX_{name} is 'many': give a positive"):
        CatalogSettings.from_environ({f"CATALOG_MAX_INDEX_{name}": "many"})


def test_printed_settings_keep_the_secrets() -> None:
    shown = repr(CatalogSettings(admin_key="hush-key", admin_secret="hush-secret"))
    assert "hush" not in shown


def test_what_the_platform_says_of_itself_goes_before_what_is_configured() -> None:
    environ = {"TACC_API_SERVER": "https://api.example.org"}
    assert CatalogSettings.from_environ(environ).api_server == "https://api.example.org"
    running = {**environ, "_abaco_api_server": "http://127.0.0.1:8000"}
    assert CatalogSettings.from_environ(running).api_server == "http://127.0.0.1:8000"
