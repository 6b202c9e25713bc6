"""PostgreSQL's client programs (pg_basebackup and the like) as calls: passwords stay out of the process list."""

import os
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from runtime.embedded.postgres import PROGRAMS
from runtime.process import die_with_parent


class BackupError(RuntimeError):
    """A backup or a restore cannot be done: says why and what to do. Nothing was changed."""


def connection_arguments(url: str) -> tuple[list[str], dict[str, str]]:
    """Arguments that name the server, and the environment that holds the password."""
    parts = conninfo_to_dict(url)
    password = parts.pop("password", None)
    return ["-d", make_conninfo("", **parts)], {"PGPASSWORD": str(password)} if password else {}


def start_program(
    name: str, arguments: Sequence[str | Path], *, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """Start one of PostgreSQL's programs; its standard output and error are text pipes."""
    return subprocess.Popen(
        [str(PROGRAMS / name), *map(str, arguments)],
        # os.environ: a child inherits PATH, locale and certificates; times are printed in UTC, messages in English
        env={**os.environ, "TZ": "UTC", "LC_ALL": "C", **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=die_with_parent,  # noqa: PLW1509  # one prctl call, which takes no lock
    )


def run_program(
    name: str,
    arguments: Sequence[str | Path],
    *,
    environment: Mapping[str, str] | None = None,
    on_line: Callable[[str], None] = lambda _line: None,
    stop: threading.Event | None = None,
) -> tuple[int, str, list[str]]:
    """Run a program to its end: exit code, standard output, lines of standard error. `on_line` hears of each of those;
    when `stop` is set the program is asked to end."""
    with start_program(name, arguments, environment=environment) as process:
        output: list[str] = []
        reader = threading.Thread(target=lambda: output.extend(process.stdout or ()))
        reader.start()
        lines = []
        for line in process.stderr or ():
            lines.append(line.rstrip())
            on_line(lines[-1])
            if stop is not None and stop.is_set():
                process.terminate()
        reader.join()
        return process.wait(), "".join(output), lines
