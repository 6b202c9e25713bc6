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

    @property
    def logs(self) -> Path:
        """One log per process."""
        return self.path / "logs"

    @property
    def files(self) -> Path:
        """Uploaded import files."""
        return self.path / "files"

    @property
    def warehouse(self) -> Path:
        """Delta tables, dbt's private file, published versions."""
        return self.path / "warehouse"

    @property
    def postgres(self) -> Path:
        """PostgreSQL's data folder."""
        return self.path / "postgres"

    @property
    def backups(self) -> Path:
        """Base backups and archived write-ahead log, unless SLUICE_BACKUP_PATH names another folder."""
        return self.path / "backups"

    @property
    def secrets_file(self) -> Path:
        """Passwords of the roles, and the key that signs tokens."""
        return self.path / "secrets.json"

    @property
    def state_file(self) -> Path:
        """What the supervisor last wrote about its processes."""
        return self.path / "stack.json"

    @property
    def ports_file(self) -> Path:
        """The ports of the last start."""
        return self.path / "ports.json"

    @property
    def lock_file(self) -> Path:
        """Held by the running supervisor."""
        return self.path / "stack.lock"

    @property
    def unfinished_restore(self) -> Path:
        """There while a restore swaps folders; left behind if it was killed in that instant."""
        return self.path / "restore.unfinished"

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
