"""Runs Alembic from code: the same door for `sluice up`, compose and tests.

A migration waits briefly for a lock, then lets go, so that no request queues up behind it for long or is ended as a
deadlock; the whole is tried again, a little more patiently, and what was already migrated stays.
"""

import logging
import random
import time
from collections.abc import Callable
from io import StringIO
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from psycopg.errors import DeadlockDetected, LockNotAvailable
from sqlalchemy.exc import OperationalError

from api.db.urls import sqlalchemy_url

logger = logging.getLogger(__name__)

_MIGRATIONS = Path(__file__).parent / "migrations"
_ATTEMPTS = 30
_LONGEST_PAUSE_SECONDS = 5.0


def upgrade(owner_url: str, revision: str = "head") -> None:
    """Bring the database up to a revision, the newest by default, as sluice_owner. Idempotent.

    Raises:
        OperationalError: a statement failed; a lock was not to be had in 30 attempts, which take two minutes or more.
    """
    _patiently(lambda config: command.upgrade(config, revision), owner_url)


def downgrade(owner_url: str, revision: str) -> None:
    """Take the database back to an older revision, `base` for none at all. Raises like `upgrade`."""
    _patiently(lambda config: command.downgrade(config, revision), owner_url)


def revisions() -> list[str]:
    """All revisions, the oldest first."""
    scripts = ScriptDirectory.from_config(_config("postgresql://"))
    return [script.revision for script in scripts.walk_revisions()][::-1]


def render_sql(revision: str) -> str:
    """The SQL of one migration with its timeouts, for review and for linting."""
    output = StringIO()
    config = _config("postgresql://sluice_owner@localhost/sluice", output)
    known = revisions()
    before = known[known.index(revision) - 1] if known.index(revision) else "base"
    command.upgrade(config, f"{before}:{revision}", sql=True)
    return output.getvalue()


def _patiently(run: Callable[[Config], None], owner_url: str) -> None:
    """Run until every lock was to be had."""
    config = _config(owner_url)
    for attempt in range(1, _ATTEMPTS + 1):
        # requests of a busy machine hold theirs longer; below a second PostgreSQL looks for no deadlock
        config.attributes["lock_timeout"] = f"{300 + 20 * attempt}ms"
        try:
            run(config)
        except OperationalError as error:
            if attempt == _ATTEMPTS or not isinstance(error.orig, LockNotAvailable | DeadlockDetected):
                raise
            # not in step with whatever holds the lock again and again
            pause = random.uniform(0.5, 1.0) * min(0.2 * 2**attempt, _LONGEST_PAUSE_SECONDS)  # noqa: S311
            logger.warning("a lock was not to be had; trying again in %.1f s", pause)
            time.sleep(pause)
        else:
            return


def _config(owner_url: str, output: StringIO | None = None) -> Config:
    config = Config(output_buffer=output)
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["url"] = sqlalchemy_url(owner_url)
    return config
