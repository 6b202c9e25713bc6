"""The lead scores page: whom to call today and why, and whether the model that says so can be trusted."""

from datetime import date
from typing import Any

import pandas as pd
import streamlit as st

from dashboards import client, money, states
from dashboards.answers import Me
from dashboards.pages import Page
from dashboards.session import SignIn

PAGE = Page("Lead scores", icon="target", group="Automate", position=2)

_SHOWN = 25
#: No score is older.
_FIRST_DAY = date(2020, 1, 1)


def render(who: SignIn, me: Me) -> None:
    """Draw the page."""
    st.title("Lead scores", anchor=False)
    with states.explained():
        models = client.get(who, "/v1/scores/models").body["items"]
        if not models:
            states.nothing_here(
                "No model has been trained yet",
                "./sluice score train learns from your won and lost deals; at least 200 of each are needed.",
            )
            return
        present = next((model for model in models if model["state"] == "promoted"), None)
        if present is not None:
            _whom_to_call(who)
            _came_true(who, me)
        _card(present or models[0])
        _models(models, me)


def _whom_to_call(who: SignIn) -> None:
    st.header("Who to call today", anchor=False)
    scores = client.get(who, "/v1/scores", {"limit": _SHOWN}).body["items"]
    if not scores:
        states.nothing_here("None of your open deals has a score yet", "Scores follow with the next run.")
        return
    rows = [
        {
            "Deal": score["title"],
            "Chance": score["score"],
            "Amount": money.amount(score["amount_minor"], score["currency"]),
            "Because": "; ".join(reason["words"] for reason in score["reasons"][:3]) or "nothing stands out",
        }
        for score in scores
    ]
    days = scores[0]["horizon_days"]
    st.caption(f"Your likeliest open deals, by the chance to be won within {days} days of their last change.")
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        width="stretch",
        column_config={"Chance": st.column_config.ProgressColumn(format="percent", min_value=0, max_value=1)},
    )
    st.caption("One deal in twenty, picked by chance, never has a score, so that the effect of scores can be measured.")


def _came_true(who: SignIn, me: Me) -> None:
    """All scores that were ever given, against what came of them since: the metric, not the model's own card."""
    st.header("What came true", anchor=False)
    answer = client.figures(who, "score_calibration", {"from": _FIRST_DAY.isoformat()})
    total = next(iter(answer.totals), {})
    if not total.get("settled"):
        given = total.get("scored") or 0
        about = f"{money.count(given)} deals have a score; none was closed since." if given else "No score was given."
        states.nothing_here("Nothing to hold scores against yet", about)
        return
    shown = (
        ("Deals with a score", money.count(total["scored"]), f"{money.count(total['open'])} are still open"),
        ("Said on average", money.share(total["forecast"]), "of those that are settled"),
        (
            "Won",
            money.share(total["won_rate"]),
            f"{money.share(total['low'])} to {money.share(total['high'])} by chance",
        ),
        ("Error (Brier)", f"{total['brier']:.3f}", f"{total['brier_reference']:.3f} for the same chance for all"),
    )
    for column, (name, value, beside) in zip(st.columns(len(shown)), shown, strict=True):
        column.metric(name, value)
        column.caption(beside)
    rows = [
        {
            "Chance": _tenth(str(row["group"])),
            "Deals": money.count(row["scored"]),
            "Settled": money.count(row["settled"]),
            "Said": _share(row["forecast"]),
            "Won": _share(row["won_rate"]),
            "By chance": "–" if row["low"] is None else f"{money.share(row['low'])} to {money.share(row['high'])}",
        }
        for row in answer.rows
    ]
    st.dataframe(
        pd.DataFrame(rows), hide_index=True, width="stretch", alt="What was said and what came true, in tenths"
    )
    if total["open"]:
        st.caption("While many are open, those that are settled are the ones that closed quickly.")
    states.provenance(answer, f"First score of each deal, held against its closing ({me.organization.time_zone})")


def _tenth(group: str) -> str:
    place = int(group.removeprefix("tenth_"))
    return f"{10 * (place - 1)} to {10 * place} %"


def _share(value: float | None) -> str:
    return money.NOTHING if value is None else money.share(value)


def _card(model: dict[str, Any]) -> None:
    card = model["card"]
    st.header(f"Model {model['number']}", anchor=False)
    say = st.success if card["verdict"] == "published" else st.warning
    say(states.plain(" ".join(card["reasons"])))
    if card.get("auc") is None:
        return
    figures = (
        (
            "Tells won from lost (AUC)",
            f"{card['auc']:.2f}",
            f"{card['auc_interval'][0]:.2f} to {card['auc_interval'][1]:.2f}; 0.50 is chance",
        ),
        (
            "Error (Brier)",
            f"{card['brier']:.3f}",
            f"{card['brier_reference']:.3f} for giving every deal the same chance",
        ),
        ("Lift of the best tenth", f"{card['lift'][0]['lift']:.1f}×", "as often won as on average"),
        ("Judged by", money.count(card["rows"]["test"]), "deals that it had never seen"),
    )
    for column, (name, value, beside) in zip(st.columns(len(figures)), figures, strict=True):
        column.metric(name, value)
        column.caption(beside)
    _calibration(card)
    _left_out(card)


def _calibration(card: dict[str, Any]) -> None:
    st.markdown(
        "**Said and came true.** Deals in tenths by their chance; in the long run both columns should be equal."
    )
    tenths = [
        {"Tenth": number, "Deals": part["rows"], "Said": money.share(part["forecast"]), "Won": money.share(part["won"])}
        for number, part in enumerate(card["calibration"]["curve"], 1)
    ]
    left, right = st.columns([3, 2])
    left.dataframe(pd.DataFrame(tenths), hide_index=True, width="stretch")
    right.markdown("**What moves it most**")
    right.dataframe(
        pd.DataFrame(
            [
                {"What": _plain(feature["column"]), "Log-odds": f"{feature['moves']:.2f}"}
                for feature in card["top_features"]
            ]
        ),
        hide_index=True,
        width="stretch",
    )


def _plain(column: str) -> str:
    return column.removesuffix("_id").removesuffix("_minor").replace("_", " ")


def _left_out(card: dict[str, Any]) -> None:
    reasons = [*card["left_out"].values(), *card["warnings"]]
    if reasons:
        with st.expander("What it was not shown, and what to know"):
            st.dataframe(pd.DataFrame({"Reason": reasons}), hide_index=True, width="stretch")


def _models(models: list[dict[str, Any]], me: Me) -> None:
    st.header("All models", anchor=False)
    rows = [
        {
            "Model": model["number"],
            "State": model["state"],
            "AUC": None if model["card"].get("auc") is None else f"{model['card']['auc']:.3f}",
            "Trained": pd.Timestamp(model["created_at"]).tz_convert(me.organization.zone).strftime("%d %b %Y %H:%M"),
            "Kind": (model["card"].get("model") or {}).get("name") or "none",
        }
        for model in models
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch")
