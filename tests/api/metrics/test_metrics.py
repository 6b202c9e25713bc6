"""`/v1/metrics` on a real database and a published warehouse."""

import csv
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest
import pytest_asyncio

from contracts.access import Role
from contracts.settings import WarehouseSettings
from dashboards.answers import FiguresAnswer
from metrics.parameters import read
from metrics.publication import is_duckdb
from metrics.query import answer
from metrics.reader import open_reader
from metrics.registry import Definition, definition_of, definitions
from metrics.rows import CellAddress, rows
from metrics.viewer import Viewer
from tests.api.metrics.conftest import logged_events
from tests.api.metrics.making import first_pipeline, make_deal
from tests.conftest import Database
from tests.factories import Account, Api, start_api
from tests.metrics.marts import publish_duckdb, publish_postgres
from tests.metrics.random_questions import Known, question, shown
from tests.warehouse_builder import duckdb_warehouse, postgres_warehouse


async def _check_arrow(account: Account, metric: str, given: dict[str, str], as_json: dict[str, Any]) -> None:
    """An answer as Arrow holds what it holds as JSON: rows as columns, all else in the metadata."""
    kind = "application/vnd.apache.arrow.stream"
    answer = await account.get(f"/v1/metrics/{metric}", params=given, headers={"Accept": kind})
    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
    table = pa.ipc.open_stream(answer.content).read_all()
    plain = [
        {name: dict(value) if name == "lost_reasons" else value for name, value in row.items()}
        for row in table.to_pylist()
    ]
    assert plain == as_json["rows"]
    about = json.loads(table.schema.metadata[b"sluice"])
    assert about == {name: value for name, value in as_json.items() if name != "rows"}


async def _check_export(account: Account, metric: Definition, given: dict[str, str]) -> int:
    """The first figure that is not zero is what its file adds up to; answers how many there are to look at."""
    answer = await account.read(f"/v1/metrics/{metric.name}", params=given)
    for cell, figure, is_amount in shown(metric, given, answer["rows"]):
        address = {"measure": cell.measure, "stage_id": cell.stage_id, "group": cell.group}
        asked = given | {name: value for name, value in address.items() if value is not None}
        file = await account.get(f"/v1/metrics/{metric.name}/rows.csv", params=asked)
        lines = list(csv.DictReader(file.content.decode("utf-8-sig").splitlines()))
        amounts = sum(Decimal(line["amount in EUR"] or 0) for line in lines) * 100 if is_amount else len(lines)
        assert amounts == figure, (metric.name, asked)
        return 1
    return 0


class TestListMetrics:
    async def test_every_definition_is_listed_with_its_hash(self, owner: Account) -> None:
        listed = await owner.read("/v1/metrics")
        assert {item["name"]: item["definition"] for item in listed["items"]} == {
            metric.name: metric.definition for metric in definitions().values()
        }
        assert listed["next_cursor"] is None

    async def test_a_metric_says_what_it_speaks_of_and_how_it_came_about(self, owner: Account) -> None:
        listed = {item["name"]: item for item in (await owner.read("/v1/metrics"))["items"]}
        funnel = listed["funnel"]
        assert (funnel["entity"], funnel["version"]) == ("deal", 3)
        assert [line["version"] for line in funnel["changelog"]] == [1, 2, 3]
        assert funnel["changelog"][0]["change"] == "First definition."
        assert funnel["changelog"][-1]["definition"] == funnel["definition"]
        assert len({line["definition"] for line in funnel["changelog"]}) == 3
        assert "win_rate" not in listed["win_rate"]["measures"]  # a ratio has no facts of its own

    async def test_anonymous_callers_learn_nothing(self, api: Api) -> None:
        for path in ("/v1/metrics", "/v1/metrics/funnel", "/v1/metrics/funnel/rows", "/v1/freshness"):
            assert (await api.http.get(path)).status_code == 401


class TestReadMetric:
    async def test_before_anything_is_published_it_says_so(self, owner: Account) -> None:
        pipeline = await first_pipeline(owner)
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

    async def test_names_are_added_when_shown(self, owner: Account, refresh: Callable[[], None]) -> None:
        pipeline = await first_pipeline(owner)
        lost = await make_deal(owner, pipeline, source="Website")
        await owner.made(f"/v1/deals/{lost['id']}/lose", json={"reason": "Price"})
        refresh()
        given = {"pipeline_id": pipeline["id"], "group_by": "source"}
        funnel = await owner.read("/v1/metrics/funnel", params=given)
        assert {"Website", "Price", *(stage["name"] for stage in pipeline["stages"])} <= set(funnel["labels"].values())
        team = await owner.read("/v1/metrics/team_performance")
        assert team["labels"][str(owner.user_id)] == "Robin Owner"

    async def test_an_answer_for_a_past_instant_is_the_same_for_ever_byte_for_byte(
        self, owner: Account, refresh: Callable[[], None]
    ) -> None:
        pipeline = await first_pipeline(owner)
        lost = await make_deal(owner, pipeline, source="Website", owner_id=str(owner.user_id))
        await owner.made(f"/v1/deals/{lost['id']}/lose", json={"reason": "Price"})
        for number in range(3):
            await make_deal(owner, pipeline, source=f"Source {number}")
        refresh()
        known = (await owner.read("/v1/metrics/deals_created"))["as_of"]
        asked = {"pipeline_id": pipeline["id"], "as_of": known, "from": "2026-01-01", "to": "2100-01-01"}
        paths = [
            ("/v1/metrics/funnel", {"group_by": "source"}),
            ("/v1/metrics/team_performance", {"group_by": "owner"}),
            ("/v1/metrics/deals_created/rows", {"group_by": "source"}),
        ]
        first = [await owner.get(path, params=asked | given) for path, given in paths]
        assert all(one.status_code == 200 for one in first)
        me = await owner.get("/v1/me")
        await owner.patch(
            f"/v1/users/{owner.user_id}", json={"name": "Another Name"}, headers={"If-Match": me.headers["ETag"]}
        )
        await owner.patch(f"/v1/deals/{lost['id']}", json={"title": "Renamed"}, headers={"If-Match": "*"})
        await make_deal(owner, pipeline)
        refresh()
        again = [await owner.get(path, params=asked | given) for path, given in paths]
        assert [one.content for one in again] == [one.content for one in first]
        assert again[0].headers["Sluice-Warehouse-Version"] > first[0].headers["Sluice-Warehouse-Version"]
        assert "Website" not in first[0].text
        named = await owner.read("/v1/metrics/funnel", params=asked | {"group_by": "source", "names": "today"})
        assert "Website" in named["labels"].values()

    async def test_restatements_say_which_deals_changed_a_figure(
        self, owner: Account, refresh: Callable[[], None]
    ) -> None:
        pipeline = await first_pipeline(owner)
        await make_deal(owner, pipeline)
        refresh()
        known = (await owner.read("/v1/metrics/deals_created"))["as_of"]
        late = await make_deal(owner, pipeline, occurred_at="2026-01-05T10:00:00Z")
        refresh()
        asked = {"from": "2026-01-01", "to": "2100-01-01", "from_as_of": known, "measure": "amount_minor"}
        found = await owner.read("/v1/metrics/deals_created/restatements", params=asked)
        assert (found["before"], found["after"], found["difference"]) == (5_000, 10_000, 5_000)
        assert [(item["deal_id"], item["change"], item["difference"]) for item in found["items"]] == [
            (late["id"], "appeared", 5_000)
        ]
        for wrong in ({"from_as_of": ""}, {"from_as_of": "9999-12-31"}, {"to_as_of": "1990-01-01"}, {"as_of": known}):
            answer = await owner.get("/v1/metrics/deals_created/restatements", params=asked | wrong)
            assert answer.status_code == 422, wrong
        timed = await owner.get(
            "/v1/metrics/sales_cycle_days/restatements", params={"from_as_of": known, "measure": "median_days"}
        )
        assert timed.status_code == 422

    async def test_a_download_holds_every_fact_behind_a_figure(
        self, owner: Account, refresh: Callable[[], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("api.metrics.download._PAGE", 2)
        pipeline = await first_pipeline(owner)
        made = [await make_deal(owner, pipeline, title=f"=Deal {number}") for number in range(5)]
        refresh()
        answer = await owner.get("/v1/metrics/deals_created/rows.csv", params={"pipeline_id": pipeline["id"]})
        assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
        lines = list(csv.DictReader(answer.content.decode("utf-8-sig").splitlines()))
        assert {line["deal_id"] for line in lines} == {deal["id"] for deal in made}
        assert {line["title"] for line in lines} == {f"'=Deal {number}" for number in range(5)}
        assert {line["amount"] for line in lines} == {"50.00"}
        assert {line["stage"] for line in lines} == {pipeline["stages"][0]["name"]}
        none = await owner.get("/v1/metrics/deals_created/rows.csv", params={"from": "1990-01-01", "to": "1990-02-01"})
        assert none.status_code == 200
        refused = await owner.get("/v1/metrics/deals_created/rows.csv", params={"measure": "nonsense"})
        assert refused.status_code == 422

    async def test_a_later_event_is_counted_as_behind_and_the_etag_changes(
        self, owner: Account, refresh: Callable[[], None]
    ) -> None:
        refresh()
        path, given = "/v1/metrics/deals_created", {"from": "2026-01-01", "to": "2100-01-01"}
        first = await owner.get(path, params=given)
        same = await owner.get(path, params=given, headers={"If-None-Match": first.headers["ETag"]})
        assert (same.status_code, same.content) == (304, b"")
        await make_deal(owner, await first_pipeline(owner))
        behind = await owner.get(path, params=given, headers={"If-None-Match": first.headers["ETag"]})
        assert behind.json()["freshness"]["events_behind"] == 1
        refresh()
        fresh = (await owner.get(path, params=given)).json()
        assert fresh["freshness"]["events_behind"] == 0
        assert [row["deals_created"] for row in fresh["rows"]] == [1]
        assert fresh["warehouse_version"] > behind.json()["warehouse_version"]

    async def test_a_wrong_parameter_is_named(self, owner: Account, refresh: Callable[[], None]) -> None:
        refresh()
        pipeline = await first_pipeline(owner)
        for given, field in _WRONG_PARAMETERS:
            answer = await owner.get("/v1/metrics/funnel", params={"pipeline_id": pipeline["id"], **given})
            assert (answer.status_code, answer.json()["code"]) == (422, "invalid_parameter")
            assert [wrong["parameter"] for wrong in answer.json()["errors"]] == [field]

    async def test_a_version_of_the_definition_can_be_asked_for(
        self, owner: Account, refresh: Callable[[], None]
    ) -> None:
        await make_deal(owner, await first_pipeline(owner))
        refresh()
        present = await owner.read("/v1/metrics/deals_created")
        path, given = "/v1/metrics/deals_created", {"version": str(present["version"])}
        assert await owner.read(path, params=given) == present
        assert (await owner.read(f"{path}/rows", params=given))["total"]["count"] == 1
        for wrong in ("99", "first"):
            for asked in (path, f"{path}/rows"):
                answer = await owner.get(asked, params={"version": wrong})
                assert (answer.status_code, answer.json()["code"]) == (422, "invalid_parameter")
                assert [found["parameter"] for found in answer.json()["errors"]] == ["version"]

    async def test_another_metrics_parameter_is_named(self, owner: Account, refresh: Callable[[], None]) -> None:
        refresh()
        answer = await owner.get("/v1/metrics/pipeline_value", params={"cohort": "created"})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_parameter")
        assert [wrong["parameter"] for wrong in answer.json()["errors"]] == ["cohort"]

    async def test_a_figure_that_needs_more_memory_than_the_api_may_take_says_so(
        self, database: Database, tmp_path: Path, refresh: Callable[[], None]
    ) -> None:
        warehouse = duckdb_warehouse(tmp_path).model_copy(update={"figures_memory_limit": "1MB"})
        api = await start_api(database, warehouse=warehouse)
        owner = await api.sign_up()
        pipeline = await first_pipeline(owner)
        refresh()
        answer = await owner.get("/v1/metrics/funnel", params={"pipeline_id": pipeline["id"]})
        assert (answer.status_code, answer.json()["code"]) == (503, "figure_too_expensive")
        assert "fewer months" in answer.json()["detail"]
        await api.close()
        api.app.state.services.figures.close()

    async def test_an_unknown_metric_is_not_found(self, owner: Account) -> None:
        for path in ("/v1/metrics/happiness", "/v1/metrics/happiness/rows"):
            assert (await owner.get(path)).json()["code"] == "unknown_metric"


class TestWhoSeesWhat:
    async def test_t7_another_organization_gets_nothing(
        self, api: Api, owner: Account, refresh: Callable[[], None]
    ) -> None:
        pipeline = await first_pipeline(owner)
        await make_deal(owner, pipeline)
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
        pipeline = await first_pipeline(owner)
        mine = await make_deal(rep, pipeline)
        await make_deal(owner, pipeline)
        refresh()
        given = {"pipeline_id": pipeline["id"]}
        first = pipeline["stages"][0]["id"]
        assert (await rep.read("/v1/metrics/funnel", params=given))["rows"][0]["entered"] == 1
        assert (await owner.read("/v1/metrics/funnel", params=given))["rows"][0]["entered"] == 2
        behind = await rep.read("/v1/metrics/funnel/rows", params={**given, "measure": "entered", "stage_id": first})
        assert [item["deal_id"] for item in behind["items"]] == [mine["id"]]
        credited = (await rep.read("/v1/metrics/team_performance"))["rows"]
        assert [row["owner_id"] for row in credited] == [str(rep.user_id)]


class TestMetricsOfOtherThings:
    async def test_sign_ins_are_counted_listed_and_named(
        self, api: Api, owner: Account, refresh: Callable[[], None]
    ) -> None:
        rep = await owner.add_user(role=Role.REP)  # who signs in once
        await api.sign_in(rep.email)
        await api.sign_in(owner.email)
        refresh()
        listed = {item["name"]: item["entity"] for item in (await owner.read("/v1/metrics"))["items"]}
        assert listed["sign_ins"] == "sign_in"
        path, given = "/v1/metrics/sign_ins", {"group_by": "user"}
        by_user = await owner.read(path, params=given)
        figures = {row["group"]: row["sign_ins"] for row in by_user["rows"]}
        assert figures[str(rep.user_id)] == 2
        assert by_user["labels"][str(rep.user_id)] == "Kim rep"
        for user_id, figure in figures.items():
            behind = await owner.read(f"{path}/rows", params={**given, "group": user_id, "limit": 1})
            total = {"count": figure, "amount_minor": None, "currency": None}
            assert (behind["entity"], behind["total"]) == ("sign_in", total)
            (item,) = behind["items"]
            assert set(item) == {"sign_in_id", "user_id", "signed_in_at", "group", "days", "value"}
            assert (item["user_id"], item["value"]) == (user_id, 1)
            assert user_id in behind["labels"]
            assert (behind["next_cursor"] is None) == (figure == 1)
        assert [(row["group"], row["sign_ins"]) for row in (await rep.read(path, params=given))["rows"]] == [
            (str(rep.user_id), 2)
        ]


_STAGES = [
    {"name": "New", "kind": "open"},
    {"name": "Won", "kind": "won"},
    {"name": "Lost", "kind": "lost"},
]

_WRONG_PARAMETERS = [
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


class TestGolden9:
    """One question, one answer: on both warehouses."""

    @pytest.fixture(params=["duckdb", "postgresql"])
    def warehouse(self, request: pytest.FixtureRequest, database: Database, tmp_path: Path) -> WarehouseSettings:
        return duckdb_warehouse(tmp_path) if request.param == "duckdb" else postgres_warehouse(database.admin_url)

    @pytest_asyncio.fixture
    async def api(self, database: Database, warehouse: WarehouseSettings) -> AsyncIterator[Api]:
        started = await start_api(database, warehouse=warehouse)
        yield started
        await started.close()
        started.app.state.services.figures.close()

    @pytest.fixture
    def refresh(self, database: Database, warehouse: WarehouseSettings, tmp_path: Path) -> Callable[[], None]:
        url, now = warehouse.warehouse_url.get_secret_value(), datetime.now(UTC)
        if is_duckdb(url):
            return lambda: publish_duckdb(tmp_path, logged_events(database), at=now)
        return lambda: publish_postgres(url, logged_events(database), at=now)

    async def test_golden_9_the_api_answers_what_the_query_path_answers(
        self, owner: Account, refresh: Callable[[], None], warehouse: WarehouseSettings
    ) -> None:
        pipeline = await first_pipeline(owner)
        first, second = pipeline["stages"][:2]
        moved = await make_deal(owner, pipeline, source="Website")
        await owner.made(f"/v1/deals/{moved['id']}/move", json={"stage_id": second["id"]})
        lost = await make_deal(owner, pipeline)
        await owner.made(f"/v1/deals/{lost['id']}/lose", json={"reason": "Price"})
        won = await make_deal(owner, pipeline)
        await owner.made(f"/v1/deals/{won['id']}/win", json={})
        refresh()
        reader = open_reader(warehouse.warehouse_url.get_secret_value())
        now, viewer = datetime.now(UTC), Viewer(owner.organization_id)
        stages = [UUID(stage["id"]) for stage in pipeline["stages"]]
        known = Known({UUID(pipeline["id"]): stages}, [owner.user_id], [owner.organization_id], begins=now, days=40)
        random, exported = Random(9), 0
        for metric in definitions().values():
            usual = {"pipeline_id": pipeline["id"]} if "pipeline_id" in metric.parameters else {}
            for given in (usual, question(metric, random, known)):
                direct = answer(reader, metric, read(metric, given), viewer=viewer, now=now)
                assert direct.through is not None
                over_http = await owner.read(f"/v1/metrics/{metric.name}", params=given)
                assert over_http["rows"] == direct.rows == FiguresAnswer.model_validate(over_http).rows
                assert over_http["parameters"] == direct.parameters
                assert over_http["definition"] == metric.definition
                is_of_today = {"through": direct.through.isoformat().replace("+00:00", "Z"), "events_behind": 0}
                assert over_http.get("freshness") == (None if "as_of" in given else is_of_today)
            await _check_arrow(owner, metric.name, given, over_http)
            exported += await _check_export(owner, metric, usual)
        assert exported > 15
        funnel = definition_of("funnel")
        given = {"pipeline_id": pipeline["id"]}
        page = rows(
            reader,
            funnel,
            read(funnel, given),
            CellAddress("entered", first["id"]),
            viewer=viewer,
            now=now,
            limit=10,
        )
        behind = await owner.read(
            "/v1/metrics/funnel/rows", params={**given, "measure": "entered", "stage_id": first["id"]}
        )
        assert (
            behind["total"]
            == {"count": page.count, "amount_minor": page.amount_minor, "currency": "EUR"}
            == {"count": 3, "amount_minor": 15_000, "currency": "EUR"}
        )
        assert {item["title"] for item in behind["items"]} == {"400 seats"}
        reader.close()
        reader.close()
