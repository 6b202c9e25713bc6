"""Real exports go in by the command line; the metrics then say what a direct count of the files says."""

import csv
import gzip
import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import SluiceStack
from tests.eventually import eventually

pytestmark = pytest.mark.slow

_ALL_TIME = {"from": "2010-01-01", "to": "2030-01-01"}


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def _write(path: Path, headings: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(headings)
        writer.writerows(rows)


def _import(sluice: SluiceStack, name: str, *arguments: str) -> str:
    return sluice.run(
        "import",
        *arguments,
        "--api-url",
        sluice.api_url,
        "--email",
        f"{name}@example.org",
        "--password",
        "a-long-test-password",
    ).stdout


def _caught_up(client: httpx.Client) -> None:
    eventually(
        lambda: client.get("/v1/freshness").json().get("events_behind") == 0,
        seconds=120,
        what="every imported event is in the published warehouse",
    )


def _metric(client: httpx.Client, name: str, **parameters: str) -> dict[str, Any]:
    answer = client.get(f"/v1/metrics/{name}", params={**_ALL_TIME, **parameters})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.fixture(scope="module")
def maven(shared_data: Path) -> Path:
    return shared_data / "maven_crm"


@pytest.fixture(scope="module")
def maven_owner(sluice: SluiceStack, maven: Path) -> httpx.Client:
    client = sluice.sign_up("maven")
    printed = _import(
        sluice,
        "maven",
        "--create-missing",
        *("--entity", f"users={maven / 'sales_teams.csv'}"),
        *("--entity", f"companies={maven / 'accounts.csv'}"),
        *("--entity", f"deals={maven / 'sales_pipeline.csv'}"),
        *("--map", "users.sales_agent=name", "--map", "users.regional_office=team"),
        *("--map", "companies.account=name", "--map", "companies.sector=industry"),
        *("--map", "deals.opportunity_id=external_id", "--map", "deals.sales_agent=owner_email"),
        *("--map", "deals.product=title", "--map", "deals.account=company", "--map", "deals.deal_stage=stage"),
        *("--map", "deals.engage_date=created_at", "--map", "deals.close_date=closed_at"),
        *("--map", "deals.close_value=amount"),
    )
    assert "8800" in printed.replace(",", "")
    _caught_up(client)
    return client


class TestMavenCrm:
    def test_deals_per_stage_equal_the_file(self, maven_owner: httpx.Client, maven: Path) -> None:
        counted = Counter(row["deal_stage"] for row in _rows(maven / "sales_pipeline.csv"))
        pipeline = maven_owner.get("/v1/pipelines").json()["items"][0]
        names = {stage["id"]: stage["name"] for stage in pipeline["stages"]}
        funnel = _metric(maven_owner, "funnel", pipeline_id=pipeline["id"], regress="current", order="visited")
        shown = {names[row["stage_id"]]: row["still_here"] or row["entered"] for row in funnel["rows"]}
        assert {name: shown.get(name) for name in counted} == dict(counted)

    @pytest.mark.parametrize(
        ("group_by", "column"), [("owner", None), ("team", "manager"), ("top_team", "regional_office")]
    )
    def test_won_amounts_equal_the_file(
        self, maven_owner: httpx.Client, maven: Path, group_by: str, column: str | None
    ) -> None:
        agents = {row["sales_agent"]: row for row in _rows(maven / "sales_teams.csv")}
        counted: dict[str, int] = defaultdict(int)
        for row in _rows(maven / "sales_pipeline.csv"):
            if row["deal_stage"] == "Won":
                agent = row["sales_agent"]
                counted[agents[agent][column] if column else agent] += int(row["close_value"]) * 100
        answer = _metric(maven_owner, "team_performance", group_by=group_by)
        key = "owner_id" if group_by == "owner" else "team_id"
        shown = {answer["labels"][row[key]]: row["won_amount_minor"] for row in answer["rows"] if row["deals_won"]}
        if group_by == "team":  # a manager's team is named after the manager
            shown = {next(name for name in counted if name in label): amount for label, amount in shown.items()}
        assert shown == dict(counted)
        assert sum(shown.values()) == 1_000_553_400

    def test_importing_again_changes_nothing(self, sluice: SluiceStack, maven_owner: httpx.Client, maven: Path) -> None:
        before = _metric(maven_owner, "team_performance")["rows"]
        printed = _import(
            sluice,
            "maven",
            *("--entity", f"companies={maven / 'accounts.csv'}"),
            *("--map", "companies.account=name", "--map", "companies.sector=industry"),
        )
        assert "85" in printed
        assert "unchanged" in printed
        _caught_up(maven_owner)
        assert _metric(maven_owner, "team_performance")["rows"] == before


@pytest.fixture(scope="module")
def declarations(shared_data: Path) -> list[dict[str, str]]:
    path = shared_data / "bpi2020_domestic_declarations" / "domestic_declarations_events.csv.gz"
    with gzip.open(path, "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    return sorted(rows, key=lambda row: (row["case:concept:name"], datetime.fromisoformat(row["time:timestamp"])))


@pytest.fixture(scope="module")
def visits(declarations: list[dict[str, str]]) -> dict[str, list[tuple[str, datetime]]]:
    """Case -> its statuses in order; staying in a status is no new visit."""
    found: dict[str, list[tuple[str, datetime]]] = defaultdict(list)
    for row in declarations:
        case, status = row["case:concept:name"], row["concept:name"]
        found[case].append((status, datetime.fromisoformat(row["time:timestamp"]).astimezone(UTC)))
    return found


@pytest.fixture(scope="module")
def declarations_owner(
    sluice: SluiceStack,
    declarations: list[dict[str, str]],
    visits: dict[str, list[tuple[str, datetime]]],
    tmp_path_factory: pytest.TempPathFactory,
) -> httpx.Client:
    folder = tmp_path_factory.mktemp("bpi")
    statuses = sorted({row["concept:name"] for row in declarations}, key=lambda name: (name == "Payment Handled", name))
    kinds = {"Payment Handled": "won"}
    _write(
        folder / "pipelines.csv",
        ["pipeline", "stage", "position", "kind"],
        [
            *(["Declarations", name, str(place), kinds.get(name, "open")] for place, name in enumerate(statuses)),
            ["Declarations", "Withdrawn", str(len(statuses)), "lost"],
        ],
    )
    _write(
        folder / "deals.csv",
        ["external_id", "title", "pipeline", "stage", "created_at"],
        ([case, case, "Declarations", entries[-1][0], entries[0][1].isoformat()] for case, entries in visits.items()),
    )
    _write(
        folder / "deal_stage_history.csv",
        ["deal_external_id", "stage", "entered_at"],
        ([case, status, at.isoformat()] for case, entries in visits.items() for status, at in entries),
    )
    client = sluice.sign_up("declarations")
    _import(sluice, "declarations", "--create-missing", *(str(path) for path in sorted(folder.glob("*.csv"))))
    _caught_up(client)
    return client


class TestDomesticDeclarations:
    """BPI Challenge 2020: real status transitions with loops, as deals with stage history."""

    def _pipeline(self, declarations_owner: httpx.Client) -> dict[str, Any]:
        pipelines = declarations_owner.get("/v1/pipelines").json()["items"]
        found: dict[str, Any] = next(one for one in pipelines if one["name"] == "Declarations")
        return found

    def test_cases_reaching_each_status_equal_a_plain_count(
        self, declarations_owner: httpx.Client, visits: dict[str, list[tuple[str, datetime]]]
    ) -> None:
        counted = Counter(status for entries in visits.values() for status in {name for name, _ in entries})
        pipeline = self._pipeline(declarations_owner)
        names = {stage["id"]: stage["name"] for stage in pipeline["stages"]}
        funnel = _metric(declarations_owner, "funnel", pipeline_id=pipeline["id"], order="visited")
        shown = {names[row["stage_id"]]: row["entered"] for row in funnel["rows"] if row["entered"]}
        assert shown == dict(counted)
        assert shown["Payment Handled"] == 9_912

    def test_days_between_statuses_equal_a_plain_count(
        self, declarations_owner: httpx.Client, visits: dict[str, list[tuple[str, datetime]]]
    ) -> None:
        days: dict[str, list[float]] = defaultdict(list)
        for entries in visits.values():
            stayed: dict[str, float] = defaultdict(float)
            for (status, entered), following in zip(entries, [*entries[1:], None], strict=True):
                if following is None:
                    stayed[status] = float("nan")  # still there: no duration yet
                else:
                    stayed[status] += (following[1] - entered).total_seconds() / 86_400
            for status, length in stayed.items():
                if not math.isnan(length):
                    days[status].append(length)
        pipeline = self._pipeline(declarations_owner)
        names = {stage["id"]: stage["name"] for stage in pipeline["stages"]}
        funnel = _metric(declarations_owner, "funnel", pipeline_id=pipeline["id"], order="visited")
        shown = {names[row["stage_id"]]: row["median_days"] for row in funnel["rows"] if row["median_days"] is not None}
        assert shown == {name: pytest.approx(statistics.median(found)) for name, found in days.items()}
