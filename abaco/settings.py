"""The configuration file `abaco.yml`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from abaco import checked_yaml, references
from abaco.checked_yaml import SECONDS, TEXT
from abaco.exceptions import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE_NAME = "abaco.yml"
MEBIBYTE = 1024 * 1024
CAMEL, SNAKE = CASES = ("camel", "snake")
"""How the API spells the names in documents and of parameters: `actorId`, or `actor_id`."""
LOCAL, CELERY = ENGINES = ("local", "celery")
"""What runs messages: this process, or the nodes of a fleet (docs/fleet.md)."""
QUEUES = ("default", "special")
"""Of actors: the nodes that serve one of them run its messages."""
NONE = "none"
CONTAINER_ENGINES = {"docker": "/var/run/docker.sock", "podman": "/run/podman/podman.sock"}
"""What runs containers, each with the socket at which it usually listens."""
PULLS = ALWAYS, MISSING, NEVER = ("always", "missing", "never")
"""When an image is fetched from its registry."""
_HOST = {"type": "string", "pattern": r"^[0-9A-Za-z._-]+$|^[0-9A-Fa-f:.]+$"}
_COUNT = {"type": "integer", "minimum": 1}
_PORT = {"type": "integer", "minimum": 0, "maximum": 65535}
_BROKER = "^amqps?://"
_POSTGRES = "postgresql+psycopg://"
_ENCODED = "with @ / # : ? ; % in its password percent-encoded, %40 for @"
_SECRET = {
    "broker": f"give the amqp:// URL of a RabbitMQ, {_ENCODED}",
    "database": f"give a {_POSTGRES} URL, {_ENCODED}",
    "jwt": "",
}
"""Keys whose values are not shown, since they may hold passwords and keys, and what to do about them."""
_SIZE = {"type": "string", "pattern": "^[1-9][0-9]{0,9}[kmg]$"}

_LIMITS = {
    "body_bytes": _COUNT,
    "binary_bytes": _COUNT,
    "bodies_bytes": _COUNT,
    "body_seconds": SECONDS,
    "head_seconds": SECONDS,
    "connections": _COUNT,
    "synchronous_seconds": SECONDS,
    "execution_seconds": SECONDS,
    "stop_seconds": SECONDS,
    "log_characters": _COUNT,
    "log_seconds": _COUNT,
    "longest_log_seconds": _COUNT,
    "result_seconds": _COUNT,
    "results": _COUNT,
    "workers": _COUNT,
    "growth_bytes": _COUNT,
    "reserve_bytes": {"type": "integer", "minimum": 0},
}
SETTINGS_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "host": TEXT,
        "port": _PORT,
        "hosts": {"type": "array", "items": _HOST},
        "tls_port": _PORT,
        "data": TEXT,
        "database": TEXT,
        "engine": {"enum": list(ENGINES)},
        "broker": {"type": "string", "pattern": _BROKER},
        "public_url": {"type": "string", "pattern": "^https?://[^/?#]+$"},
        "images": TEXT,
        "setup": {"type": "string", "pattern": r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$"},
        "strict_messages": {"type": "boolean"},
        "private_webhooks": {"type": "boolean"},
        "case": {"enum": list(CASES)},
        "containers": {
            "type": "object",
            "additionalProperties": False,
            "required": ["engine"],
            "properties": {
                "engine": {"enum": [NONE, *CONTAINER_ENGINES]},
                "socket": TEXT,
                "registries": {"type": "array", "items": {"type": "string", "pattern": "^[^/]+$"}},
                "pull": {"enum": list(PULLS)},
                "network": TEXT,
                "user": {"type": "string", "pattern": "^[0-9]{1,9}(:[0-9]{1,9})?$"},
                "memory": _SIZE,
                "cpus": {"type": "number", "minimum": 0.01, "maximum": 1024},
                "pids": _COUNT,
            },
        },
        "tenants": {
            "type": "object",
            "minProperties": 1,
            "propertyNames": {"type": "string", "pattern": "^[A-Z0-9][A-Z0-9-]{0,31}$"},
            "additionalProperties": {
                "type": ["object", "null"],
                "additionalProperties": False,
                "properties": {
                    "public_url": {"type": "string", "pattern": "^https?://[^/?#]+$"},
                    "jwt": {
                        "type": "object",
                        "additionalProperties": False,
                        "required": ["algorithm"],
                        "properties": {
                            "algorithm": {"enum": ["RS256", "HS256"]},
                            "key": TEXT,
                            "key_file": TEXT,
                        },
                        "oneOf": [{"required": ["key"]}, {"required": ["key_file"]}],
                    },
                },
            },
        },
        "limits": {"type": "object", "additionalProperties": False, "properties": _LIMITS},
    },
}


@dataclass(frozen=True)
class Limits:
    """What is bounded; sizes in bytes or characters, times in seconds."""

    body_bytes: int = 2 * MEBIBYTE
    binary_bytes: int = 16 * MEBIBYTE
    bodies_bytes: int = 64 * MEBIBYTE
    body_seconds: float = 30.0
    head_seconds: float = 10.0
    connections: int = 1000
    synchronous_seconds: float = 600.0
    execution_seconds: float = 3600.0
    stop_seconds: float = 10.0
    log_characters: int = 1_000_000
    log_seconds: int = 43_200
    longest_log_seconds: int = 86_400
    result_seconds: int = 1_200
    results: int = 100
    workers: int = 8
    growth_bytes: int = 256 * MEBIBYTE
    reserve_bytes: int = 256 * MEBIBYTE


@dataclass(frozen=True)
class JwtKey:
    """What assertions of a tenant are checked with."""

    algorithm: str
    key: str = field(repr=False)


@dataclass(frozen=True)
class Tenant:
    """A tenant: its name is the prefix of its nonces and part of the assertion's header."""

    name: str
    jwt: JwtKey | None = None
    public_url: str | None = None


@dataclass(frozen=True)
class Containers:
    """How actors run in containers.

    Attributes:
        engine: `docker`, `podman`, or `none` where there are no containers.
        socket: where the engine listens.
        registries: whose images may be registered, besides those that the file of images names.
        pull: when an image is fetched: `always`, where it is `missing`, or `never`.
        network: the name of the engine's network that a container is in.
        user: `uid` or `uid:gid`; by default a uid by chance for each container.
        memory: the most that a container may use, of an actor without `memLimit`.
        cpus: likewise, of an actor without `maxCpus`.
        pids: how many processes and threads it may have.
    """

    engine: str = NONE
    socket: str = ""
    registries: tuple[str, ...] = (references.HUB,)
    pull: str = MISSING
    network: str = "bridge"
    user: str = ""
    memory: str = "1g"
    cpus: float = 1.0
    pids: int = 256


@dataclass(frozen=True)
class Settings:
    """The configuration of a gateway; paths are absolute.

    Attributes:
        database: the URL of the platform's database.
        engine: what runs messages, `LOCAL` or `CELERY`.
        broker: the URL of the RabbitMQ of a fleet.
        hosts: further names that clients may call the gateway by.
        public_url: what links and actors call the gateway; by default its address.
        setup: a module that prepares what the actors need (see `abaco.platform`).
        private_webhooks: let all webhooks of actors lead to this machine and to private networks,
            not only those of administrators.
        strict_messages: read messages by the letter of Abaco, also where that loses what was sent.
        case: how names are spelled, `CAMEL` or `SNAKE`.
        images_files: where images are looked up by `load_images`.
    """

    file: Path
    data: Path
    database: str = field(repr=False)
    host: str = "127.0.0.1"
    port: int = 8000
    hosts: tuple[str, ...] = ()
    tls_port: int | None = None
    public_url: str | None = None
    setup: str | None = None
    strict_messages: bool = False
    private_webhooks: bool = False
    case: str = CAMEL
    engine: str = LOCAL
    broker: str = field(default="", repr=False)
    images_files: tuple[Path, ...] = (Path("images.yml"),)
    tenants: Mapping[str, Tenant] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    containers: Containers = field(default_factory=Containers)

    @property
    def default_tenant(self) -> str:
        """The first tenant of the file."""
        return next(iter(self.tenants))

    def public_url_of(self, tenant: str) -> str:
        """Return what links and actors of a tenant call the gateway; empty where no setting says it."""
        own = self.tenants.get(tenant)
        return (own and own.public_url) or self.public_url or ""


def load(file: Path, *, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Read the configuration; a file that does not exist means the defaults.

    Args:
        file: its folder is what relative paths in it refer to.
        overrides: keys that win over the file's; None counts as absent.

    Raises:
        SettingsError: a key or value cannot be used.
    """
    content = checked_yaml.read(file)
    content.update({key: value for key, value in (overrides or {}).items() if value is not None})
    if isinstance(content.get("containers"), str):
        content["containers"] = {"engine": content["containers"]}
    checked_yaml.check(SETTINGS_SCHEMA, content, file, hidden=_SECRET)
    folder = file.resolve().parent
    data = folder / content.get("data", ".local/abaco")
    tenants = {
        name: _tenant(name, section or {}, folder)
        for name, section in (content.get("tenants") or {"SD2E": {}}).items()
    }
    plain = {key: content[key] for key in _PLAIN if key in content}
    settings = Settings(
        file=file.resolve(),
        data=data,
        database=content.get("database", f"sqlite:///{data / 'abaco.db'}"),
        images_files=(folder / content.get("images", "images.yml"), data / "images.yml"),
        tenants=tenants,
        hosts=tuple(content.get("hosts", ())),
        limits=Limits(**content.get("limits", {})),
        containers=_containers(content.get("containers", {"engine": NONE})),
        **plain,
    )
    _check_urls(settings)
    if settings.engine == CELERY:
        _check_fleet(settings)
    return settings


_PLAIN = (
    *("host", "port", "tls_port", "public_url"),
    *("setup", "strict_messages", "private_webhooks", "case", "engine", "broker"),
)


def _check_urls(settings: Settings) -> None:
    """Refuse URLs in which a part of a password would be taken for something else, and shown."""
    for url in filter(None, settings.broker.split(";")):
        try:
            found = urlsplit(url)
            _ = found.port
        except ValueError:
            is_good = False
        else:
            rest = (found.path, found.query, found.fragment)
            is_good = not re.search("[@#]", "".join(rest)) and bool(re.search(_BROKER, url))
        if not is_good:
            raise checked_yaml.refused(settings.file, "broker", _SECRET["broker"])
    if settings.database.startswith("postgres") and not settings.database.startswith(_POSTGRES):
        raise checked_yaml.refused(settings.file, "database", _SECRET["database"])


def _check_fleet(settings: Settings) -> None:
    """Check that what several machines share is there for all of them."""
    lacking = {
        "database": (f"a {_POSTGRES} URL", settings.database.startswith(_POSTGRES)),
        "broker": ("the amqp:// URL of a RabbitMQ", bool(settings.broker)),
        "public_url": (
            "the URL at which actors on any machine reach it",
            bool(settings.public_url),
        ),
    }
    for key, (needed, is_there) in lacking.items():
        if not is_there:
            message = f"{settings.file}: engine celery needs {key}: {needed}"
            raise SettingsError(message)


def _containers(section: dict[str, Any]) -> Containers:
    socket = section.get("socket", CONTAINER_ENGINES.get(section["engine"], ""))
    registries = tuple(section.get("registries", Containers.registries))
    return Containers(**{**section, "socket": socket, "registries": registries})


def _tenant(name: str, section: dict[str, Any], folder: Path) -> Tenant:
    jwt = section.get("jwt")
    key = None
    if jwt is not None:
        text = jwt.get("key")
        if text is None:
            path = folder / jwt["key_file"]
            try:
                text = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                message = f"tenants.{name}.jwt.key_file: {path} cannot be read"
                raise SettingsError(message) from error
        key = JwtKey(jwt["algorithm"], text)
        _check_key(f"tenants.{name}.jwt", key)
    return Tenant(name, key, section.get("public_url"))


def _check_key(place: str, key: JwtKey) -> None:
    import jwt  # noqa: PLC0415 - most gateways do without

    try:
        jwt.get_algorithm_by_name(key.algorithm).prepare_key(key.key)
    except (jwt.InvalidKeyError, ValueError) as error:
        message = f"{place}: the key is none for {key.algorithm}, which needs a public key in PEM"
        if key.algorithm == "HS256":
            message = f"{place}: the key is none for HS256, which needs a secret, not a PEM"
        raise SettingsError(message) from error
