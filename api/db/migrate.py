"""Runs Alembic from code: the same door for `sluice up`, compose and tests."""

from io import StringIO
from pathlib import Path

from alembic import command
from alembic.config import Config

from api.db.urls import sqlalchemy_url

_MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(owner_url: str) -> None:
    """Bring the database to the newest migration, as sluice_owner. Idempotent."""
    command.upgrade(_config(owner_url), "head")


def render_sql() -> str:
    """The SQL of all migrations, for review and for linting."""
    output = StringIO()
    config = _config("postgresql://sluice_owner@localhost/sluice", output)
    command.upgrade(config, "head", sql=True)
    return output.getvalue()


def _config(owner_url: str, output: StringIO | None = None) -> Config:
    config = Config(output_buffer=output)
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["url"] = sqlalchemy_url(owner_url)
    return config
