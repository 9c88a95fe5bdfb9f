"""Addresses of files: `agave://<system>/<directory>/<file>`, and others for the same."""

from __future__ import annotations

import os
import posixpath
from urllib.parse import quote, unquote, urlsplit

from reactors import tenant

SCHEME = "agave://"
S3_SCHEME = "s3://"
S3_SYSTEMS = "data-"
"""What a bucket's name lacks of that of the storage system behind it."""
MEDIA = "/files/v2/media/system/"


def to_agave_uri(
    systemId: str,
    dirPath: str,
    fileName: str | None = None,
) -> str:
    """Return the URI of a directory, or of a file in it."""
    path = posixpath.normpath("/".join(["", dirPath, fileName or ""])).lstrip("/")
    return f"{SCHEME}{systemId}/{path}"


def from_agave_uri(uri: str) -> tuple[str, str, str]:
    """Return the system, directory and file name of a URI.

    Raises:
        ValueError: it is not an Agave URI.
    """
    return _take_apart(uri, SCHEME, "an Agave URI")


def from_tacc_s3_uri(uri: str) -> tuple[str, str, str]:
    """Return the system, directory and file name that an S3 URI of TACC stands for.

    The bucket `sd2e-community` is the storage system `data-sd2e-community`.

    Raises:
        ValueError: it is no S3 URI.
    """
    bucket, directory, file_name = _take_apart(uri, S3_SCHEME, "an S3 URI")
    return S3_SYSTEMS + bucket, directory, file_name


def agave_uri_from_http(uri: str) -> str:
    """Return the Agave URI of a file that an http(s) URL of the files API names.

    Raises:
        ValueError: it is no such URL.
    """
    parts = urlsplit(uri)
    before, media, place = parts.path.partition(MEDIA)
    system, _, path = place.partition("/")
    if parts.scheme not in ("http", "https") or before or not media or not system:
        message = f"{uri!r:.80} is not the URL of a file: it has to be https://<tenant>{MEDIA}<system>/<path>"
        raise ValueError(message)
    return f"{SCHEME}{unquote(system)}/{unquote(path).lstrip('/')}"


def http_uri_from_agave(uri: str) -> str:
    """Return the URL by which the files API of the tenant serves a file.

    Raises:
        ValueError: it is not an Agave URI.
    """
    system, directory, file_name = from_agave_uri(uri)
    path = posixpath.join(directory, file_name)
    base = tenant.api_server(os.environ).rstrip("/")
    return f"{base}{MEDIA}{quote(system, safe='')}{quote(path)}"


def _take_apart(uri: str, scheme: str, kind: str) -> tuple[str, str, str]:
    if not uri.startswith(scheme):
        message = f"{uri!r:.80} is not {kind}: it has to begin with {scheme}"
        raise ValueError(message)
    place, _, path = uri.removeprefix(scheme).partition("/")
    directory, file_name = posixpath.split("/" + path)
    return place, directory, file_name
