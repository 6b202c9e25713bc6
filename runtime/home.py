"""The embedded mode's state folder (`SLUICE_HOME`, by default `.sluice` in the project), its secrets and its ports."""

import hashlib
import json
import os
import re
import secrets
import shutil
import tempfile
from contextlib import suppress
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]

#: Below this much free space nothing is started: databases do badly on a full disk.
MINIMUM_FREE_BYTES = 500_000_000

#: A path that no engine, tool or shell takes for a pattern, an option or a piece of a URL.
_PLAIN = re.compile(r"[A-Za-z0-9_./-]+")

#: Characters below which DuckDB or Delta cannot keep a file, by whatever link it is reached: they follow it.
_IMPOSSIBLE = re.compile(r"[?%*^|{}\\\[\]]")


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
    operator: str
    #: Earlier values of `secret_key`, comma separated.
    secret_keys_before: str = ""


class _Place:
    """Where something lies in the state folder."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, home: "Home", _owner: type) -> Path:
        return home.path / self._name


@dataclass(frozen=True)
class Home:
    """The state folder and everything's place in it.

    `path` is how programs call it, `named` how the person does, where that is another name.
    """

    path: Path
    named: Path | None = None

    @classmethod
    def locate(cls) -> "Home":
        """The folder that SLUICE_HOME names, or `.sluice` in the project."""
        # os.environ: SLUICE_HOME says where settings and secrets lie, so it is read before any of them
        named = Path(os.environ.get("SLUICE_HOME") or PROJECT / ".sluice").absolute()
        path = plainly_named(named)
        return cls(path, named if path != named else None)

    def prepare(self) -> None:
        """Make the folder.

        Raises:
            HomeError: it cannot be written.
        """
        try:
            for folder in (self.path.resolve(), self.logs, self.warehouse):
                folder.mkdir(parents=True, exist_ok=True)
            if self.named is not None and not self.named.exists():
                self.named.parent.mkdir(parents=True, exist_ok=True)
                self.named.symlink_to(self.path.resolve())
            self.files.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise HomeError(
                f"Cannot write to {self.path}: {error.strerror}. Set SLUICE_HOME to another folder."
            ) from error

    def check_space(self) -> None:
        """Refuse to start anything on a full disk.

        Raises:
            HomeError: the disk is almost full.
        """
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
    #: There once the demo's deals were scored.
    demo_scored = _Place("demo.scored")
    #: Held by the running supervisor.
    lock_file = _Place("stack.lock")
    #: There while a restore swaps folders; left behind if it was killed in that instant.
    unfinished_restore = _Place("restore.unfinished")

    def secrets(self) -> Secrets:
        """The secrets, made on first use."""
        path = self.secrets_file
        known = json.loads(path.read_text()) if path.exists() else {}
        # a home of an earlier release lacks the secrets of roles that came later
        missing = [one.name for one in fields(Secrets) if one.name not in known and one.default is MISSING]
        if missing:
            known |= {name: secrets.token_urlsafe(32) for name in missing}
            self.keep(Secrets(**known))
        return Secrets(**known)

    def keep(self, kept: Secrets) -> None:
        """Keep other secrets from the next start on."""
        temporary = self.secrets_file.with_suffix(".tmp")
        temporary.unlink(missing_ok=True)
        write_private(temporary, json.dumps(asdict(kept)))
        temporary.replace(self.secrets_file)


def plainly_named(folder: Path) -> Path:
    """The folder by a name that every program understands: where its own has a space, `ü`, `#` or the like, a link to
    it. Delta takes `%20` for a space, DuckDB and SQLite `?` for the beginning of options: below such a name nothing can
    be kept, and what is named is a link to a folder beside.

    Raises:
        HomeError: the link cannot be made.
    """
    folder = _possible(folder)
    if _PLAIN.fullmatch(str(folder)):
        return folder
    # os.environ: as every program finds its cache
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute()
    places = [place / "sluice" / "homes" for place in (caches, Path(tempfile.gettempdir()))]
    for place in places:
        link = place / _digest(folder)
        if not _PLAIN.fullmatch(str(link)):
            continue
        with suppress(OSError):
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not link.is_symlink() or link.readlink() != folder:
                draft = link.with_name(f"{link.name}.{os.getpid()}")
                draft.symlink_to(folder)
                draft.replace(link)
            return link
    raise HomeError(f"{folder} needs a link with a plainer name, and {places[0]} cannot be written.")


def _possible(folder: Path) -> Path:
    """The folder, or the one in which its content lies: below the nearest ancestor that may be written."""
    if not _IMPOSSIBLE.search(str(folder)):
        return folder
    if folder.is_symlink():
        return folder.readlink()
    name = f".sluice-{_digest(folder)}"
    possible = (one for one in folder.parents if not _IMPOSSIBLE.search(str(one)) and os.access(one, os.W_OK))
    return next(possible, Path(tempfile.gettempdir())) / name


def _digest(folder: Path) -> str:
    return hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]


def write_private(path: Path, text: str) -> None:
    """Write a new file that only its owner can read."""
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
