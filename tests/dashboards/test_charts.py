import csv
import io
import tomllib
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from dashboards import charts, frames, money
from dashboards.answers import DealRow, FunnelAnswer

ANSWER: dict[str, Any] = {
    "metric": "funnel",
    "version": 1,
    "definition": "sha256:3fa2b1c9",
    "parameters": {"unit": "deals", "group_by": "none"},
    "as_of": "2026-11-22T10:00:00Z",
    "warehouse_version": "v1",
    "freshness": {"through": "2026-11-22T10:00:00Z", "events_behind": 0},
    "labels": {"a": "Qualified", "b": "Demo", "c": "Won", "d": "Lost", "r1": "Price", "r2": "No decision"},
}


def row(stage: str, kind: str, position: int, **figures: object) -> dict[str, object]:
    nothing: dict[str, object] = {"median_days": None, "p90_days": None, "still_here": 0, "lost": 0, "moved_back": 0}
    return {"group": None, "stage_id": stage, "position": position, "kind": kind, **nothing, **figures}


@pytest.fixture
def answer() -> FunnelAnswer:
    rows = [
        # positions count anew in each kind: the won stage still comes last
        row("c", "won", 0, entered=3, share_of_cohort=0.3, share_of_previous=0.5),
        row("b", "open", 1, entered=6, share_of_cohort=0.6, share_of_previous=0.6, still_here=2, lost=1),
        row(
            "a", "open", 0, entered=10, share_of_cohort=1.0, share_of_previous=None, lost=4, still_here=0,
            lost_reasons={"r1": 1, "r2": 3},
        ),
        row("d", "lost", 0, entered=5, share_of_cohort=0.5, share_of_previous=None),
    ]  # fmt: skip
    totals = [{"group": None, "cohort": 10, "still_here": 2, "lost": 5, "won": 3}]
    return FunnelAnswer.model_validate(ANSWER | {"rows": rows, "totals": totals})


class TestFunnel:
    def test_parts_of_a_bar_add_up_to_the_stage(self, answer: FunnelAnswer) -> None:
        parts = frames.funnel_parts(answer, money.count)
        ends = parts.groupby("stage", sort=False)["end"].max().round(9).to_dict()
        assert ends == {"Qualified": 1.0, "Demo": 0.6, "Won": 0.3}
        assert list(parts[parts["stage"] == "Demo"]["value"]) == ["3", "2", "1"]

    def test_parts_that_do_not_add_up_are_shown_as_one(self, answer: FunnelAnswer) -> None:
        moved = answer.rows[1].model_copy(update={"entered": 2, "still_here": 2, "lost": 1})
        parts = frames.funnel_parts(answer.model_copy(update={"rows": [moved]}), money.count)
        assert list(parts["value"]) == ["2"]

    def test_lost_stages_are_no_steps(self, answer: FunnelAnswer) -> None:
        assert list(frames.funnel_table(answer)["Stage"]) == ["Qualified", "Demo", "Won"]

    def test_most_frequent_reason_first(self, answer: FunnelAnswer) -> None:
        assert frames.funnel_table(answer)["Why lost"][0] == "No decision 75 %, Price 25 %"

    def test_outcome_of_the_cohort(self, answer: FunnelAnswer) -> None:
        assert frames.outcome(answer) == frames.Outcome(cohort=10, won=3, won_share=0.3, still_open=2, lost=5)

    def test_chart_prints_the_figures_of_every_stage(self, answer: FunnelAnswer) -> None:
        spec = charts.funnel(frames.funnel_parts(answer, money.count), charts.LIGHT, chosen="b").to_dict()
        printed = {line[key] for data in spec["datasets"].values() for line in data for key in line if key == "entered"}
        assert printed == {"10", "6", "3"}
        assert [param["name"] for param in spec["params"]] == [charts.CLICKED_STAGE]

    def test_an_answer_without_deals_is_an_empty_cohort(self, answer: FunnelAnswer) -> None:
        assert answer.model_copy(update={"totals": []}).size() == 0

    def test_two_people_of_one_name_are_two(self) -> None:
        names = frames.distinct({"id-0001": "Kim Lee", "id-0002": "Kim Lee", "id-0003": "Ada"})
        assert names == {"id-0001": "Kim Lee · 0001", "id-0002": "Kim Lee · 0002", "id-0003": "Ada"}

    def test_a_long_name_loses_its_middle_and_crowded_headings_stand_on_none(self, answer: FunnelAnswer) -> None:
        names = [f"A long stage name {number:02}" for number in range(26)]
        cells = pd.DataFrame(
            [
                {"stage_id": name, "stage": name, "order": rank, "group": "G", "rank": 1, "share": 0.5}
                for rank, name in enumerate(names)
            ]
        )
        axis = charts.cohorts(cells, charts.LIGHT, is_narrow=True).to_dict()["layer"][0]["encoding"]["x"]["axis"]
        assert axis["labelOverlap"] == "greedy"
        parts = frames.funnel_parts(answer, money.count)
        shown = charts.funnel(parts, charts.LIGHT, is_narrow=True).to_dict()["layer"][0]["encoding"]["y"]["axis"]
        assert "slice(datum.label, 0, 6) + '…' + slice(datum.label, -7)" in shown["labelExpr"]

    def test_a_narrow_chart_drops_columns_and_keeps_its_bars(self, answer: FunnelAnswer) -> None:
        parts = frames.funnel_parts(answer, money.count)
        wide, narrow = (charts.funnel(parts, charts.LIGHT, is_narrow=narrow).to_dict() for narrow in (False, True))
        assert len(narrow["layer"]) == len(wide["layer"]) - 4
        assert [layer["mark"]["type"] for layer in narrow["layer"][:2]] == ["bar", "bar"]


class TestGroups:
    def test_largest_group_first_and_none_is_named(self, answer: FunnelAnswer) -> None:
        small = [r.model_copy(update={"group": "r1", "entered": 1}) for r in answer.rows]
        rows = [*small, *[r.model_copy(update={"group": None}) for r in answer.rows]]
        totals = [*answer.totals, answer.totals[0].model_copy(update={"group": "r1", "cohort": 1})]
        cells = frames.group_cells(
            answer.model_copy(update={"rows": rows, "totals": totals, "parameters": {"group_by": "source"}}),
            money.count,
        )
        assert list(dict.fromkeys(cells["group"])) == ["None", "Price"]
        # positions count anew in each kind: the won stage still comes last
        assert set(zip(cells["stage"], cells["order"], strict=True)) == {("Qualified", 0), ("Demo", 1), ("Won", 2)}
        assert charts.cohorts(cells, charts.DARK).to_dict()["params"][0]["name"] == charts.CLICKED_CELL

    def test_months_stay_in_order(self, answer: FunnelAnswer) -> None:
        rows = [r.model_copy(update={"group": month}) for month in ("2026-02", "2026-01") for r in answer.rows]
        cells = frames.group_cells(
            answer.model_copy(update={"rows": rows, "parameters": {"group_by": "month"}}), money.count
        )
        assert list(dict.fromkeys(cells["group"])) == ["Jan 2026", "Feb 2026"]


class TestRanking:
    def test_a_name_without_a_rate_has_no_dot(self) -> None:
        rows = pd.DataFrame({"name": ["A", "B"], "rank": [0, 1], "value": [0.5, None], "text": ["50 %", "–"]})
        dots = charts.rates(rows, charts.LIGHT).to_dict()["layer"][1]
        assert dots["mark"]["type"] == "circle"
        assert charts.ranking(rows.fillna(0), charts.LIGHT).to_dict()["layer"]


class TestFiles:
    def test_amounts_are_exact_and_formulas_are_defused(self) -> None:
        deal = DealRow(
            deal_id="d1",
            title="=HYPERLINK(1)",
            owner_id="o",
            stage_id="s",
            status="won",
            amount_minor=124050,
            currency="EUR",
        )
        text = frames.as_csv(frames.deals_file([deal], {"o": "Ada", "s": "Won"})).decode("utf-8-sig")
        assert list(csv.DictReader(io.StringIO(text))) == [
            {
                "deal_id": "d1",
                "deal": "'=HYPERLINK(1)",
                "owner": "Ada",
                "stage": "Won",
                "status": "won",
                "amount": "1240.50",
                "currency": "EUR",
            }
        ]


def _contrast(one: str, other: str) -> float:
    dim, bright = sorted(charts.luminance(colour) for colour in (one, other))
    return (bright + 0.05) / (dim + 0.05)


@pytest.mark.parametrize("palette", [charts.LIGHT, charts.DARK], ids=["light", "dark"])
def test_r33_charts_are_told_apart_and_read_in_both_themes(palette: charts.Palette) -> None:
    """4.5 for texts and 3 for what is drawn, which axe-core cannot see: charts are pictures."""
    assert min(_contrast(one, palette.page) for one in (palette.text, palette.quiet)) >= 4.5
    assert min(_contrast(one, palette.page) for one in (palette.went_on, palette.still_here, palette.lost)) >= 3
    cells = pd.DataFrame([{"stage_id": "a", "stage": "A", "order": 1, "group": "G", "rank": 1, "share": 0.5}])
    texts = charts.cohorts(cells, palette).to_dict()["layer"][1]["encoding"]["color"]
    turn = float(texts["condition"]["test"].split(" > ")[1])
    for hundredth in range(101):
        share = hundredth / 100
        written = texts["condition"]["value"] if share > turn else texts["value"]
        assert _contrast(written, charts.shade(palette, share)) >= 4.5, share


def test_r33_what_is_written_on_buttons_is_read_in_both_themes() -> None:
    theme = tomllib.loads((Path(charts.__file__).parent / ".streamlit" / "config.toml").read_text())["theme"]
    for name, on_primary in (("light", "#ffffff"), ("dark", theme["dark"]["backgroundColor"])):
        colours = theme[name]
        grounds = [colours["backgroundColor"], colours["secondaryBackgroundColor"]]
        words = ["textColor", "linkColor", "primaryColor", "redColor", "orangeColor", "greenColor", "grayColor"]
        assert min(_contrast(colours[word], ground) for word in words for ground in grounds) >= 4.5
        assert _contrast(on_primary, colours["primaryColor"]) >= 4.5
