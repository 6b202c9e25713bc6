"""`python -m runtime.health NAME`: whether one process does its work, for container health checks."""

import sys
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta

import psycopg

from contracts.settings import (
    ApiSettings,
    BackupSettings,
    DashboardSettings,
    OrchestrationSettings,
    RelayDatabaseSettings,
)

#: A process that has not reported for this long is taken for stuck.
_SILENCE = timedelta(seconds=60)


class UnhealthyError(RuntimeError):
    """The process does not answer or does not report."""


def health(name: str) -> int:
    """Answer 0 when the named process answers (api, dagster, dashboards) or has reported lately."""
    urls = {
        "api": lambda: f"http://127.0.0.1:{ApiSettings().api_port}/readyz",
        "dagster": lambda: f"http://127.0.0.1:{OrchestrationSettings().dagster_port}/server_info",
        "dashboards": lambda: f"http://127.0.0.1:{DashboardSettings().dashboards_port}/_stcore/health",
    }
    try:
        if name in urls:
            _check_url(urls[name]())
        elif name in {"relay", "loader", "refresh"}:
            _check_report(name, RelayDatabaseSettings().database_relay_url.get_secret_value())
        elif name == "archive":
            _check_report(name, BackupSettings().database_backup_url.get_secret_value())
        else:
            raise UnhealthyError(
                f"there is no health check for {name!r}; there are api, dagster, dashboards, relay, loader, refresh,"
                " archive"
            )
    except (UnhealthyError, urllib.error.URLError, OSError, psycopg.Error) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    return 0


def _check_url(url: str) -> None:
    with urllib.request.urlopen(url, timeout=5):  # noqa: S310  # a loopback URL of ours
        return


def _check_report(name: str, url: str) -> None:
    with psycopg.connect(url, connect_timeout=5) as connection:
        row = connection.execute("select updated_at from process_status where process = %s", [name]).fetchone()
    if row is None or datetime.now(UTC) - row[0] > _SILENCE:
        raise UnhealthyError(f"has not reported since {row[0] if row else 'the start'}")


if __name__ == "__main__":
    sys.exit(health(sys.argv[1]))
