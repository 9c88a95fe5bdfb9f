from __future__ import annotations

import base64
import time
from typing import Any

import pytest

from datacatalog import tokens
from tests.conftest import ADMIN
from tests.datacatalog.vectors import cases, check

KEY, SECRET, LIFETIME = "CATALOG_ADMIN_TOKEN_KEY", "CATALOG_ADMIN_TOKEN_SECRET", 10**7
WHEN_THE_VECTORS_WERE_MADE = 1577836800


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set a key and a secret, and a lifetime that does not end while a test runs."""
    for name, value in ADMIN.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CATALOG_ADMIN_TOKEN_LIFETIME", str(LIFETIME))


def admin_token(lifetimes: int = 0) -> str:
    """Return the administrative token of a moment so many lifetimes from now."""
    moment = time.time() + lifetimes * LIFETIME
    return tokens.get_admin_token(ADMIN[KEY], ADMIN[SECRET], LIFETIME, now=moment)


@cases("get_token")
def test_a_token_is_that_of_the_original(vector: dict[str, Any]) -> None:
    given = vector["input"]
    check(vector, lambda: tokens.get_token(given["salt"], *given["args"]))


@cases("get_admin_token")
def test_an_administrative_token_is_that_of_the_original(
    vector: dict[str, Any], environment: None
) -> None:
    given = dict(vector["input"])
    now = given.pop("time", WHEN_THE_VECTORS_WERE_MADE)
    check(vector, lambda: tokens.get_admin_token(**given, now=now))


@cases("validate_token")
def test_a_token_is_valid_where_the_original_took_it(
    vector: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, "key")
    monkeypatch.setenv(SECRET, "secret")
    monkeypatch.setattr(time, "time", lambda: float(WHEN_THE_VECTORS_WERE_MADE))
    given = vector["input"]
    permissive = {} if given["permissive"] == "default" else {"permissive": given["permissive"]}
    check(
        vector, lambda: tokens.validate_token(given["token"], "salt", *given["args"], **permissive)
    )


@pytest.mark.parametrize("lifetimes", [0, -1])
def test_an_administrative_token_is_valid_in_its_lifetime_and_the_next(
    lifetimes: int, environment: None
) -> None:
    token = admin_token(lifetimes)
    assert tokens.validate_admin_token(token)
    assert tokens.validate_token(token, "salt", "a job")


@pytest.mark.parametrize("lifetimes", [-3, -2, 1, 2])
def test_older_and_future_administrative_tokens_are_not_valid(
    lifetimes: int, environment: None
) -> None:
    token = admin_token(lifetimes)
    assert not tokens.validate_admin_token(token)
    assert not tokens.validate_token(token, "salt", "a job")
    with pytest.raises(tokens.InvalidAdminToken):
        tokens.validate_admin_token(token, permissive=False)


@pytest.mark.parametrize("missing", [KEY, SECRET])
@pytest.mark.parametrize("value", [None, ""])
def test_without_a_key_or_a_secret_no_administrative_token_is_valid(
    missing: str, value: str | None, environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tokens.validate_admin_token(admin_token())
    if value is None:
        monkeypatch.delenv(missing)
    else:
        monkeypatch.setenv(missing, value)
    parts = {**ADMIN, missing: ""}
    guessed = tokens.get_admin_token(parts[KEY], parts[SECRET], LIFETIME)
    literal = tokens.get_admin_token("None", "None", LIFETIME)
    for token in (admin_token(), guessed, literal, "", None):
        assert not tokens.validate_admin_token(token)


def test_a_token_made_with_another_key_or_secret_is_not_valid(environment: None) -> None:
    assert not tokens.validate_admin_token(tokens.get_admin_token("other key"))
    assert not tokens.validate_admin_token(tokens.get_admin_token(ADMIN[KEY], "other secret"))


def test_a_given_key_counts_instead_of_the_one_in_the_environment(environment: None) -> None:
    token = tokens.get_admin_token("other key")
    assert tokens.validate_admin_token(token, "other key")
    assert not tokens.validate_admin_token(admin_token(), "other key")


def test_the_lifetime_is_an_hour_unless_it_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tokens.get_admin_lifetime() == 3600
    monkeypatch.setenv("CATALOG_ADMIN_TOKEN_LIFETIME", "60")
    assert tokens.get_admin_lifetime() == 60


def test_a_token_without_a_secret_is_no_token() -> None:
    with pytest.raises(ValueError) as refused:
        tokens.get_admin_token("key")
    assert str(refused.value) == 'Value for "secret" was expected'


def test_a_token_is_valid_for_its_own_values_only() -> None:
    token = tokens.get_token("salt", "a job")
    assert tokens.validate_token(token, "salt", "a job")
    assert not tokens.validate_token(token, "salt", "another job")
    assert not tokens.validate_token(token, "another salt", "a job")


@pytest.mark.parametrize("shown", [None, "", 7, b"0123456789abcdef", "0123456789abcdéf", "\ud800"])
def test_what_is_no_token_is_refused_without_a_crash(shown: object, environment: None) -> None:
    assert not tokens.validate_token(shown, "salt", "a job")
    assert not tokens.validate_admin_token(shown)


def test_invalid_tokens_are_value_errors() -> None:
    with pytest.raises(ValueError) as refused:
        tokens.validate_token("0123456789abcdef", "salt", permissive=False)
    assert isinstance(refused.value, tokens.InvalidToken)
    assert "0123456789abcdef" not in str(refused.value)


def test_a_salt_is_16_random_bytes_in_lower_case_base64() -> None:
    salts = {tokens.generate_salt() for _ in range(20)}
    assert len(salts) == 20
    assert all(salt == salt.lower() and len(base64.b64decode(salt)) == 16 for salt in salts)
