from __future__ import annotations

import contextlib
import datetime
import os
import shutil
import ssl
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from abaco import certificates
from abaco.certificates import (
    AuthorityUnusable,
    CertificateAuthority,
    InvalidHost,
)
from abaco.exceptions import AbacoError
from tests.conftest import ROOT


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "tls"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an authority, which each test that needs one gets a copy of: to make one takes a process."""
    folder = tmp_path_factory.mktemp("made") / "tls"
    CertificateAuthority(folder)
    return folder


@pytest.fixture
def authority(folder: Path, made: Path) -> CertificateAuthority:
    shutil.copytree(made, folder)
    return CertificateAuthority(folder)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def shake_hands(server: ssl.SSLContext, host: str, trusted: Path | None = None) -> ssl.SSLObject:
    """Let a client that verifies its peer speak to a server, in memory; return its side."""
    trusting = ssl.create_default_context(cafile=trusted)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting.wrap_bio(to_client, to_server, server_hostname=host)
    serving = server.wrap_bio(to_server, to_client, server_side=True)
    for side in (client, serving) * 2:
        with contextlib.suppress(ssl.SSLWantReadError):
            side.do_handshake()
    return client


@pytest.mark.parametrize(
    "host", ["api.abaco.local", "localhost", "127.0.0.1", "::1", "xn--caf-dma.example.com"]
)
def test_a_client_that_trusts_the_authority_trusts_each_host(
    authority: CertificateAuthority, host: str
) -> None:
    client = shake_hands(authority.context_for(host), host, authority.certificate)
    assert client.version() == "TLSv1.3"


def test_a_client_that_does_not_trust_the_authority_refuses(
    authority: CertificateAuthority,
) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"):
        shake_hands(authority.context_for("localhost"), "localhost")


def test_a_certificate_is_for_its_host_only(authority: CertificateAuthority) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match=r"not valid for 'other\.local'"):
        shake_hands(authority.context_for("localhost"), "other.local", authority.certificate)


def test_old_versions_of_tls_are_not_spoken(authority: CertificateAuthority) -> None:
    context = authority.context_for("localhost")
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_the_authority_is_the_same_after_a_restart(
    authority: CertificateAuthority, folder: Path
) -> None:
    before = authority.certificate.read_bytes()
    again = CertificateAuthority(folder)
    assert again.certificate.read_bytes() == before
    shake_hands(again.context_for("localhost"), "localhost", authority.certificate)


def test_processes_that_start_at_once_agree_on_the_authority(folder: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from abaco.certificates import *\n"
        "print(CertificateAuthority(Path(sys.argv[1])).certificate.read_text())"
    )
    command = [sys.executable, "-c", code, str(folder)]
    children = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    printed = {child.communicate(timeout=30)[0] for child in children}
    assert printed == {(folder / "ca.pem").read_text() + "\n"}


def test_only_the_owner_can_read_the_key(folder: Path) -> None:
    CertificateAuthority(folder)
    assert mode(folder) == 0o700
    assert mode(folder / "ca-key.pem") == 0o600
    assert sorted(path.name for path in folder.iterdir()) == ["ca-key.pem", "ca.pem"]


def test_the_key_is_never_readable_by_others(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    opened = os.open

    def watched(path: Path, flags: int, *arguments: int) -> int:
        descriptor = opened(path, flags, *arguments)
        seen.append((Path(path).name, stat.S_IMODE(os.fstat(descriptor).st_mode)))
        return descriptor

    monkeypatch.setattr(os, "open", watched)
    before = os.umask(0)
    try:
        CertificateAuthority(folder)
    finally:
        os.umask(before)
    assert seen == [("tls", 0o700), ("ca-key.new", 0o600), ("ca.new", 0o644)]


def test_a_folder_that_others_could_enter_is_closed_to_them(folder: Path) -> None:
    folder.mkdir(mode=0o755)
    CertificateAuthority(folder)
    assert mode(folder) == 0o700


def test_what_an_interrupted_start_left_is_replaced(folder: Path) -> None:
    folder.mkdir()
    (folder / "ca-key.new").write_text("half a key")
    (folder / "ca-key.pem").write_text("a key without its certificate")
    authority = CertificateAuthority(folder)
    shake_hands(authority.context_for("localhost"), "localhost", authority.certificate)


def test_a_host_has_one_context_however_it_is_written(authority: CertificateAuthority) -> None:
    context = authority.context_for("api.abaco.local")
    assert authority.context_for("API.Abaco.local.") is context
    assert authority.context_for("0:0::1") is authority.context_for("::1")
    assert authority.context_for("other.local") is not context


def test_the_contexts_of_many_hosts_are_not_all_kept(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificates, "MAX_CONTEXTS", 4)
    authority = CertificateAuthority(made)
    first = authority.context_for("first.local")
    assert authority.context_for("first.local") is first
    for number in range(4):
        authority.context_for(f"host-{number}.local")
    assert authority.context_for("first.local") is not first


@pytest.mark.parametrize(
    "host",
    [
        "",
        ".",
        "a..b",
        "-a.local",
        "a-.local",
        "under_score.local",
        "*.local",
        "a b",
        "a/b",
        "me@local",
        "10.0.0.0/8",
        "300.1.1.1",
        "127.1",
        "fe80::1%eth0",
        "[::1]",
        "café.example.com",
        "xn--a.local",
        "a\0.local",
        "local\n",
        "a" * 64 + ".local",
        ".".join(["abcdefg"] * 40),
    ],
)
def test_what_is_no_host_gets_no_certificate(authority: CertificateAuthority, host: str) -> None:
    with pytest.raises(InvalidHost, match="is neither a DNS name") as caught:
        authority.context_for(host)
    assert repr(host[:253]) in str(caught.value)
    assert isinstance(caught.value, AbacoError)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def of_another_authority(path: Path) -> None:
    other = trustme.CA()
    pem = other.cert_pem if path.name == "ca.pem" else other.private_key_pem
    path.write_bytes(pem.bytes())


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def of_a_host(path: Path) -> None:
    leaf = trustme.CA().issue_cert("localhost")
    path.write_bytes(
        leaf.cert_chain_pems[0].bytes() if path.name == "ca.pem" else leaf.private_key_pem.bytes()
    )


@pytest.mark.parametrize("spoil", [truncated, of_another_authority, a_folder, of_a_host])
@pytest.mark.parametrize("name", ["ca.pem", "ca-key.pem"])
def test_a_broken_file_is_named_with_its_remedy(
    authority: CertificateAuthority, folder: Path, name: str, spoil: Callable[[Path], None]
) -> None:
    path = folder / name
    spoil(path)
    with pytest.raises(AuthorityUnusable) as caught:
        CertificateAuthority(folder)
    # of a pair that does not match nobody can tell which of the two is wrong
    named = folder / "ca-key.pem" if spoil is of_another_authority else path
    assert f"{named} cannot be read, or does not belong to an authority: delete it" in str(
        caught.value
    )
    named.rmdir() if named.is_dir() else named.unlink()
    fresh = CertificateAuthority(folder)
    shake_hands(fresh.context_for("localhost"), "localhost", fresh.certificate)


def test_a_certificate_of_a_host_is_no_authority_though_its_key_fits(
    authority: CertificateAuthority, folder: Path
) -> None:
    leaf = trustme.CA().issue_cert("localhost")
    (folder / "ca.pem").write_bytes(leaf.cert_chain_pems[0].bytes())
    (folder / "ca-key.pem").write_bytes(leaf.private_key_pem.bytes())
    with pytest.raises(AuthorityUnusable, match=r"ca\.pem cannot be read, or does not belong"):
        CertificateAuthority(folder)


def test_a_key_with_a_password_is_refused_and_nobody_is_asked_for_it(
    authority: CertificateAuthority, folder: Path
) -> None:
    path = folder / "ca-key.pem"
    key = load_pem_private_key(path.read_bytes(), password=None)
    path.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"a password"))
    )
    with pytest.raises(AuthorityUnusable, match=r"ca-key\.pem cannot be read"):
        CertificateAuthority(folder)


def test_a_start_does_not_load_what_only_the_first_host_needs(folder: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from abaco.certificates import *\n"
        "CertificateAuthority(Path(sys.argv[1]))\n"
        "print({'trustme', 'cryptography'} & {*sys.modules} or 'nothing')"
    )
    command = [sys.executable, "-c", code, str(folder)]
    for _ in range(2):
        assert subprocess.check_output(command, cwd=ROOT, text=True) == "nothing\n"


def of_its_own_kind(folder: Path, *, ed25519: bool, days: int = 1) -> None:
    """Make an authority that OpenSSL takes for one, and the library that issues certificates does not.

    Args:
        folder: for its files.
        ed25519: what its key is of, rather than of an elliptic curve.
        days: until it expires.
    """
    key = Ed25519PrivateKey.generate() if ed25519 else ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "elsewhere")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=2))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, None if ed25519 else hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    folder.mkdir(exist_ok=True)
    (folder / "ca.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "ca-key.pem").write_bytes(private)


@pytest.mark.parametrize("ed25519", [True, False], ids=["Ed25519", "without its identifier"])
def test_an_authority_that_makes_no_certificate_is_named_when_one_is_wanted(
    folder: Path, *, ed25519: bool
) -> None:
    of_its_own_kind(folder, ed25519=ed25519)
    authority = CertificateAuthority(folder)
    for _ in range(2):
        with pytest.raises(AuthorityUnusable, match=r"ca\.pem and its key make no certificate \("):
            authority.context_for("localhost")


@pytest.mark.parametrize("days", [-1, 1])
def test_an_authority_that_has_expired_is_said_to_have(
    days: int, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    of_its_own_kind(folder, ed25519=True, days=days)
    CertificateAuthority(folder)
    complaint = f"{folder / 'ca.pem'} expired on "
    assert [line.startswith(complaint) for line in caplog.messages] == [True] * (days < 0)


@pytest.mark.parametrize("python", ["/bin/false", "/nowhere/python"])
def test_where_no_authority_can_be_made_the_gateway_says_so(
    python: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", python)
    with pytest.raises(AuthorityUnusable, match="no certificate authority could be made"):
        CertificateAuthority(folder)
    assert list(folder.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AuthorityUnusable, match=r"file/tls cannot be used \(Not a directory\)"):
        CertificateAuthority(tmp_path / "file" / "tls")


def test_why_no_authority_could_be_made_is_said(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # in the place of the library that makes them
    (tmp_path / "trustme.py").write_text("raise OSError(12, 'Cannot allocate memory')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(AuthorityUnusable) as caught:
        CertificateAuthority(folder)
    assert str(caught.value) == (
        "no certificate authority could be made: OSError: [Errno 12] Cannot allocate memory"
    )
