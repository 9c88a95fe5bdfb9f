"""A certificate authority of the gateway's own, for clients that speak only https."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import ipaddress
import json
import logging
import os
import re
import ssl
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from abaco import folders
from abaco.exceptions import AbacoError, ServerError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import trustme

FOLDER_NAME = "authority"
"""Of the authority, in a gateway's data folder."""
CERTIFICATE_NAME = "ca.pem"
KEY_NAME = "ca-key.pem"
MAX_CONTEXTS = 256
MAX_HOST_LENGTH = 253
_ORGANIZATION = "Abaco gateway of this machine"
_LABEL = r"(?!-)[a-z0-9-]{1,63}(?<!-)"
# a name whose last label is a number would be a mistyped address
_NAME = re.compile(rf"(?:{_LABEL}\.)*(?![0-9]+\Z){_LABEL}")

_logger = logging.getLogger(__name__)


class AuthorityUnusable(ServerError):
    """The authority's folder or files cannot be used; the text names them and the remedy."""


class InvalidHost(AbacoError, ValueError):
    """No certificate can be made for such a host."""


class CertificateAuthority:
    """The authority that is kept in a folder; it is made where there is none.

    Args:
        folder: one of its own, made where it does not exist; only its owner may enter it.

    Raises:
        AuthorityUnusable: the folder cannot be used, or what is in it is not an authority.
    """

    def __init__(self, folder: Path) -> None:
        self.certificate = folder / CERTIFICATE_NAME
        self._key = folder / KEY_NAME
        try:
            with _private(folder):
                # one without the other is of no use
                if not (self.certificate.exists() and self._key.exists()):
                    self._make()
                self._pems = self._read()
        except OSError as error:
            message = f"the folder {folder} cannot be used ({error.strerror}): choose another"
            raise AuthorityUnusable(message) from error
        self._contexts = functools.lru_cache(maxsize=MAX_CONTEXTS)(self._make_context)

    def context_for(self, host: str) -> ssl.SSLContext:
        """Return what a server needs to be taken for a host by those who trust `certificate`.

        It may be called in any thread. Only the authority is kept on disk, no host's key.

        Args:
            host: a DNS name, in its ASCII form, or an IP address.

        Raises:
            InvalidHost: it is neither.
            AuthorityUnusable: the authority is of a kind that makes no certificates here.
        """
        return self._contexts(_normal(host))

    @functools.cached_property
    def _authority(self) -> trustme.CA:
        try:
            import trustme  # noqa: PLC0415 - a quarter of a second and 8 MiB, which clients of http save

            authority = trustme.CA.from_pem(*self._pems)
            authority.issue_cert("localhost")
        except Exception as error:
            message = (
                f"{self.certificate} and its key make no certificate ({error!r}): if you have made"
                " them elsewhere, delete both, and start again; clients must then trust the new ones"
            )
            raise AuthorityUnusable(message) from error
        return authority

    def _make_context(self, host: str) -> ssl.SSLContext:
        authority = self._authority
        try:
            leaf = authority.issue_cert(host, organization_name=_ORGANIZATION)
        except UnicodeError as error:
            raise InvalidHost(_refusal(host)) from error
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        leaf.configure_cert(context)
        return context

    def _make(self) -> None:
        command = [sys.executable, "-m", "abaco.new_authority", _ORGANIZATION]
        try:
            # a Ctrl-C is for this process
            done = subprocess.run(  # noqa: S603 - a module of ours
                command, capture_output=True, text=True, check=True, start_new_session=True
            )
        except (OSError, subprocess.CalledProcessError) as error:
            said = getattr(error, "stderr", "") or str(error)
            reason = said.strip().rpartition("\n")[2]
            message = f"no certificate authority could be made: {reason}"
            raise AuthorityUnusable(message) from error
        made = json.loads(done.stdout)
        folders.write_whole(self._key, made["key"].encode())
        folders.write_whole(self.certificate, made["certificate"].encode(), 0o644)

    def _read(self) -> tuple[bytes, bytes]:
        """Return the certificate and the key, if they are those of an authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        broken = self.certificate
        try:
            certificate = self.certificate.read_bytes()
            context.load_verify_locations(self.certificate)
            # a ValueError where it is of something else
            first, *_ = context.get_ca_certs()
            self._check_age(first)
            broken = self._key
            key = self._key.read_bytes()
            # it proves that the two belong together, and asks nobody for a password
            context.load_cert_chain(self.certificate, self._key, password="")
        except (OSError, ValueError) as error:
            message = (
                f"{broken} cannot be read, or does not belong to an authority: delete it,"
                f" and a new authority is made; clients must then trust the new {CERTIFICATE_NAME}"
            )
            raise AuthorityUnusable(message) from error
        return certificate, key

    def _check_age(self, certificate: Mapping[str, Any]) -> None:
        """Complain of one that has expired: clients of https then refuse the gateway, and say little."""
        end = str(certificate["notAfter"])
        if ssl.cert_time_to_seconds(end) < time.time():
            _logger.warning(
                "%s expired on %s, and clients refuse what it signs: renew it, or delete it and its key"
                " for a new authority, which clients must then trust",
                self.certificate,
                end,
            )


def _normal(host: str) -> str:
    name = host.lower().removesuffix(".")
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(name)
        if "%" not in name:
            return str(address)
    if len(name) > MAX_HOST_LENGTH or not _NAME.fullmatch(name):
        raise InvalidHost(_refusal(host))
    return name


def _refusal(host: str) -> str:
    shown = repr(host[:MAX_HOST_LENGTH])
    return (
        f"{shown} is neither a DNS name of at most {MAX_HOST_LENGTH} characters nor an IP address"
    )


@contextlib.contextmanager
def _private(folder: Path) -> Iterator[None]:
    """Let only the folder's owner enter it, and only one process at a time use it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
