"""What people see of the pipeline: every attempt to refresh and every check goes into the warehouse's status here.

The status keeps one entry per check. A refresh replaces the entries of its own checks and leaves the others alone.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from metrics.status import Check, CheckState, Refresh, RefreshState, StatusStore


class ChecksFailedError(RuntimeError):
    """Checks of the candidate failed, so it is not published: names them."""

    def __init__(self, failed: Sequence[Check]) -> None:
        self.failed = list(failed)
        names = "; ".join(f"{check.name}: {check.message}" for check in self.failed[:5])
        more = f" (and {len(self.failed) - 5} more)" if len(self.failed) > 5 else ""
        super().__init__(f"{len(self.failed)} check{'s' * (len(self.failed) != 1)} failed: {names}{more}")


@dataclass
class RefreshReport:
    """The report of one refresh, from its start to its end. Use `reporting` around each part of the work."""

    store: StatusStore
    started_at: datetime
    checks: list[Check] = field(default_factory=list)
    raw_version: str | None = None
    _before: Refresh | None = None
    _is_finished: bool = False

    def start(self) -> None:
        """Say that a refresh runs; an error of the one before stays visible until this one ends."""
        self._before = self.store.read().last_refresh
        error = self._before.error if self._before else None
        self.store.update(last_refresh=Refresh(status=RefreshState.RUNNING, started_at=self.started_at, error=error))

    def add(self, checks: Iterable[Check]) -> None:
        """Take up results of checks.

        Raises:
            ChecksFailedError: some of them failed.
        """
        results = list(checks)
        self.checks.extend(results)
        if failed := [check for check in results if check.status is CheckState.FAILED]:
            raise ChecksFailedError(failed)

    def succeed(self) -> None:
        """The new version is published."""
        self._finish(RefreshState.OK, None)

    def fail(self, error: BaseException) -> None:
        """The old version stays; says why."""
        self._finish(RefreshState.FAILED, str(error) or type(error).__name__)

    def close(self) -> None:
        """The run is over; one that neither published nor failed (parts of the models only) leaves no trace."""
        if not self._is_finished and self._before is not None:
            self.store.update(last_refresh=self._before)

    @contextmanager
    def reporting(self) -> Iterator[None]:
        """Report whatever goes wrong inside, and let it go on."""
        try:
            yield
        except BaseException as error:
            self.fail(error)
            raise

    def _finish(self, status: RefreshState, error: str | None) -> None:
        self._is_finished = True
        refresh = Refresh(status=status, started_at=self.started_at, finished_at=datetime.now(UTC), error=error)
        self.store.update(last_refresh=refresh, checks=merge_checks(self.store.read().checks, self.checks))


def merge_checks(known: Sequence[Check], new: Sequence[Check]) -> list[Check]:
    """Known checks with the new results in their place. New results replace their whole group (`group: name`)."""
    groups = {_group(check) for check in new}
    return sorted([*(check for check in known if _group(check) not in groups), *new], key=lambda check: check.name)


def _group(check: Check) -> str:
    return check.name.partition(":")[0]


def record_checks(store: StatusStore, checks: Sequence[Check]) -> None:
    """Write results of checks that are not part of a refresh."""
    store.update(checks=merge_checks(store.read().checks, checks))


def record_failure(store: StatusStore, started_at: datetime, error: str) -> None:
    """Say that a refresh failed, unless its own report has said why."""
    last = store.read().last_refresh
    if last is None or last.started_at < started_at or last.status is not RefreshState.FAILED:
        now = datetime.now(UTC)
        failed = Refresh(status=RefreshState.FAILED, started_at=started_at, finished_at=now, error=error)
        store.update(last_refresh=failed)
