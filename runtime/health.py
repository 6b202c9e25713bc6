"""`python -m runtime.health NAME`: whether one process does its work, for container health checks."""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg

from runtime.process import answers
from runtime.processes import PROCESSES, SCORER

#: A process that has not reported for this long is taken for stuck.
_SILENCE = timedelta(seconds=60)

_REPORT = "select updated_at, state, detail ->> 'error' from process_status where process = %s"


def ailment(name: str) -> str | None:
    """What the process lacks; None when it answers, or has reported lately."""
    process = PROCESSES.get(name)
    if process is not None and process.port is not None:
        if not answers(f"http://127.0.0.1:{process.port()}{process.path}", timeout=5):
            return "does not answer"
        program = process.program()
        if program is None or process.reports_to is None:
            return None
        found = _silence(program, process.reports_to().get_secret_value())
        return f"its {program} {found}" if found else None
    if process is not None and process.reports_to is not None:
        return _silence(name, process.reports_to().get_secret_value())
    if process is not None and process.touches is not None:
        return _stillness(process.touches())
    there_are = ", ".join(PROCESSES)
    return f"there is no health check for {name!r}; there are {there_are}"


def _stillness(path: Path | None) -> str | None:
    if path is None:
        return "SLUICE_WORKER_ALIVE_PATH names no file to look at"
    try:
        touched_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except FileNotFoundError:
        return "has not begun"
    return None if datetime.now(UTC) - touched_at <= _SILENCE else f"has stood still since {touched_at}"


def _silence(name: str, url: str) -> str | None:
    try:
        with psycopg.connect(url, connect_timeout=5) as connection:
            row = connection.execute(_REPORT, [name]).fetchone()
    except psycopg.Error as error:
        return str(error)
    if row is None or datetime.now(UTC) - row[0] > _SILENCE:
        return f"has not reported since {row[0] if row else 'the start'}"
    _, state, why = row
    return f"fails: {why}" if state == "failing" and name == SCORER else None


if __name__ == "__main__":
    found = ailment(sys.argv[1])
    if found is not None:
        sys.exit(f"{sys.argv[1]}: {found}")
