"""The connection to MongoDB."""

from __future__ import annotations

import base64
import contextlib
import re
import warnings
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote_plus

import pymongo
from bson.codec_options import CodecOptions
from pymongo.database import Database
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    DocumentTooLarge,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
)
from pymongo.write_concern import WriteConcern

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Document = dict[str, Any]
Db = Database[Document]
DatabaseError = PyMongoError
"""What the database or the way to it fails with."""

DEFAULT_DATABASE = "catalog"
DEFAULT_TIMEOUT = 10.0
DEFAULT_PORT = 27017
ACKNOWLEDGED = WriteConcern(w="majority", j=True)
_REFUSED = (2, 14, 17280, 10334, 17419)
"""Error codes of MongoDB: BadValue, TypeMismatch, KeyTooLong, and two of BSONObjectTooLarge."""
_NOT_ALLOWED = (13, 18)
"""Unauthorized and AuthenticationFailed."""
_DUPLICATE_KEY = 11000
_SCHEMES = ("mongodb://", "mongodb+srv://")


def connect(mongodb: Mapping[str, Any] | Database[Any]) -> Db:
    """Return the catalog's database, with writes that are acknowledged when they are on disk.

    Args:
        mongodb: a `pymongo` database, or settings: `authn` (a MongoDB URI, plain or in base64), or
            `host`, `port`, `username` and `password` in its place, `database` (its name) and `timeout` (seconds until an unreachable server is an error;
            options in the URI win).

    Raises:
        ValueError: `authn` is missing or no MongoDB URI. The message does not repeat it.
    """
    if isinstance(mongodb, Database):
        database = mongodb
    else:
        uri = uri_of(mongodb)
        timeout = float(mongodb.get("timeout") or DEFAULT_TIMEOUT)
        name = mongodb.get("database") or DEFAULT_DATABASE
        try:
            database = _client(uri, timeout)[name]
        except pymongo.errors.InvalidName as error:
            message = f"mongodb.database is {name!r:.60}, which is not a valid name of a database"
            raise ValueError(message) from error
    return database.with_options(
        codec_options=CodecOptions(document_class=dict, tz_aware=True),
        write_concern=ACKNOWLEDGED,
    )


def uri_of(mongodb: Mapping[str, Any]) -> str:
    """Return the MongoDB URI of some settings.

    Raises:
        ValueError: they have neither `authn` nor `host`, or `authn` is not a URI.
    """
    host = mongodb.get("host")
    if mongodb.get("authn") or not host:
        return decode_authn(mongodb.get("authn"))
    user, password = mongodb.get("username"), mongodb.get("password")
    login = f"{quote_plus(str(user))}:{quote_plus(str(password or ''))}@" if user else ""
    # who signs in is known to the server as a whole, unless the URI says otherwise
    return f"mongodb://{login}{host}:{mongodb.get('port') or DEFAULT_PORT}/{'?authSource=admin' if user else ''}"


get_mongo_uri = uri_of
"""The name by which older callers know it."""


def within(seconds: float) -> contextlib.AbstractContextManager[None]:
    """Return a context in which all that the database is asked for takes at most so long."""
    return pymongo.timeout(seconds)


def decode_authn(authn: object) -> str:
    """Return the MongoDB URI that `mongodb.authn` holds.

    Raises:
        ValueError: there is none, or it is not a URI. The message does not repeat it.
    """
    if not isinstance(authn, str) or not authn:
        message = "mongodb.authn is not set: give a MongoDB URI, plain or in base64, in _REACTOR_MONGODB_AUTHN"
        raise ValueError(message)
    uri = authn
    if not uri.startswith(_SCHEMES):
        try:
            uri = base64.b64decode(authn, validate=True).decode().strip()
        except ValueError:
            uri = ""
    if not uri.startswith(_SCHEMES):
        message = "mongodb.authn is neither a MongoDB URI nor the base64 of one"
        raise ValueError(message)
    return uri


def hosts(mongodb: Mapping[str, Any] | Database[Any]) -> str:
    """Name the servers of a database for an error message, without user and password."""
    if isinstance(mongodb, Database):
        known = mongodb.client.topology_description.server_descriptions()
        return ", ".join(f"{host}:{port}" for host, port in sorted(known))
    authority = re.split(r"[/?]", uri_of(mongodb).partition("://")[2])[0]
    return authority.rpartition("@")[2]


def explain(error: PyMongoError, mongodb: Mapping[str, Any]) -> str:
    """Return a line on what the database did not do, without user and password.

    Args:
        error: what it failed with.
        mongodb: the settings that led to it.
    """
    servers = hosts(mongodb)
    if error.timeout:
        seconds = mongodb.get("timeout") or DEFAULT_TIMEOUT
        return f"the database at {servers} did not answer within {seconds:g} s: try again later"
    if isinstance(error, AutoReconnect) and not isinstance(error, NotPrimaryError):
        return f"the database at {servers} ended the connection: try again later"
    code = getattr(error, "code", None)
    reason = type(error).__name__ if code is None else f"{type(error).__name__}, code {code}"
    return f"the database at {servers} could not do this ({reason}): try again later"


def is_refused(error: PyMongoError) -> bool:
    """Tell whether the database refuses what it was given, rather than failing at the moment."""
    return isinstance(error, DocumentTooLarge) or getattr(error, "code", None) in _REFUSED


def answers_errors(error: PyMongoError) -> bool:
    """Tell whether the server answers, but fails at whatever it is asked for.

    A refusal, of a wrong password or for a lack of permission, is not a failure.
    """
    code = getattr(error, "code", None)
    return isinstance(error, OperationFailure) and not error.timeout and code not in _NOT_ALLOWED


def duplicates(error: BulkWriteError) -> list[int]:
    """Return which writes failed because of a key that is there; raise the error if others failed as well."""
    errors = error.details["writeErrors"]
    if any(each["code"] != _DUPLICATE_KEY for each in errors):
        raise error
    return [each["index"] for each in errors]


@contextlib.contextmanager
def but_duplicates() -> Iterator[None]:
    """Write in this block what may be there already, and then stays as it is."""
    try:
        yield
    except BulkWriteError as error:
        duplicates(error)


@cache
def _client(uri: str, timeout: float) -> pymongo.MongoClient[Document]:
    milliseconds = int(timeout * 1000)
    defaults = {
        "serverSelectionTimeoutMS": milliseconds,
        "connectTimeoutMS": milliseconds,
        "timeoutMS": milliseconds,
        "appname": "pipelinejobs-manager",
    }
    try:
        named = {option.lower() for option in parse_qs(uri.partition("?")[2])}
        if "serverselectiontimeoutms" in named:
            # the driver would take the bound on a whole operation instead
            named.add("timeoutms")
        options: dict[str, Any] = {
            option: value for option, value in defaults.items() if option.lower() not in named
        }
        with warnings.catch_warnings():
            # of an option in the URI that the driver does not know, which it passes over
            warnings.simplefilter("ignore")
            return pymongo.MongoClient(uri, **options)
    except (ValueError, PyMongoError) as error:
        # the driver's own message may quote the URI, and with it the password
        message = "mongodb.authn is not a valid MongoDB URI"
        raise ValueError(message) from (None if "@" in uri else error)
