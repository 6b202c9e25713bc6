"""The scores page: whom to call today and why, and whether the model that says so can be trusted."""

from typing import Any

import pandas as pd
import streamlit as st

from dashboards import client, money, states
from dashboards.answers import Me
from dashboards.pages import Page
from dashboards.session import SignIn

PAGE = Page("Scores", icon="target", group="Automate", position=2)

_SHOWN = 25


def render(who: SignIn, me: Me) -> None:
    """Draw the page."""
    st.title("Scores", anchor=False)
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
                {"What": feature["column"].replace("_", " "), "Log-odds": f"{feature['moves']:.2f}"}
                for feature in card["top_features"]
            ]
        ),
        hide_index=True,
        width="stretch",
    )


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
