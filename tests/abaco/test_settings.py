from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from abaco.exceptions import SettingsError
from abaco.settings import Limits, load

SECRET = "s3cret-0f-the-tests-with-32-bytes-at-least"


def tenant(jwt: str) -> str:
    return f"tenants: {{SD2E: {{jwt: {jwt}}}}}"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "abaco.yml"


def test_what_no_file_says_has_a_default(file: Path, tmp_path: Path) -> None:
    settings = load(file)
    assert (settings.host, settings.port, settings.default_tenant) == ("127.0.0.1", 8000, "SD2E")
    assert settings.limits == Limits()
    assert settings.data == tmp_path / ".local" / "abaco"
    assert settings.database == f"sqlite:///{tmp_path}/.local/abaco/abaco.db"
    assert settings.images_files == (tmp_path / "images.yml", settings.data / "images.yml")


def test_paths_are_relative_to_the_file(file: Path, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(SECRET)
    file.write_text(
        f"data: state\nimages: of/us.yml\n{tenant('{algorithm: HS256, key_file: key}')}"
    )
    settings = load(file)
    assert settings.data == tmp_path / "state"
    assert settings.images_files == (
        tmp_path / "of" / "us.yml",
        tmp_path / "state" / "images.yml",
    )
    jwt = settings.tenants["SD2E"].jwt
    assert jwt is not None
    assert jwt.key == SECRET
    assert SECRET not in repr(settings)


def test_the_command_line_wins(file: Path) -> None:
    file.write_text("port: 9000")
    assert load(file, overrides={"port": None}).port == 9000
    assert load(file, overrides={"port": 0}).port == 0


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("port: 9000\nport: 8000", "line 2: the key 'port' stands twice in one mapping"),
        ("limits: {memory_seconds: 1:30}", "line 1: '1:30' would be changed: put it into quotes"),
        ("port: 70000", "port: 70000 is greater than the maximum of 65535"),
        ("port: '80'", "port: '80' is not of type 'integer'"),
        ("prot: 80", "the file: there is no key 'prot': did you mean port?"),
        ("1: 2", "the file: there is no key 1: use some of broker, case, containers, data,"),
        ("host: ''", "host: '' does not match"),
        ('data: "a\\0b"', "data: 'a\\x00b' does not match"),
        ("public_url: http://x/", "public_url: 'http://x/' does not match"),
        ("public_url: ftp://x", "public_url: 'ftp://x' does not match"),
        ("limits: {workers: 0}", "limits.workers: 0 is less than the minimum of 1"),
        ("limits: {workers: 1.5}", "limits.workers: 1.5 is not of type 'integer'"),
        ("limits: {body_seconds: 0}", "limits.body_seconds: 0 is less than or equal to"),
        (
            "limits: {stop_seconds: 1.0e+400}",
            "limits.stop_seconds: inf is greater than the maximum",
        ),
        ("limits: {stop_seconds: .inf}", "line 1: '.inf' would be changed"),
        ("limits: {body: 1}", "limits: there is no key 'body': use some of binary_bytes,"),
        ("tenants: {}", "tenants: {} should be non-empty"),
        ("tenants: {sd2e: {}}", "tenants: 'sd2e' does not match '^[A-Z0-9][A-Z0-9-]{0,31}$'"),
        ("tenants: {2026: {}}", "tenants: 2026 is not of type 'string'"),
        (tenant(SECRET), "tenants.SD2E.jwt: cannot be used"),
        (tenant(f"{{algorithm: none, key: {SECRET}}}"), "jwt.algorithm: cannot be used"),
        (tenant("{algorithm: HS256}"), "tenants.SD2E.jwt: cannot be used"),
        (tenant(f"{{algorithm: HS256, key: {SECRET}, key_file: b}}"), "jwt: cannot be used"),
        (tenant("{algorithm: HS256, key_file: nowhere}"), "nowhere cannot be read"),
        (tenant(f"{{algorithm: RS256, key: {SECRET}}}"), "RS256, which needs a public key in PEM"),
        (tenant("{algorithm: HS256, key_file: ca.pem}"), "HS256, which needs a secret, not a PEM"),
        (
            f"tenants: {{SD2E: [{{jwt: {SECRET}}}]}}",
            "tenants.SD2E: is not of type ['object', 'null']",
        ),
        (f"broker: rabbitmq://abaco:{SECRET}@h//", "broker: cannot be used: give the amqp:// URL"),
        (f"broker: [{SECRET}]", "broker: cannot be used: give the amqp:// URL"),
        (f"broker: amqp://abaco:{SECRET}/x@h//", "; % in its password percent-encoded"),
        (f"broker: amqp://abaco:1/{SECRET}@h//", "broker: cannot be used"),
        (f"broker: 'amqp://abaco:1#{SECRET}@h//'", "broker: cannot be used"),
        (f"broker: amqp://abaco:a@1?{SECRET}@h//", "broker: cannot be used"),
        (f"broker: amqp://abaco:a;{SECRET}@h//", "broker: cannot be used"),
        (f"broker: 'amqp://[{SECRET}@h//'", "broker: cannot be used"),
        (f"broker: amqp://h:{SECRET}//", "broker: cannot be used"),
        (f"database: [{SECRET}]", "database: cannot be used: give a postgresql+psycopg:// URL"),
        (f"database: postgresql://abaco:{SECRET}@h/d", "give a postgresql+psycopg:// URL"),
        (f"database: postgres://abaco:{SECRET}@h/d", "database: cannot be used"),
        ("[1]", "holds a list, not keys with values"),
        ("host: a: b", "line 1: not valid YAML"),
        ("port: 1\n\thost: b", "line 2: not valid YAML"),
        ("host: !!python/name:os.system", "line 1: could not determine a constructor for"),
        ("host: \udcff", "cannot be read: not valid UTF-8"),
    ],
)
def test_what_cannot_be_used_is_named(file: Path, content: str, reason: str) -> None:
    trustme.CA().cert_pem.write_to_path(file.with_name("ca.pem"))
    file.write_text(content, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(SettingsError) as raised:
        load(file)
    assert reason in str(raised.value)
    assert SECRET not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_broker_may_be_several_and_have_a_password_with_any_sign(file: Path) -> None:
    one, two = f"abaco:%40%2F%23%3A{SECRET}", "abaco:b:c"
    url = f"amqp://{one}@one.lan:5672//;amqps://{two}@two.lan/%2Fa"
    file.write_text(f"broker: {url}\ndatabase: postgresql+psycopg://abaco:{SECRET}@h/d")
    settings = load(file)
    assert settings.broker == url
    assert SECRET not in repr(settings)
