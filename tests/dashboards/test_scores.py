"""The scores page: whom to call and why, what the model is worth, and what to do where there is none."""

from collections.abc import Callable
from typing import Any

from streamlit.testing.v1 import AppTest

from tests.dashboards.double import Double

TENTH: dict[str, Any] = {
    "group": "tenth_03", "scored": 40, "settled": 20, "open": 20, "won": 5, "forecast": 0.24, "won_rate": 0.25,
    "low": 0.112, "high": 0.469, "brier": 0.18, "brier_reference": 0.1875,
}  # fmt: skip


def test_it_says_whom_to_call_and_why_and_what_the_model_is_worth(
    open_page: Callable[..., AppTest], double: Double
) -> None:
    double.figures, double.totals = [TENTH], [TENTH | {"group": None}]
    page = open_page("scores")
    calls = page.dataframe[0].value
    assert list(calls["Deal"]) == ["400 seats *for* Acme", "Pilot"]
    assert list(calls["Because"]) == ["Moves 5 raises the odds by 80 %", "nothing stands out"]
    assert "Beats the base rate" in page.success[0].value
    assert [part.value for part in page.metric[:4]] == ["40", "24 %", "25 %", "0.180"]
    assert page.dataframe[1].value.iloc[0].to_dict() == {
        "Chance": "20 to 30 %", "Deals": "40", "Settled": "20", "Said": "24 %", "Won": "25 %",
        "By chance": "11 % to 47 %",
    }  # fmt: skip
    assert page.metric[4].label == "Tells won from lost (AUC)"
    assert len(page.dataframe[2].value) == 10
    groups = next(one.value for one in page.dataframe if "Group" in one.value)
    assert set(groups["Group"]) == {"owner: a", "owner: b"}
    assert any("Drift" in one.value for one in page.caption)


def test_a_model_that_abstains_says_why_and_names_nobody_to_call(
    open_page: Callable[..., AppTest], double: Double
) -> None:
    [model] = double.score_models
    abstaining = {**model["card"], "verdict": "abstains", "reasons": ["Too few rows: 8 are won."], "auc": None}
    model |= {"state": "shadow", "card": abstaining}
    page = open_page("scores")
    assert "Too few rows" in page.warning[0].value
    assert [part.value for part in page.header] == ["Model 3", "All models"]


def test_without_a_model_it_says_how_one_is_made(open_page: Callable[..., AppTest], double: Double) -> None:
    double.score_models.clear()
    assert "sluice score train" in " ".join(part.value for part in open_page("scores").markdown)


def test_leads_have_a_list_and_a_card_of_their_own(open_page: Callable[..., AppTest], double: Double) -> None:
    double.figures, double.totals = [TENTH], [TENTH | {"group": None}]
    page = open_page("scores", of="contact")
    calls = page.dataframe[0].value
    assert list(calls.columns) == ["Lead", "Chance", "Because"]
    assert list(calls["Lead"]) == ["Ann Lee"]
    assert "become a deal within 90 days" in " ".join(part.value for part in page.caption)
