"""`./sluice score csv` on files of many kinds: what it says of them, and what it refuses."""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score
from typer.testing import CliRunner

from models_ml.columns import infer
from models_ml.errors import ScoringError
from models_ml.reading import read_csv
from runtime.score_command import app
from tests.models_ml.histories import Leads, write

SHARED = Path(__file__).parents[3] / "shared" / "data"
#: As in the list of the Titanic: who was a child, a woman, of the first class.
_FEW = {"age group": 0.05, "title": 0.25, "cabin": 0.3}
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the data sets do not lie beside the project")


def judge(file: Path, target: str, *more: str) -> dict[str, Any]:
    ran = CliRunner().invoke(app, ["csv", str(file), "--target", target, "--json", *more], catch_exceptions=False)
    assert ran.exit_code == 0
    card: dict[str, Any] = json.loads(ran.output)
    return card


class TestHonestFigures:
    def test_a_known_model_is_found_again_calibrated(self, tmp_path: Path) -> None:
        leads = Leads(12_000, seed=3)
        scores = tmp_path / "scores.csv"
        card = judge(
            write(leads.frame, tmp_path / "leads.csv"), "outcome", "--time", "created_at", "--scores", str(scores)
        )
        assert card["verdict"] == "published"
        assert not card["leaks"] and not card["identifiers"] and card["duplicates"] == 0  # noqa: PT018
        test = slice(12_000 - card["rows"]["test"], None)
        assert abs(card["auc"] - roc_auc_score(leads.won[test], leads.chances[test])) < 0.01
        assert 0.9 < card["calibration"]["slope"] < 1.1
        given = pl.read_csv(scores)["score"].to_numpy()  # the card's figures are those of the scores that it comes with
        assert card["auc"] == pytest.approx(roc_auc_score(leads.won[test], given[test]), abs=1e-4)
        assert card["brier"] == pytest.approx(brier_score_loss(leads.won[test], given[test]), abs=1e-5)
        assert card["average_precision"] == pytest.approx(
            average_precision_score(leads.won[test], given[test]), abs=1e-3
        )

    def test_the_same_file_gives_the_same_card(self, tmp_path: Path) -> None:
        file = write(Leads(3_000).frame, tmp_path / "leads.csv")
        assert json.dumps(judge(file, "outcome")) == json.dumps(judge(file, "outcome"))

    @needs_shared
    def test_olist_leads_by_time(self, tmp_path: Path) -> None:
        card = judge(olist(tmp_path), "won", "--time", "first_contact_date")
        assert card["verdict"] == "published"
        assert card["auc"] >= 0.68
        assert card["brier"] < card["brier_reference"]
        assert card["identifiers"] == ["mql_id"]

    @needs_shared
    def test_what_is_known_only_after_the_win_is_not_used(self, tmp_path: Path) -> None:
        closed = pl.read_csv(SHARED / "olist_funnel" / "olist_closed_deals_dataset.csv")
        joined = pl.read_csv(olist(tmp_path)).join(closed, on="mql_id", how="left", maintain_order="left")
        card = judge(write(joined, tmp_path / "joined.csv"), "won", "--time", "first_contact_date")
        assert {"seller_id", "won_date", "business_segment", "lead_type", "declared_monthly_revenue"} <= set(
            card["leaks"]
        )
        assert set(card["model"]["features"]) == {"landing_page_id", "origin"}

    @needs_shared
    @pytest.mark.parametrize("more", [(), ("--time", "engage_date")])
    def test_where_nothing_can_be_learned_it_abstains(self, more: tuple[str, ...]) -> None:
        card = judge(SHARED / "maven_crm" / "sales_pipeline.csv", "deal_stage", *more)
        assert card["verdict"] == "abstains"
        assert "base rate is not beaten" in card["reasons"][0]
        assert set(card["leaks"]) == {"close_date", "close_value"}
        assert card["target"]["open"] == ["Engaging", "Prospecting"]
        assert card["rows"]["open"] == 2089


class TestAbstaining:
    @pytest.mark.parametrize("seed", range(2))
    def test_noise_has_no_scores(self, tmp_path: Path, seed: int) -> None:
        scores = tmp_path / "scores.csv"
        card = judge(
            write(Leads(3_000, seed=seed, signal=0).frame, tmp_path / "x.csv"), "outcome", "--scores", str(scores)
        )
        assert card["verdict"] == "abstains"
        assert len(scores.read_text().splitlines()) == 1

    def test_few_rows_abstain_and_say_how_many_are_needed(self, tmp_path: Path) -> None:
        card = judge(write(Leads(500).frame, tmp_path / "x.csv"), "outcome")
        assert card["verdict"] == "abstains"
        assert "at least 200 of each" in card["reasons"][0]

    def test_a_rate_that_breaks_away_abstains(self, tmp_path: Path) -> None:
        leads = Leads(8_000)
        late = np.arange(8_000) > 6_200
        turned = np.where(late & (leads.random.random(8_000) < 0.7), "Closed Lost", leads.frame["outcome"].to_numpy())
        file = write(leads.frame.with_columns(outcome=pl.Series(turned)), tmp_path / "x.csv")
        card = judge(file, "outcome", "--time", "created_at")
        assert card["verdict"] == "abstains"
        assert any("Drift breaks calibration" in reason for reason in card["reasons"])


class TestLeaks:
    @pytest.mark.parametrize("more", [("--time", "created_at"), ()])
    def test_five_kinds_are_named_and_none_is_used(self, tmp_path: Path, more: tuple[str, ...]) -> None:
        leads = Leads(6_000)
        card = judge(write(leads.with_leaks(), tmp_path / "leaky.csv"), "outcome", *more)
        assert {"is_customer", "revenue", "handling"} <= set(card["leaks"])
        assert "last_invoice" in (card["leaks"] if more else card["left_out"])
        assert card["identifiers"] == ["record"]
        assert card["duplicates"] == 300
        assert set(card["model"]["features"]) <= {"visits", "depth", "noise", "source", "employees"}
        clean = judge(write(leads.frame, tmp_path / "clean.csv"), "outcome", *more)
        assert card["auc"] == pytest.approx(clean["auc"], abs=0.01)

    def test_leaks_in_disguise_are_named_and_none_is_used(self, tmp_path: Path) -> None:
        leads = Leads(5_000)
        won, random, days = leads.won == 1, leads.random, leads.created
        there = random.random(5_000) < np.where(won, 0.9, 0.05)
        waits = random.exponential(9, 5_000).tolist()
        later = [day + timedelta(days=wait) for day, wait in zip(days, waits, strict=True)]
        seats = random.integers(9, 99, 5_000)
        disguised = {
            "negated": np.where(won, 0, 1),
            "rescaled": -37.5 * won + random.normal(0, 8, 5_000),
            "wrong for one in ten": np.where(won ^ (random.random(5_000) < 0.1), "north", "south"),
            "handover on": [f"{day:%d.%m.%y}" if one else "" for day, one in zip(later, won, strict=True)],
            "seats": [str(number) if one else "" for number, one in zip(seats, there, strict=True)],
            "touched": [f"{day:%B %d, %Y}" for day in later],
            "modified_at": [str(int(day.timestamp())) for day in later],
            "phase": np.where(won, random.choice(["A", "B", "C"], 5_000), random.choice(["C", "D", "E"], 5_000)),
        }
        frame = leads.frame.with_columns(**{name: pl.Series(values) for name, values in disguised.items()})
        copies = frame.sample(250, seed=1).with_columns(
            source=pl.format(" {} ", pl.col("source").str.to_uppercase()), noise=pl.col("noise") + 0.01
        )
        card = judge(write(pl.concat([frame, copies]), tmp_path / "x.csv"), "outcome", "--time", "created_at")
        assert set(disguised) == set(card["leaks"])
        assert card["duplicates"] == 250
        assert set(card["model"]["features"]) <= {"visits", "depth", "noise", "source", "employees"}

    def test_where_every_row_is_there_twice_an_id_is_still_one(self, tmp_path: Path) -> None:
        frame = Leads(2_000).frame.with_row_index("number")
        card = judge(write(pl.concat([frame, frame]), tmp_path / "x.csv"), "outcome", "--time", "created_at")
        assert (card["identifiers"], card["duplicates"]) == (["number"], 2_000)

    def test_what_is_too_good_is_asked_about_and_can_be_left_out(self, tmp_path: Path) -> None:
        leads = Leads(3_000)
        hours = np.where(leads.won == 1, leads.random.exponential(5, 3_000), leads.random.exponential(90, 3_000))
        file = write(leads.frame.with_columns(hours=pl.Series(hours)), tmp_path / "x.csv")
        [question] = judge(file, "outcome", "--time", "created_at")["warnings"]
        assert "ask when hours was filled in" in question
        without = judge(file, "outcome", "--time", "created_at", "--without", "hours")
        assert (without["warnings"], without["left_out"]) == ([], {"hours": "hours was to be left out"})

    def test_rows_of_few_categories_are_alike_and_no_copies(self, tmp_path: Path) -> None:
        leads = Leads(3_000)
        kinds = {name: leads.random.choice(["many", "few"], 3_000, p=[1 - few, few]) for name, few in _FEW.items()}
        poor = leads.frame.select("outcome", **{name: pl.Series(values) for name, values in kinds.items()})
        for frame in (poor, poor.with_row_index("number")):
            card = judge(write(frame, tmp_path / "poor.csv"), "outcome")
            assert (card["duplicates"], card["rows"]["won"] + card["rows"]["lost"]) == (0, 3_000)

    def test_somebody_may_vouch_for_a_column(self, tmp_path: Path) -> None:
        card = judge(write(Leads(3_000).with_leaks(), tmp_path / "x.csv"), "outcome", "--allow", "is_customer")
        assert "is_customer" in card["model"]["features"]

    def test_protected_traits_and_owners_are_judged_and_not_used(self, tmp_path: Path) -> None:
        leads = Leads(3_000)
        people = leads.frame.with_columns(
            gender=pl.Series(leads.random.choice(["f", "m"], 3_000)),
            Owner=pl.Series(leads.random.choice(["Ann", "Bo"], 3_000)),
        )
        card = judge(write(people, tmp_path / "x.csv"), "outcome")
        assert not {"gender", "Owner"} & set(card["model"]["features"])
        assert {"gender", "Owner"} <= {part["column"] for part in card["slices"]}


class TestForms:
    """How the same thing is written."""

    @pytest.mark.parametrize(
        "form",
        """
        %d.%m.%y|%d/%m/%y|%m/%d/%y|%y-%m-%d|%d-%b-%y|%B %d, %Y|%d %B %Y|%d. %b %Y|%A, %B %d, %Y|%Y.%m.%d|%Y%m%d|%d/%b/%Y
        %m/%d/%y %H:%M|%m/%d/%Y, %I:%M:%S %p|%a, %d %b %Y %H:%M:%S GMT|%a %b %d %H:%M:%S %Y|%Y%m%dT%H%M%S|%Y-%m-%dT%H:%M
        %Y-%m-%d %H:%M:%S UTC|%Y-%m-%d %H:%M:%S+00|%Y-%m-%dT%H:%M:%S.%f+00:00|%d/%b/%Y:%H:%M:%S +0000
        """.strip()
        .replace("\n", "|")
        .split("|"),
    )
    def test_dates_are_read_as_they_are_meant(self, form: str) -> None:
        days = [datetime(2023, 1, 17) + timedelta(days=7 * number) for number in range(60)]  # noqa: DTZ001
        column = infer(pl.Series("on", [day.strftime(form.strip()) for day in days]))
        assert (column.kind, column.unreadable) == ("instant", 0)
        assert column.values.to_list() == days

    @pytest.mark.parametrize(
        ("texts", "first"),
        [
            (["2024-03", "2024-04"], datetime(2024, 3, 1)),  # noqa: DTZ001
            (["March 2024", "Apr. 2024"], datetime(2024, 3, 1)),  # noqa: DTZ001
            (["1. März 2024", "24. Dezember 2024"], datetime(2024, 3, 1)),  # noqa: DTZ001
            (["1 de marzo de 2024", "3 de mayo de 2024"], datetime(2024, 3, 1)),  # noqa: DTZ001
            (["1 марта 2024", "24 декабря 2024"], datetime(2024, 3, 1)),  # noqa: DTZ001
            (["1 mars 2024", "14 juil. 2024", "2 août 2024"], datetime(2024, 3, 1)),  # noqa: DTZ001
            (["2024-Q2", "2024Q3"], datetime(2024, 4, 1)),  # noqa: DTZ001
            (["2024-03-01T12:00:00+02:00", "2024-03-02 12:00:00-0500"], datetime(2024, 3, 1, 10)),  # noqa: DTZ001
        ],
    )
    def test_months_quarters_and_zones(self, texts: list[str], first: datetime) -> None:
        assert infer(pl.Series("on", texts)).values[0] == first

    @pytest.mark.parametrize("texts", [["1.5.2", "1.6.3"], ["May", "June"], ["10-20", "20-50"], ["Market 5", "Mart 7"]])
    def test_versions_months_and_ranges_are_no_dates(self, texts: list[str]) -> None:
        assert infer(pl.Series("what", texts)).kind == "category"

    @pytest.mark.parametrize(
        ("texts", "numbers"),
        [
            (["(1.5)", "−2"], [-1.5, -2.0]),
            (["EUR 1.50", "$2"], [1.5, 2.0]),
            (["1'234.50", "12,34,567.5"], [1234.5, 1234567.5]),
        ],
    )
    def test_numbers(self, texts: list[str], numbers: list[float]) -> None:
        assert infer(pl.Series("much", texts)).values.to_list() == numbers

    @pytest.mark.parametrize(
        "content",
        [
            b"sep=;\na;won\n1,5;yes\n",
            b"\xef\xbb\xbf\xef\xbb\xbfa;won\n1,5;yes\n",
            "a;won\n1,5;yes\n".encode("utf-16-le"),
            "a;won\r1,5;yes\r".encode("utf-16"),
            b"a;won\n1;1,5;yes\n2;2,5;no\n",  # as R writes it, with names of rows that have no heading
        ],
    )
    def test_files(self, tmp_path: Path, content: bytes) -> None:
        file = tmp_path / "x.csv"
        file.write_bytes(content)
        frame = read_csv(file)
        assert (frame["a"][0], frame["won"][0]) == ("1,5", "yes")


class TestDirtyFiles:
    @pytest.mark.parametrize(
        ("won", "lost"),
        [
            ("yes", "no"),
            ("Won", "Lost"),
            ("1", "0"),
            ("TRUE", "FALSE"),
            ("Closed Won", "closed lost"),
            ("signed up", "not signed up"),
        ],
    )
    def test_outcomes_are_words(self, tmp_path: Path, won: str, lost: str) -> None:
        leads = Leads(2_000)
        file = write(
            leads.frame.with_columns(outcome=pl.Series(np.where(leads.won == 1, won, lost))), tmp_path / "x.csv"
        )
        card = judge(file, "outcome")
        assert (card["target"]["won"], card["target"]["lost"]) == (won, lost)
        assert card["verdict"] == "published"

    def test_dirt_is_read_counted_and_survived(self, tmp_path: Path) -> None:
        leads = Leads(2_500)
        lines = ["\ufeffid;when;visits;size;source;note;empty;same;outcome"]
        for row, (at, visits, _depth, _noise, source, size, outcome) in enumerate(leads.frame.iter_rows()):
            shown = "n/a" if row % 50 == 0 else f"{visits:.3f}".replace(".", ",")
            note = f'"said ""call {row}"" on the phone"'
            lines.append(f'k{row};{at:%d.%m.%Y};{shown};"{size:,.0f} EUR";{source} ;{note};;x;{outcome}')
            if row % 400 == 0:
                lines.append("")
        file = tmp_path / "dirty.csv"
        file.write_text("\n".join(lines), encoding="utf-8")
        card = judge(file, "Outcome", "--time", "when")
        assert card["verdict"] == "published"
        assert card["identifiers"] == ["id"]
        assert {"note", "empty", "same"} <= set(card["left_out"])
        assert set(card["model"]["features"]) == {"visits", "size", "source"}

    def test_more_columns_than_rows(self, tmp_path: Path) -> None:
        leads = Leads(600, signal=2)
        wide = leads.frame.with_columns(**{f"x{i}": pl.Series(leads.random.normal(size=600)) for i in range(250)})
        assert judge(write(wide, tmp_path / "wide.csv"), "outcome")["rows"]["all"] == 600

    def test_one_outcome_alone_is_nothing_to_learn_from(self, tmp_path: Path) -> None:
        file = tmp_path / "one.csv"
        file.write_text("a,won\n1,yes\n2,\n3,yes\n")
        card = judge(file, "won")
        assert card["verdict"] == "abstains"
        assert "holds only 'yes'" in card["reasons"][0]
        assert "1 row is empty" in card["reasons"][0]

    def test_dates_in_several_forms_and_numbers_that_are_none_keep_their_column(self, tmp_path: Path) -> None:
        leads = Leads(3_000, signal=2)
        forms = ("%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%Y-%m-%dT%H:%M:%SZ", "%d %b %Y")
        dates = [at.strftime(forms[row % 5]) for row, at in enumerate(leads.frame["created_at"])]
        none = ("inf", "-Infinity", "1e400", "#DIV/0!")
        odd = [none[row % 4] if row % 9 == 0 else str(row % 50) for row in range(3_000)]
        frame = leads.frame.with_columns(created_at=pl.Series(dates), odd=pl.Series(odd))
        plain = judge(write(leads.frame, tmp_path / "plain.csv"), "outcome", "--time", "created_at")
        card = judge(write(frame, tmp_path / "mixed.csv"), "outcome", "--time", "created_at")
        assert card["window"]["test_from"][:10] == plain["window"]["test_from"][:10]
        assert "odd" not in card["left_out"]

    @pytest.mark.parametrize(
        ("text", "target", "more", "says"),
        [
            ("a,won\n1,yes\n2,no\n", "won it", (), "There is no column 'won it'"),
            ("a,won\n1,yes\n2,no,3\n", "won", (), "line 3: 3 values, but the heading names 2 columns"),
            ("", "won", (), "is empty"),
            ("a,won\n", "won", (), "no rows"),
            ("won\nyes\nno\n", "won", (), "single column"),
            ("Leads of May\na,won\n1,yes\n", "won", (), "first line of bad.csv is no heading: 'Leads of May'"),
            ('[{"a": 1, "won": "yes"}]', "won", (), "is JSON; save the table as CSV"),
            ("<html><table></table></html>", "won", (), "is a web page"),
            ("a,won\n1,red\n2,green\n3,blue\n", "won", (), "3 different values"),
            ("a,won\n1,0\n2,1\n3,2\n", "won", (), "3 different values"),
            ("a,won\n1,yes\nsoon,no\nlater,no\n", "won", ("--time", "a"), "is no time"),
        ],
    )
    def test_what_cannot_be_judged_is_refused_in_a_sentence(
        self, tmp_path: Path, text: str, target: str, more: tuple[str, ...], says: str
    ) -> None:
        file = tmp_path / "bad.csv"
        file.write_text(text)
        ran = CliRunner().invoke(app, ["csv", str(file), "--target", target, "--json", *more])
        assert isinstance(ran.exception, ScoringError)
        card = json.loads(ran.output)
        assert (card["verdict"], card["reasons"]) == ("abstains", [str(ran.exception)])
        assert says in card["reasons"][0]
        assert {"auc", "brier", "leaks", "identifiers", "duplicates", "window"} <= card.keys()


def olist(folder: Path) -> Path:
    leads = pl.read_csv(SHARED / "olist_funnel" / "olist_marketing_qualified_leads_dataset.csv")
    won = pl.read_csv(SHARED / "olist_funnel" / "olist_closed_deals_dataset.csv")["mql_id"]
    return write(leads.with_columns(won=pl.col("mql_id").is_in(won.implode()).cast(pl.Int8)), folder / "olist.csv")
