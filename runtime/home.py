"""The embedded mode's state folder (`SLUICE_HOME`, by default `.sluice` in the project), its secrets and its ports."""

import json
import os
import secrets
import shutil
from dataclasses import dataclass, fields
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]

#: Below this much free space nothing is started: databases do badly on a full disk.
MINIMUM_FREE_BYTES = 500_000_000


class HomeError(RuntimeError):
    """The state folder cannot be used: says why and what to do."""


@dataclass(frozen=True)
class Ports:
    """Where the embedded stack listens, always on 127.0.0.1."""

    api: int = 8000
    dashboards: int = 8501
    dagster: int = 3000
    postgres: int = 15432
    broker: int = 19092

    @classmethod
    def from_base(cls, base: int | None) -> "Ports":
        """The usual ports, or five in a row from `base`."""
        return cls() if base is None else cls(base, base + 1, base + 2, base + 3, base + 4)


@dataclass(frozen=True)
class Secrets:
    """Generated once, readable by the owner of the folder alone."""

    postgres: str
    owner: str
    app: str
    relay: str
    worker: str
    secret_key: str
    backup: str


class _Place:
    """Where something lies in the state folder."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, home: "Home", _owner: type) -> Path:
        return home.path / self._name


@dataclass(frozen=True)
class Home:
    """The state folder and everything's place in it."""

    path: Path

    @classmethod
    def locate(cls) -> "Home":
        """The folder that SLUICE_HOME names, or `.sluice` in the project."""
        # os.environ: SLUICE_HOME says where settings and secrets lie, so it is read before any of them
        return cls(Path(os.environ.get("SLUICE_HOME") or PROJECT / ".sluice").absolute())

    def prepare(self) -> None:
        """Make the folder.

        Raises:
            HomeError: it cannot be written, or the disk is almost full.
        """
        try:
            for folder in (self.path, self.logs, self.files, self.warehouse):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise HomeError(
                f"Cannot write to {self.path}: {error.strerror}. Set SLUICE_HOME to another folder."
            ) from error
        free = shutil.disk_usage(self.path).free
        if free < MINIMUM_FREE_BYTES:
            raise HomeError(
                f"Only {free // 1_000_000} MB are free where {self.path} lies; Sluice needs"
                f" {MINIMUM_FREE_BYTES // 1_000_000} MB. Free some space, or set SLUICE_HOME to another disk."
            )

    #: One log per process.
    logs = _Place("logs")
    #: Uploaded import files.
    files = _Place("files")
    #: Delta tables, dbt's private file, published versions.
    warehouse = _Place("warehouse")
    #: PostgreSQL's data folder.
    postgres = _Place("postgres")
    #: Base backups and archived write-ahead log, unless SLUICE_BACKUP_PATH names another folder.
    backups = _Place("backups")
    #: Passwords of the roles, and the key that signs tokens.
    secrets_file = _Place("secrets.json")
    #: What the supervisor last wrote about its processes.
    state_file = _Place("stack.json")
    #: The ports of the last start.
    ports_file = _Place("ports.json")
    #: Held by the running supervisor.
    lock_file = _Place("stack.lock")
    #: There while a restore swaps folders; left behind if it was killed in that instant.
    unfinished_restore = _Place("restore.unfinished")

    def secrets(self) -> Secrets:
        """The secrets, made on first use."""
        path = self.secrets_file
        known = json.loads(path.read_text()) if path.exists() else {}
        # a home of an earlier release lacks the secrets of roles that came later
        missing = [field.name for field in fields(Secrets) if field.name not in known]
        if missing:
            known |= {name: secrets.token_urlsafe(32) for name in missing}
            temporary = path.with_suffix(".tmp")
            temporary.unlink(missing_ok=True)
            write_private(temporary, json.dumps(known))
            temporary.replace(path)
        return Secrets(**known)


def write_private(path: Path, text: str) -> None:
    """Write a new file that only its owner can read."""
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
