"""How a command ends: expected failures in a sentence on standard error, not in a traceback."""

import sys
import threading

import duckdb
import psycopg
import typer
from pydantic import ValidationError
from pydantic_settings.exceptions import SettingsError
from rich.console import Console

from runtime.serve import describe_settings

_errors = Console(stderr=True, highlight=False)

#: The command could not do what it was told to. 1 says that it did, and that something is wrong: figures that differ,
#: rows that failed, a check that is red. Wrong options end with 2, too.
_NOT_DONE = 2


def run(app: typer.Typer, *, expected: tuple[type[Exception], ...]) -> None:
    """Run a command line; what is `expected` says in its own words what is wrong and what to do."""
    threading.current_thread().name = "sluice"
    try:
        app()
    except expected as error:
        say_what_failed(str(error))
    except ValidationError as error:
        say_what_failed(f"settings are missing or wrong: {describe_settings(error)}. See .env.example.")
    except SettingsError as error:
        say_what_failed(f"settings cannot be read: {error}. See .env.example.")
    except psycopg.OperationalError as error:
        say_what_failed(f"PostgreSQL cannot be reached: {_first_line(error)}")
    except psycopg.Error as error:
        say_what_failed(f"PostgreSQL refused: {_first_line(error)}")
    except duckdb.Error as error:
        say_what_failed(f"the warehouse cannot be read: {_first_line(error)}")
    except OSError as error:
        say_what_failed(f"{error.strerror or error}: {error.filename or ''}".rstrip(": "))
    else:
        return
    sys.exit(_NOT_DONE)


def say_what_failed(message: str) -> None:
    """Say it."""
    _errors.print(f"[red]sluice:[/red] {message}", soft_wrap=True)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
