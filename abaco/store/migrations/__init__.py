"""The migrations of the database, run at a start that finds an older version of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from abaco.exceptions import SettingsError

if TYPE_CHECKING:
    from sqlalchemy import Engine

FOLDER = Path(__file__).parent


def upgrade(engine: Engine) -> None:
    """Bring a database to the newest version, in one transaction; of several at once, one does it.

    Raises:
        SettingsError: it is of a version that is not known here.
    """
    with engine.connect().execution_options(writing=True) as connection, connection.begin():
        configuration = _configuration()
        configuration.attributes["connection"] = connection
        try:
            command.upgrade(configuration, "head")
        except CommandError as error:
            message = (
                "the platform's database was written by a later version of this program: "
                f"install that, or name another database ({error})"
            )
            raise SettingsError(message) from error


def newest() -> str | None:
    """Return the revision of the newest migration."""
    return ScriptDirectory.from_config(_configuration()).get_current_head()


def _configuration() -> Config:
    configuration = Config()
    configuration.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    return configuration
