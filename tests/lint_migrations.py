"""Lints the SQL of each migration with squawk: what locks a table for long, breaks the version before, or loses data.

The first release made its tables empty and nobody used them yet; from revision 0005 on every rule holds. A line that
must break one says so and why: `-- squawk-ignore <rule> -- <reason>` above it.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from api.db.migrate import render_sql, revisions

_FIRST_RELEASE_ENDS = "0004"
_FIRST_RELEASE_EXCEPTIONS = (
    "prefer-bigint-over-int",  # counts that a person could make stay small
    "prefer-bigint-over-smallint",  # weekdays, months and HTTP statuses more so
    "prefer-text-field",  # Alembic's own table
    "require-concurrent-index-creation",  # an index on the event log before it held an event
)


def findings(sql: str, *, excluded: Iterable[str] = ()) -> str:
    """What squawk has to say about the SQL; empty when nothing."""
    squawk = Path(sys.executable).with_name("squawk")
    with tempfile.TemporaryDirectory(prefix="sluice-lint-") as folder:
        script = Path(folder) / "migration.sql"
        script.write_text(sql)
        exclude = [f"--exclude={','.join(excluded)}"] if excluded else []
        argv = [str(squawk), "--pg-version=18", "--reporter=gcc", *exclude, str(script)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr if done.returncode else ""


def hurried_builds(sql: str) -> str:
    """Indexes that are built or dropped under a timeout; empty when none."""
    found, is_hurried = [], True
    for line in sql.lower().splitlines():
        if line.startswith("set statement_timeout"):
            is_hurried = not line.endswith("= 0;")
        elif is_hurried and "index concurrently" in line:
            found.append(f"{line}: under a timeout, see api/db/indexes.py")
    return "\n".join(found)


def lint(revision: str) -> str:
    """Findings about one migration."""
    sql = render_sql(revision)
    excluded = _FIRST_RELEASE_EXCEPTIONS if revision <= _FIRST_RELEASE_ENDS else ()
    return findings(sql, excluded=excluded) + hurried_builds(sql)


def main() -> int:
    """Print the findings about all migrations; 1 if there are any."""
    found = {revision: text for revision in revisions() if (text := lint(revision))}
    for revision, text in found.items():
        print(f"migration {revision}\n{text}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
