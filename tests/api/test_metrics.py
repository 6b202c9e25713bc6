"""`/v1/metrics` and `/v1/freshness` on a real database and a published warehouse."""

import asyncio
import os
import re
import threading
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
import pytest_asyncio

from api.metrics import service
from contracts.access import Role
from contracts.events.registry import parse
from ingest.kept_result import OrganizationResult, keep_results
from metrics.answers import Figures
from metrics.parameters import read
from metrics.publication import PublishedFolder
from metrics.query import CellAddress, answer, rows
from metrics.reader import DuckDBReader
from metrics.registry import definition_of, definitions
from metrics.status import Check, CheckState, FileStatusStore
from metrics.viewer import Viewer
from runtime.home import PROJECT
from tests.conftest import Database
from tests.event_history import AnyEvent
from tests.factories import Account, Api, start_api
from tests.metrics.marts import publish_duckdb
from tests.warehouse_builder import duckdb_warehouse

_COLUMNS = (
    "event_id, organization_id, type, version, aggregate_type, aggregate_id, aggregate_version, occurred_at,"
    " recorded_at, actor, actor_id, causation_id, correlation_id, depth, data"
)


def _events(database: Database) -> list[AnyEvent]:
    with psycopg.connect(database.relay_url) as connection:
        found = connection.execute(f"select {_COLUMNS} from event_log order by position").fetchall()
    names = ["id", *_COLUMNS.replace(" ", "").split(",")[1:]]
    return [parse(dict(zip(names, row, strict=True))) for row in found]


@pytest_asyncio.fixture
async def api(database: Database, tmp_path: Path) -> AsyncIterator[Api]:
    started = await start_api(database, warehouse=duckdb_warehouse(tmp_path))
    yield started
    await started.close()
    started.app.state.services.figures.close()


@pytest.fixture
def refresh(database: Database, tmp_path: Path) -> Callable[[], None]:
    """Publish everything that the event log holds now."""
    return lambda: publish_duckdb(tmp_path, _events(database), at=datetime.now(UTC))


@pytest_asyncio.fixture
async def owner(api: Api) -> Account:
    return await api.sign_up()


async def _pipeline(account: Account) -> dict[str, Any]:
    found: dict[str, Any] = (await account.read("/v1/pipelines"))["items"][0]
    return found


async def _deal(account: Account, pipeline: dict[str, Any], **fields: Any) -> dict[str, Any]:
    body = {"pipeline_id": pipeline["id"], "title": "400 seats", "amount_minor": 5_000, **fields}
    return await account.made("/v1/deals", json=body)


class TestListMetrics:
    async def test_every_definition_is_listed_with_its_hash(self, owner: Account) -> None:
        listed = await owner.read("/v1/metrics")
        assert {item["name"]: item["definition"] for item in listed["items"]} == {
            metric.name: metric.definition for metric in definitions().values()
        }
        assert listed["next_cursor"] is None

    async def test_anonymous_callers_learn_nothing(self, api: Api) -> None:
        for path in ("/v1/metrics", "/v1/metrics/funnel", "/v1/metrics/funnel/rows", "/v1/freshness"):
            assert (await api.http.get(path)).status_code == 401


class TestReadMetric:
    async def test_before_anything_is_published_it_says_so(self, owner: Account) -> None:
        pipeline = await _pipeline(owner)
        answer = await owner.get("/v1/metrics/funnel", params={"pipeline_id": pipeline["id"]})
        assert (answer.status_code, answer.json()["code"]) == (503, "warehouse_not_ready")
        freshness = await owner.read("/v1/freshness")
        assert freshness["warehouse_version"] is None
        assert freshness["events_behind"] > 0

    async def test_a_pipeline_that_is_on_its_way_is_not_ready(
        self, owner: Account, refresh: Callable[[], None]
    ) -> None:
        refresh()
        created = await owner.made("/v1/pipelines", json={"name": "Later", "stages": _STAGES})
        answer = await owner.get("/v1/metrics/funnel", params={"pipeline_id": created["id"]})
        assert (answer.status_code, answer.json()["code"]) == (503, "warehouse_not_ready")

    async def test_golden_9_the_api_answers_what_the_query_path_answers(
        self, owner: Account, refresh: Callable[[], None], tmp_path: Path
    ) -> None:
        pipeline = await _pipeline(owner)
        first, second = pipeline["stages"][:2]
        moved = await _deal(owner, pipeline, source="Website")
        await owner.made(f"/v1/deals/{moved['id']}/move", json={"stage_id": second["id"]})
        lost = await _deal(owner, pipeline)
        await owner.made(f"/v1/deals/{lost['id']}/lose", json={"reason": "Price"})
        won = await _deal(owner, pipeline)
        await owner.made(f"/v1/deals/{won['id']}/win", json={})
        refresh()
        now, reader, viewer = datetime.now(UTC), DuckDBReader(tmp_path), Viewer(owner.organization_id)
        for metric in definitions().values():
            given = {"pipeline_id": pipeline["id"]}
            direct = answer(reader, metric, read(metric, given), viewer=viewer, now=now)
            over_http = await owner.read(f"/v1/metrics/{metric.name}", params=given)
            assert over_http["rows"] == direct.rows
            assert over_http["parameters"] == direct.parameters
            assert over_http["definition"] == metric.definition
            assert over_http["freshness"] == {"through": over_http["as_of"], "events_behind": 0}
        funnel = definition_of("funnel")
        given = {"pipeline_id": pipeline["id"]}
        page = rows(
            reader,
            funnel,
            read(funnel, given),
            CellAddress("entered", UUID(first["id"])),
            viewer=viewer,
            now=now,
            limit=10,
        )
        behind = await owner.read(
            "/v1/metrics/funnel/rows", params={**given, "measure": "entered", "stage_id": first["id"]}
        )
        assert (
            behind["total"]
            == {"count": page.count, "amount_minor": page.amount_minor}
            == {
                "count": 3,
                "amount_minor": 15_000,
            }
        )
        assert {item["title"] for item in behind["items"]} == {"400 seats"}
        reader.close()

    async def test_names_are_added_when_shown(self, owner: Account, refresh: Callable[[], None]) -> None:
        pipeline = await _pipeline(owner)
        lost = await _deal(owner, pipeline, source="Website")
        await owner.made(f"/v1/deals/{lost['id']}/lose", json={"reason": "Price"})
        refresh()
        given = {"pipeline_id": pipeline["id"], "group_by": "source"}
        funnel = await owner.read("/v1/metrics/funnel", params=given)
        assert {"Website", "Price", *(stage["name"] for stage in pipeline["stages"])} <= set(funnel["labels"].values())
        team = await owner.read("/v1/metrics/team_performance")
        assert team["labels"][str(owner.user_id)] == "Robin Owner"

    async def test_a_later_event_is_counted_as_behind_and_the_etag_changes(
        self, owner: Account, refresh: Callable[[], None]
    ) -> None:
        refresh()
        path, given = "/v1/metrics/deals_created", {"from": "2026-01-01", "to": "2100-01-01"}
        first = await owner.get(path, params=given)
        same = await owner.get(path, params=given, headers={"If-None-Match": first.headers["ETag"]})
        assert (same.status_code, same.content) == (304, b"")
        await _deal(owner, await _pipeline(owner))
        behind = await owner.get(path, params=given, headers={"If-None-Match": first.headers["ETag"]})
        assert behind.json()["freshness"]["events_behind"] == 1
        refresh()
        fresh = (await owner.get(path, params=given)).json()
        assert fresh["freshness"]["events_behind"] == 0
        assert [row["deals_created"] for row in fresh["rows"]] == [1]
        assert fresh["warehouse_version"] > behind.json()["warehouse_version"]

    async def test_a_wrong_parameter_is_named(self, owner: Account, refresh: Callable[[], None]) -> None:
        refresh()
        pipeline = await _pipeline(owner)
        for given, field in _WRONG_PARAMETERS:
            answer = await owner.get("/v1/metrics/funnel", params={"pipeline_id": pipeline["id"], **given})
            assert (answer.status_code, answer.json()["code"]) == (422, "invalid_parameter")
            assert [wrong["parameter"] for wrong in answer.json()["errors"]] == [field]

    async def test_an_unknown_metric_is_not_found(self, owner: Account) -> None:
        for path in ("/v1/metrics/happiness", "/v1/metrics/happiness/rows"):
            assert (await owner.get(path)).json()["code"] == "unknown_metric"


class TestWhileAFigureIsComputed:
    async def test_others_have_its_connection_and_go_first(
        self, database: Database, tmp_path: Path, refresh: Callable[[], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        api = await start_api(database, warehouse=duckdb_warehouse(tmp_path), pool_size=1)
        owner = await api.sign_up()
        pipeline = await _pipeline(owner)
        refresh()
        has_begun, may_end, niceness = threading.Event(), threading.Event(), []
        compute = Figures.answer

        def compute_slowly(*arguments: Any, **named: Any) -> Any:
            niceness.append(os.getpriority(os.PRIO_PROCESS, 0))
            has_begun.set()
            may_end.wait(60)
            return compute(*arguments, **named)

        monkeypatch.setattr(Figures, "answer", compute_slowly)
        asked = asyncio.create_task(owner.get("/v1/metrics/funnel", params={"pipeline_id": pipeline["id"]}))
        try:
            assert await asyncio.to_thread(has_begun.wait, 60)
            assert (await owner.get("/v1/me")).status_code == 200
        finally:
            may_end.set()
            assert (await asked).status_code == 200
            await api.close()
            api.app.state.services.figures.close()
        assert niceness[0] > os.getpriority(os.PRIO_PROCESS, 0)

    async def test_who_does_not_wait_gets_the_answer_of_the_version_before(
        self, owner: Account, refresh: Callable[[], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pipeline = await _pipeline(owner)
        refresh()
        may_end, compute = threading.Event(), Figures.answer

        def compute_slowly(*arguments: Any, **named: Any) -> Any:
            assert may_end.wait(60)
            return compute(*arguments, **named)

        async def ask(cache_control: str = "") -> dict[str, Any]:
            given, headers = {"pipeline_id": pipeline["id"]}, {"Cache-Control": cache_control}
            return await owner.read("/v1/metrics/funnel", params=given, headers=headers)

        before = await ask()
        await _deal(owner, pipeline)
        refresh()
        monkeypatch.setattr(Figures, "answer", compute_slowly)
        assert await ask() == before | {"freshness": before["freshness"] | {"events_behind": 1}}
        longer = 5 * service.PATIENCE.total_seconds()
        patient = asyncio.create_task(ask("no-cache"))
        assert await asyncio.wait({patient}, timeout=longer) == (set(), {patient})
        monkeypatch.setattr(service, "OLDEST_KEPT", timedelta(0))
        too_old = asyncio.create_task(ask())
        assert await asyncio.wait({too_old}, timeout=longer) == (set(), {too_old})
        may_end.set()
        assert await patient == await too_old
        assert (await ask())["rows"][0]["entered"] == (await patient)["rows"][0]["entered"] == 1


class TestWhoSeesWhat:
    async def test_another_organization_gets_nothing(
        self, api: Api, owner: Account, refresh: Callable[[], None]
    ) -> None:
        pipeline = await _pipeline(owner)
        await _deal(owner, pipeline)
        stranger = await api.sign_up()
        refresh()
        for path in ("/v1/metrics/funnel", "/v1/metrics/win_rate", "/v1/metrics/funnel/rows"):
            given = {"pipeline_id": pipeline["id"], "stage_id": pipeline["stages"][0]["id"]}
            if not path.endswith("rows"):
                del given["stage_id"]
            assert (await stranger.get(path, params=given)).status_code == 404
        assert (await stranger.read("/v1/metrics/deals_created"))["rows"][0]["deals_created"] == 0
        assert (await stranger.read("/v1/metrics/team_performance"))["rows"] == []

    async def test_a_rep_sees_their_own_deals_in_lists_and_figures(
        self, owner: Account, refresh: Callable[[], None]
    ) -> None:
        rep = await owner.add_user(role=Role.REP)
        pipeline = await _pipeline(owner)
        mine = await _deal(rep, pipeline)
        await _deal(owner, pipeline)
        refresh()
        given = {"pipeline_id": pipeline["id"]}
        first = pipeline["stages"][0]["id"]
        assert (await rep.read("/v1/metrics/funnel", params=given))["rows"][0]["entered"] == 1
        assert (await owner.read("/v1/metrics/funnel", params=given))["rows"][0]["entered"] == 2
        behind = await rep.read("/v1/metrics/funnel/rows", params={**given, "measure": "entered", "stage_id": first})
        assert [item["deal_id"] for item in behind["items"]] == [mine["id"]]
        credited = (await rep.read("/v1/metrics/team_performance"))["rows"]
        assert [row["owner_id"] for row in credited] == [str(rep.user_id)]


class TestRows:
    async def test_pages_speak_of_one_instant_while_deals_arrive(
        self, owner: Account, refresh: Callable[[], None]
    ) -> None:
        pipeline = await _pipeline(owner)
        made = [(await _deal(owner, pipeline))["id"] for _ in range(5)]
        refresh()
        given = {"pipeline_id": pipeline["id"], "measure": "entered", "stage_id": pipeline["stages"][0]["id"]}
        page = await owner.read("/v1/metrics/funnel/rows", params={**given, "limit": 2})
        seen = [item["deal_id"] for item in page["items"]]
        await _deal(owner, pipeline)
        refresh()
        while page["next_cursor"]:
            page = await owner.read(
                "/v1/metrics/funnel/rows", params={**given, "limit": 2, "cursor": page["next_cursor"]}
            )
            assert page["total"] == {"count": 5, "amount_minor": 25_000}
            seen += [item["deal_id"] for item in page["items"]]
        assert seen == sorted(made)

    async def test_an_owners_row_opens_by_owner_id(self, owner: Account, refresh: Callable[[], None]) -> None:
        deal = await _deal(owner, await _pipeline(owner))
        await owner.made(f"/v1/deals/{deal['id']}/win", json={})
        refresh()
        row = (await owner.read("/v1/metrics/team_performance"))["rows"][0]
        given = {"measure": "won_amount_minor", "owner_id": row["owner_id"]}
        behind = await owner.read("/v1/metrics/team_performance/rows", params=given)
        assert behind["total"] == {"count": 1, "amount_minor": row["won_amount_minor"]}

    async def test_a_cell_that_is_none_is_named(self, owner: Account, refresh: Callable[[], None]) -> None:
        refresh()
        pipeline = await _pipeline(owner)
        for given, field in _WRONG_CELLS:
            answer = await owner.get("/v1/metrics/funnel/rows", params={"pipeline_id": pipeline["id"], **given})
            assert answer.status_code == 422, answer.text
            assert [wrong["parameter"] for wrong in answer.json()["errors"]] == [field]


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
        hurt = OrganizationResult(
            organization_id=owner.organization_id, events=9, in_flight=1, missing=2, extra=0, different=1,
            wrong_figures=4, is_repaired=True,
        )  # fmt: skip
        sound = OrganizationResult(
            organization_id=other.organization_id, events=5, in_flight=0, missing=0, extra=0, different=0,
            wrong_figures=0, is_repaired=False,
        )  # fmt: skip
        checked_at = datetime.now(UTC)
        keep_results(database.relay_url, [hurt, sound], checked_at=checked_at)
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
        assert (relay["name"], relay["state"], relay["lag"], relay["message"]) == ("relay", "running", 7, None)
        assert (loader["name"], loader["state"], loader["message"]) == ("loader", "silent", "no broker")

    async def test_o4_late_and_parked_events_raise_alarms_and_are_figures_for_prometheus(
        self, owner: Account, database: Database
    ) -> None:
        detail = '{"pending": 1234, "oldest_pending_seconds": 95.5, "parked": 3}'
        with psycopg.connect(database.relay_url, autocommit=True) as connection:
            connection.execute("insert into process_status values ('relay', 'running', %s)", (detail,))
        raised = {alarm["name"]: alarm["message"] for alarm in (await owner.read("/v1/freshness"))["alarms"]}
        assert raised == {
            "events_wait_to_be_published": "1,234 events wait, the oldest for 96 seconds.",
            "events_are_parked": "3 events cannot be published, or wait behind one that cannot.",
        }
        figures = (await owner.get("/metrics")).text
        assert 'sluice_outbox_oldest_pending_seconds{process="relay"} 95.5' in figures
        assert 'sluice_outbox_parked_events{process="relay"} 3.0' in figures
        assert 'sluice_process_state{process="relay",state="running"} 1.0' in figures
        rules = (PROJECT / "deploy" / "prometheus" / "alerts.yml").read_text()
        named = set(re.findall(r"expr: .*?(sluice_\w+)", rules))
        assert len(named) == 5
        assert named <= set(re.findall(r"^# TYPE (\w+) gauge", figures, re.MULTILINE))


_STAGES = [
    {"name": "New", "kind": "open"},
    {"name": "Won", "kind": "won"},
    {"name": "Lost", "kind": "lost"},
]

_WRONG_PARAMETERS = [
    ({"colour": "red"}, "colour"),
    ({"cohort": "everybody"}, "cohort"),
    ({"cohort": "entered:00000000-0000-7000-8000-000000000001"}, "cohort"),
    ({"from": "2026-05-01", "to": "2026-05-01"}, "from"),
    ({"from": "yesterday"}, "from"),
    ({"group_by": "shoe_size"}, "group_by"),
    ({"window_days": "0"}, "window_days"),
    ({"as_of": "2026-05-01T10:00:00"}, "as_of"),
    ({"pipeline_id": "1; drop table deals"}, "pipeline_id"),
    ({"pipeline_id": ""}, "pipeline_id"),
]

_WRONG_CELLS = [
    ({"measure": "happiness"}, "measure"),
    ({"measure": "entered"}, "stage_id"),
    ({"measure": "lost", "stage_id": "x"}, "stage_id"),
    ({"measure": "lost", "stage_id": "00000000-0000-7000-8000-000000000001"}, "stage_id"),
    ({"measure": "lost", "group": "none"}, "group"),
    ({"measure": "lost", "group_by": "owner", "group": "' or 1=1"}, "group"),
    ({"measure": "lost", "owner_id": "00000000-0000-7000-8000-000000000001"}, "owner_id"),
]
