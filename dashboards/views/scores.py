"""The lead scores page: whom to call today and why, and whether the model that says so can be trusted."""

from dataclasses import dataclass
from datetime import date
from typing import Any

import pandas as pd
import streamlit as st

from dashboards import client, money, score_card, states, tables
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
        of = _subject()
        models = client.get(who, "/v1/scores/models", {"subject": of.name}).body["items"]
        if not models:
            states.nothing_here("No model has been trained yet", of.how)
            return
        present = next((model for model in models if model["state"] == "promoted"), None)
        if present is not None:
            _whom_to_call(who, of)
            _came_true(who, me, of)
        shown = present or models[0]
        score_card.show(who, shown, _before(models, shown), noun=of.noun)
        _models(models, me)


@dataclass(frozen=True)
class _Subject:
    """What is scored, and how people speak of it."""

    name: str
    title: str
    noun: str
    metric: str
    comes: str
    success: str
    how: str


_SUBJECTS = {
    "deal": _Subject(
        "deal",
        "Deals",
        "deal",
        "score_calibration",
        "to be won",
        "Won",
        "./sluice score train learns from your won and lost deals; at least 200 of each are needed.",
    ),
    "contact": _Subject(
        "contact",
        "Leads",
        "lead",
        "lead_calibration",
        "to become a deal",
        "Became a deal",
        "./sluice score train --of contact learns from contacts that became deals and others that did not; at least 200"
        " of each are needed.",
    ),
}


def _subject() -> _Subject:
    """Deals or leads, as the address says."""
    asked = st.query_params.get("of", "deal")
    asked = asked if asked in _SUBJECTS else "deal"
    chosen = st.segmented_control(
        "Scores of", list(_SUBJECTS), default=asked, format_func=lambda one: _SUBJECTS[one].title, key="scores_of"
    )
    chosen = chosen or asked
    if chosen != st.query_params.get("of", "deal"):
        st.query_params["of"] = chosen
    return _SUBJECTS[chosen]


def _whom_to_call(who: SignIn, of: _Subject) -> None:
    st.header("Who to call today", anchor=False)
    scores = client.get(who, "/v1/scores", {"subject": of.name, "limit": _SHOWN}).body["items"]
    if not scores:
        states.nothing_here(f"None of your open {of.noun}s has a score yet", "Scores follow with the next run.")
        return
    rows = [
        {
            of.noun.capitalize(): score["title"],
            "Chance": score["score"],
            **({"Amount": money.amount(score["amount_minor"], score["currency"])} if of.name == "deal" else {}),
            "Because": "; ".join(reason["words"] for reason in score["reasons"][:3]) or "nothing stands out",
        }
        for score in scores
    ]
    days = scores[0]["horizon_days"]
    st.caption(f"Your likeliest open {of.noun}s, by the chance {of.comes} within {days} days of their last change.")
    tables.show(
        pd.DataFrame(rows),
        column_config={"Chance": st.column_config.ProgressColumn(format="percent", min_value=0, max_value=1)},
    )
    st.caption(
        f"One {of.noun} in twenty, picked by chance, never has a score, so that the effect of scores can be measured."
    )


def _came_true(who: SignIn, me: Me, of: _Subject) -> None:
    """All scores that were ever given, against what came of them since: the metric, not the model's own card."""
    st.header("What came true", anchor=False)
    answer = client.figures(who, of.metric, {"from": _FIRST_DAY.isoformat()})
    total = next(iter(answer.totals), {})
    if not total.get("settled"):
        given = total.get("scored") or 0
        about = f"{money.count(given)} {of.noun}s have a score; of none is known what came of it." if given else ""
        states.nothing_here("Nothing to hold scores against yet", about or "No score was given.")
        return
    plural = f"{of.noun.capitalize()}s"
    shown = (
        (f"{plural} with a score", money.count(total["scored"]), f"{money.count(total['open'])} are still open"),
        ("Said on average", money.share(total["forecast"]), "of those that are settled"),
        (
            of.success,
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
            plural: money.count(row["scored"]),
            "Settled": money.count(row["settled"]),
            "Said": _share(row["forecast"]),
            of.success: _share(row["won_rate"]),
            "By chance": "–" if row["low"] is None else f"{money.share(row['low'])} to {money.share(row['high'])}",
        }
        for row in answer.rows
    ]
    tables.show(pd.DataFrame(rows), alt="What was said and what came true, in tenths")
    if total["open"]:
        st.caption("While many are open, those that are settled are the ones that closed quickly.")
    about = f"First score of each {of.noun}, held against what came of it ({me.organization.time_zone})"
    states.provenance(answer, about)


def _tenth(group: str) -> str:
    place = int(group.removeprefix("tenth_"))
    return f"{10 * (place - 1)} to {10 * place} %"


def _share(value: float | None) -> str:
    return money.NOTHING if value is None else money.share(value)


def _before(models: list[dict[str, Any]], shown: dict[str, Any]) -> dict[str, Any] | None:
    """The model that was in use, or made, before the shown one and can be compared with it."""
    older = [one for one in models if one["number"] < shown["number"] and one["card"].get("auc") is not None]
    return max(older, key=lambda one: (one["promoted_at"] is not None, one["number"]), default=None)


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
    tables.show(pd.DataFrame(rows))
