"""`/v1/freshness` and the figures for Prometheus: how far the warehouse is, what the checks and processes say."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg

from ingest.reconcile import Counts, ReconcileReport
from metrics.publication import PublishedFolder
from metrics.status import Check, CheckState, FileStatusStore, GroupStatus, Refresh, RefreshState
from orchestration.mart_reconciliation import MartsReport, WrongFigure
from orchestration.reconciliation import Reconciliation, keep_result
from runtime.home import PROJECT
from tests.conftest import Database
from tests.factories import Account, Api


class TestFreshness:
    async def test_it_says_what_is_published_and_how_the_checks_ended(
        self, owner: Account, refresh: Callable[[], None], tmp_path: Path
    ) -> None:
        refresh()
        finished = datetime.now(UTC) - timedelta(seconds=3)
        check = Check(name="unique_deals", status=CheckState.WARN, message="2 rows", finished_at=finished)
        FileStatusStore(tmp_path).update(checks=[check])
        freshness = await owner.read("/v1/freshness")
        current = PublishedFolder(tmp_path).current()
        assert current is not None
        assert freshness["warehouse_version"] == current.version
        assert datetime.fromisoformat(freshness["published_at"]) == current.published_at
        assert freshness["events_behind"] == 0
        assert [found["status"] for found in freshness["checks"]] == ["warn"]

    async def test_t1_the_last_comparison_is_told_of_the_caller_s_organization_alone(
        self, api: Api, owner: Account, database: Database
    ) -> None:
        assert (await owner.read("/v1/freshness"))["reconciliation"] is None
        other = await api.sign_up()
        counts = {
            owner.organization_id: Counts(events=9, in_flight=1, missing=2, different=1),
            other.organization_id: Counts(events=5),
        }
        wrong = [WrongFigure(owner.organization_id, f"figure {number}", 1, 2) for number in range(4)]
        found = Reconciliation(ReconcileReport(organizations=counts, repaired=True), MartsReport(wrong=wrong))
        checked_at = datetime.now(UTC)
        keep_result(database.relay_url, found, checked_at=checked_at)
        told = (await owner.read("/v1/freshness"))["reconciliation"]
        assert datetime.fromisoformat(told.pop("checked_at")) == checked_at
        assert datetime.fromisoformat(told.pop("repaired_at")) >= checked_at
        assert told == {
            "is_clean": False, "events": 9, "in_flight": 1, "missing": 2, "extra": 0, "different": 1,
            "wrong_figures": 4,
        }  # fmt: skip
        told = (await other.read("/v1/freshness"))["reconciliation"]
        assert (told["is_clean"], told["events"], told["repaired_at"]) == (True, 5, None)

    async def test_it_says_what_each_process_reports_and_which_is_silent(
        self, owner: Account, database: Database
    ) -> None:
        with psycopg.connect(database.relay_url, autocommit=True) as connection:
            connection.execute("""
                insert into process_status (process, state, detail, updated_at) values
                    ('relay', 'running', '{"pending": 7, "error": null}', now()),
                    ('loader', 'running', '{"error": "no broker"}', now() - interval '2 minutes')
            """)
        loader, relay = (await owner.read("/v1/freshness"))["processes"]
        assert (relay["name"], relay["state"]) == ("relay", "running")
        assert (loader["name"], loader["state"]) == ("loader", "silent")
        assert set(relay) == {"name", "state", "seen_at"}  # what it counts is of all organizations

    async def test_t1_nobody_is_told_how_much_there_is_of_others(
        self, api: Api, refresh: Callable[[], None], tmp_path: Path, database: Database
    ) -> None:
        await api.sign_up()
        refresh()
        checks = [
            Check(
                name="sales: sound",
                status=CheckState.FAILED,
                message="null in 48,151 rows, such as 0196",
                holds="Sound.",
            )
        ]
        groups = [
            GroupStatus(name="sales", error="48,151 rows", why="The check “sound” failed."),
            GroupStatus(name="billing", error="48,151 rows"),
        ]
        now = datetime.now(UTC)
        failed = Refresh(status=RefreshState.FAILED, started_at=now, finished_at=now, error="sales: 48,151 rows")
        FileStatusStore(tmp_path).update(checks=checks, groups=groups, last_refresh=failed)
        with psycopg.connect(database.relay_url, autocommit=True) as connection:
            detail = '{"pending": 48151, "oldest_pending_seconds": 95.5, "parked": 48151, "error": "48151"}'
            connection.execute("insert into process_status values ('relay', 'running', %s)", (detail,))
        stranger = await api.sign_up()
        answer = await stranger.read("/v1/freshness")
        assert "48,151" not in str(answer)
        assert "48151" not in str(answer)
        assert [check["message"] for check in answer["checks"]] == ["Sound."]
        assert answer["last_refresh"]["error"].startswith("sales: The check “sound” failed.; billing: It could not be")

    async def test_o4_late_and_parked_events_raise_alarms_and_are_figures_for_prometheus(
        self, owner: Account, database: Database
    ) -> None:
        detail = '{"pending": 1234, "oldest_pending_seconds": 95.5, "parked": 3}'
        with psycopg.connect(database.relay_url, autocommit=True) as connection:
            connection.execute("insert into process_status values ('relay', 'running', %s)", (detail,))
            late = '{"behind_seconds": 31, "error": "the API refuses the key"}'
            connection.execute("insert into process_status values ('scorer', 'failing', %s)", (late,))
        raised = {alarm["name"]: alarm["message"] for alarm in (await owner.read("/v1/freshness"))["alarms"]}
        assert raised == {
            "events_wait_to_be_published": "The oldest event that waits has done so for 96 seconds.",
            "events_are_parked": "Some events cannot be published, or wait behind one that cannot.",
            "scores_are_not_renewed": "Scores do not follow what changes: the scorer fails, or says nothing.",
        }
        figures = (await owner.get("/metrics")).text
        assert 'sluice_outbox_oldest_pending_seconds{process="relay"} 95.5' in figures
        assert 'sluice_outbox_parked_events{process="relay"} 3.0' in figures
        assert 'sluice_process_state{process="relay",state="running"} 1.0' in figures
        assert 'sluice_scores_behind_seconds{process="scorer"} 31.0' in figures
        rules = (PROJECT / "deploy" / "prometheus" / "alerts.yml").read_text()
        named = set(re.findall(r"expr: .*?(sluice_\w+)", rules))
        assert len(named) == 9
        assert named <= set(re.findall(r"^# TYPE (\w+) gauge", figures, re.MULTILINE))
