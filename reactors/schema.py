"""JSON Schemas in files, which refer to each other and never to the network."""

from __future__ import annotations

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


def find(path: str) -> Path:
    """Return where a schema is: at its path, else at that path below the working directory."""
    file = Path(path)
    here = Path.cwd() / path.lstrip("/")
    return here if here.is_file() and not file.is_file() else file


def load(path: str | Path) -> Any:
    """Return a validator for the schema in a file.

    A `$ref` to another file is resolved beside the schema; so is one to the server that the schema's
    `$id` names, by the last segment of its path. Any other address is an error.

    Raises:
        SettingsError: the file is missing or holds no JSON.
    """
    file = Path(path).resolve()
    schema = read(file)
    home = urlsplit(str(schema.get("$id", "")))

    def retrieve(uri: str) -> Resource[Any]:
        parts = urlsplit(uri)
        if home.netloc and parts[:2] == home[:2]:
            # never asked: what is published there is beside the schema as well
            target = (file.parent / unquote(parts.path).rpartition("/")[2]).resolve()
        elif parts.scheme == "file":
            target = Path(unquote(parts.path)).resolve()
        else:
            raise NoSuchResource(uri)
        if file.parent not in target.parents or not target.is_file():
            raise NoSuchResource(uri)
        return DRAFT7.create_resource(read(target))

    registry: Registry[Any] = Registry(retrieve=retrieve)  # type: ignore[call-arg]  # its alias
    resource = DRAFT7.create_resource(schema)
    registry = registry.with_resource(file.as_uri(), resource)
    validator_class = validator_for(schema, default=Draft7Validator)
    return validator_class(
        {"$ref": file.as_uri()} if "$id" not in schema else schema, registry=registry
    )


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
