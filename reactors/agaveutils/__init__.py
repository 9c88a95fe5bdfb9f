"""Helpers for the files, addresses and names of Agave."""

from reactors.agaveutils import entity, files, recursive, uri
from reactors.agaveutils.entity import is_appid
from reactors.agaveutils.errors import process_agave_httperror
from reactors.agaveutils.files import (
    agave_download_file,
    agave_mkdir,
    agave_upload_file,
    wait_for_file_status,
)
from reactors.agaveutils.recursive import PemAgent
from reactors.agaveutils.uri import (
    agave_uri_from_http,
    from_agave_uri,
    from_tacc_s3_uri,
    http_uri_from_agave,
    to_agave_uri,
)
from reactors.tenant import get_api_server, get_api_token, get_api_username

__all__ = [
    "PemAgent",
    "agave_download_file",
    "agave_mkdir",
    "agave_upload_file",
    "agave_uri_from_http",
    "entity",
    "files",
    "from_agave_uri",
    "from_tacc_s3_uri",
    "get_api_server",
    "get_api_token",
    "get_api_username",
    "http_uri_from_agave",
    "is_appid",
    "process_agave_httperror",
    "recursive",
    "to_agave_uri",
    "uri",
    "wait_for_file_status",
]
