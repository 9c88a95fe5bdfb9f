"""JSON Schemas in files, which refer to each other and never to the network."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from jsonschema import Draft7Validator
from jsonschema.validators import validator_for
from referencing import Registry, Resource
from referencing.exceptions import NoSuchResource
from referencing.jsonschema import DRAFT7

from reactors.exceptions import SettingsError

LIBRARIES = {
    "schema.catalog.sd2e.org": "datacatalog.schemas",
    "sd2e.github.io": "datacatalog.schemas",
}
"""Servers whose documents a package here has; its `document(name)` returns one, or None."""


def find(path: str) -> Path:
    """Return where a schema is: at its path, else at that path below the working directory."""
    file = Path(path)
    here = Path.cwd() / path.lstrip("/")
    return here if here.is_file() and not file.is_file() else file


def load(path: str | Path) -> Any:
    """Return a validator for the schema in a file.

    A `$ref` to another file is resolved beside the schema. So is one to the server that the schema's
    `$id` names, or to one of `LIBRARIES`, by the last segment of its path; what is not there is in
    the library, if that is installed. Any other address is an error; none is asked over a network.

    Raises:
        SettingsError: the file is missing or holds no JSON.
    """
    file = Path(path).resolve()
    schema = read(file)
    home = urlsplit(str(schema.get("$id", "")))

    def retrieve(uri: str) -> Resource[Any]:
        parts = urlsplit(uri)
        published = parts.scheme in ("http", "https") and parts.netloc in LIBRARIES
        if published or (home.netloc and parts[:2] == home[:2]):
            # never asked: what is published there is beside the schema as well
            target = (file.parent / unquote(parts.path).rpartition("/")[2]).resolve()
        elif parts.scheme == "file":
            target = Path(unquote(parts.path)).resolve()
        else:
            raise NoSuchResource(uri)
        if file.parent not in target.parents or not target.is_file():
            if published and (known := _published(parts.netloc, target.name)) is not None:
                return DRAFT7.create_resource(known)
            raise NoSuchResource(uri)
        return DRAFT7.create_resource(read(target))

    registry: Registry[Any] = Registry(retrieve=retrieve)  # type: ignore[call-arg]  # its alias
    # beside a `$ref`, the validator does not see an `$id`
    address = file.as_uri() if not home.netloc else str(schema["$id"]).partition("#")[0]
    registry = registry.with_resource(address, DRAFT7.create_resource(schema))
    validator_class = validator_for(schema, default=Draft7Validator)
    return validator_class({"$ref": address}, registry=registry)


def _published(server: str, name: str) -> Any:
    try:
        library = importlib.import_module(LIBRARIES[server])
    except ModuleNotFoundError:
        return None
    return library.document(name)


def read(path: str | Path) -> dict[str, Any]:
    """Return the schema in a file, without a validator.

    Raises:
        SettingsError: the file is missing or holds no JSON object.
    """
    try:
        schema = json.loads(Path(path).read_text())
    except FileNotFoundError as error:
        message = f"{path}: there is no such schema"
        raise SettingsError(message) from error
    except json.JSONDecodeError as error:
        message = f"{path}, line {error.lineno}: not valid JSON"
        raise SettingsError(message) from error
    if not isinstance(schema, dict):
        message = f"{path}: a schema must be a JSON object"
        raise SettingsError(message)
    return schema
