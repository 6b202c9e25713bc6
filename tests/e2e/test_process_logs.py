"""Two public process logs go in by the command line, as deals with stage history; the metrics and the open warehouse
then say what Polars counts in the files.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from tests.e2e.conftest import SluiceStack
from tests.eventually import eventually

pytestmark = pytest.mark.slow

_ALL_TIME = {"from": "2010-01-01", "to": "2030-01-01"}
_CASE, _STATUS, _AT = "case:concept:name", "concept:name", "time:timestamp"
_LOGS = {
    "declarations": ("bpi2020_domestic_declarations/domestic_declarations_events.csv.gz", "Payment Handled"),
    "tickets": ("helpdesk_tickets/helpdesk_events.csv.gz", "Closed"),
}


@dataclass(frozen=True)
class Log:
    """A log that was imported: its visits in order, its stages in the pipeline's, and whoever imported it."""

    visits: pl.DataFrame
    stages: list[str]
    client: httpx.Client
    pipeline: dict[str, Any]
    exported: Path

    def shown(self, metric: str, figure: str, **asked: str) -> dict[tuple[str | None, str], Any]:
        """A figure of each group and stage, where there is any."""
        given = {**_ALL_TIME, "pipeline_id": self.pipeline["id"], **asked}
        answer = self.client.get(f"/v1/metrics/{metric}", params=given)
        assert answer.status_code == 200, answer.text
        names = {stage["id"]: stage["name"] for stage in self.pipeline["stages"]}
        rows = answer.json()["rows"]
        return {(row["group"], names[row["stage_id"]]): row[figure] for row in rows if row[figure]}

    def counted(self, frame: pl.DataFrame, *by: str) -> dict[tuple[str | None, str], Any]:
        """A count of Polars' by status, or by month and status, in the same shape."""
        return {(row[0] if len(by) == 2 else None, row[-2]): row[-1] for row in frame.select(*by, "found").rows()}


def _visits(path: Path, won: str) -> tuple[pl.DataFrame, list[str]]:
    read = pl.read_csv(path, infer_schema_length=0).select(
        case=_CASE, status=_STATUS, at=pl.col(_AT).str.to_datetime(time_unit="us", time_zone="UTC")
    )
    others = sorted(set(read["status"]) - {won})
    stages = [*others, won]
    place = pl.DataFrame({"status": stages, "place": range(len(stages))})
    ordered = read.join(place, on="status").sort("case", "at", "place", maintain_order=True)
    is_another = (pl.col("status") != pl.col("status").shift().over("case")).fill_null(value=True)
    return ordered.filter(is_another), stages


@pytest.fixture(scope="module", params=sorted(_LOGS))
def log(
    request: pytest.FixtureRequest, sluice: SluiceStack, shared_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Log:
    file, won = _LOGS[request.param]
    if not (shared_data / file).is_file():
        pytest.skip(f"needs {file} beside the project")
    visits, stages = _visits(shared_data / file, won)
    folder, exported = tmp_path_factory.mktemp(request.param), tmp_path_factory.mktemp("exported") / "files"
    kinds = ["won" if name == won else "open" for name in stages]
    pl.DataFrame({"pipeline": "Log", "stage": stages, "position": range(len(stages)), "kind": kinds}).vstack(
        pl.DataFrame({"pipeline": ["Log"], "stage": ["Given up"], "position": [len(stages)], "kind": ["lost"]})
    ).write_csv(folder / "pipelines.csv")
    at = pl.col("at").dt.to_string("iso:strict")
    ends = visits.group_by("case", maintain_order=True).agg(pl.col("status").last(), pl.col("at").first())
    ends.select(external_id="case", title="case", pipeline=pl.lit("Log"), stage="status", created_at=at).write_csv(
        folder / "deals.csv"
    )
    visits.select(deal_external_id="case", stage="status", entered_at=at).write_csv(folder / "deal_stage_history.csv")
    client = sluice.sign_up(f"log-{request.param}")
    files = [str(path) for path in sorted(folder.glob("*.csv"))]
    whose = ("--email", f"log-{request.param}@example.org", "--password", "a-long-test-password")
    sluice.run("import", "--create-missing", *files, "--api-url", sluice.api_url, *whose)
    eventually(
        lambda: client.get("/v1/freshness").json().get("events_behind") == 0,
        seconds=120,
        what="every imported event is in the published warehouse",
    )
    pipeline = next(one for one in client.get("/v1/pipelines").json()["items"] if one["name"] == "Log")
    organization = client.get("/v1/me").json()["organization"]
    sluice.run("warehouse", "export", "--organization", organization["id"], str(exported))
    visits = visits.with_columns(
        month=pl.col("at").dt.convert_time_zone(organization["time_zone"]).dt.strftime("%Y-%m")
    )
    return Log(visits, stages, client, pipeline, exported)


def test_visited_and_reached_equal_the_file(log: Log) -> None:
    cases = log.visits.group_by("status").agg(found=pl.col("case").n_unique())
    assert log.shown("funnel", "entered", order="visited") == log.counted(cases, "status")
    furthest = log.visits.group_by("case").agg(pl.col("place").max())["place"]
    reached = {(None, name): int((furthest >= place).sum()) for place, name in enumerate(log.stages)}
    assert log.shown("funnel", "entered", order="reached") == reached


def test_months_equal_the_file(log: Log) -> None:
    first = log.visits.group_by("case", "status").agg(pl.col("month").first())
    by_month = first.group_by("month", "status").agg(found=pl.len())
    assert log.shown("stage_entered", "entered", group_by="month") == log.counted(by_month, "month", "status")


def test_visits_that_are_repeated_equal_the_file_in_the_open_warehouse(log: Log) -> None:
    names = {stage["id"]: stage["name"] for stage in log.pipeline["stages"]}
    entries = pl.read_parquet(log.exported / "fct_stage_entries.parquet").filter(pl.col("known_to").is_null())
    again = (pl.len() - pl.col("deal_id").n_unique()).cast(pl.Int64)
    shown = {names[stage]: found for stage, found in entries.group_by("stage_id").agg(found=again).rows()}
    in_file = (pl.len() - pl.col("case").n_unique()).cast(pl.Int64)
    assert shown == dict(log.visits.group_by("status").agg(found=in_file).rows())
    assert sum(shown.values()) > 400


def test_days_equal_the_file(log: Log) -> None:
    left = (pl.col("at").shift(-1) - pl.col("at")).over("case").dt.total_microseconds()
    stays = log.visits.with_columns(stay=left)
    # a stay that goes on has no length yet, nor have the others of that deal in that stage
    over = stays.group_by("case", "status").agg(
        days=pl.col("stay").sum() / 86_400_000_000, goes_on=pl.col("stay").is_null().any()
    )
    # whoever has won stays nowhere
    is_stay = ~pl.col("goes_on") & (pl.col("status") != log.stages[-1])
    medians = over.filter(is_stay).group_by("status").agg(found=pl.col("days").median())
    counted = {key: found for key, found in log.counted(medians, "status").items() if found}
    shown = log.shown("days_in_stage", "median_days")
    assert shown.keys() == counted.keys()
    assert all(math.isclose(shown[key], counted[key], rel_tol=1e-9) for key in counted)
