"""The card of a model, drawn: how good it is, whether it holds everywhere, what moves it and what it was not shown."""

from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from contracts.calls import picklists
from dashboards import client, money, states, tables
from dashboards.session import SignIn

Row = dict[str, Any]

#: Population stability above which a column is said to have moved.
_MOVED = 0.1


def show(who: SignIn, model: Row, before: Row | None, *, noun: str) -> None:
    """Draw a model's card; `before` is the model that it is compared with."""
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
            f"{card['brier_reference']:.3f} for giving every {noun} the same chance",
        ),
        ("Lift of the best tenth", f"{card['lift'][0]['lift']:.1f}×", "as often won as on average"),
        ("Judged by", money.count(card["rows"]["test"]), f"{noun}s that it had never seen"),
    )
    for column, (name, value, beside) in zip(st.columns(len(figures)), figures, strict=True):
        column.metric(name, value)
        column.caption(beside)
    if before is not None:
        _compared(card, before)
    _calibration(card, noun)
    _parts(who, card, noun)
    _left_out(card)


def _compared(card: Row, before: Row) -> None:
    """Both judged on the rows that each had not seen, which are not the same."""
    earlier = before["card"]
    gain, gain_before = (one["brier_reference"] - one["brier"] for one in (card, earlier))
    st.caption(
        f"Model {before['number']} before it: AUC {earlier['auc']:.2f} (now {card['auc']:.2f}), Brier better than the"
        f" same chance for all by {gain_before:.3f} (now {gain:.3f}); each judged on its own newest rows."
    )


def _parts(who: SignIn, card: Row, noun: str) -> None:
    """Whether it holds for every group, over time, and for what has changed since it learned."""
    with st.expander("Does it hold everywhere?"):
        names = _names(who) if card["slices"] else {}
        groups = [
            {
                "Group": f"{_plain(part['column'])}: {_named(part['value'], names)}",
                f"{noun.capitalize()}s": money.count(part["rows"]),
                "Said": money.share(part["forecast"]),
                "Won": money.share(part["won"]),
                "AUC": money.NOTHING if part["auc"] is None else f"{part['auc']:.2f}",
            }
            for part in card["slices"]
        ]
        if groups:
            tables.show(pd.DataFrame(groups), alt="By group")
        quarters = [
            {"Quarter": number, "Said": money.share(part["forecast"]), "Won": money.share(part["won"])}
            for number, part in enumerate(card["calibration"]["over_time"], 1)
        ]
        if quarters:
            tables.show(pd.DataFrame(quarters), alt="Over time, the oldest first")
        drift = card["drift"]
        moved = [_plain(name) for name, value in drift["columns"].items() if value >= _MOVED]
        told = f"; moved: {', '.join(moved)}" if moved else ""
        st.caption(f"Drift between the rows that taught and those that judged (PSI): {drift['score']:.3f}{told}.")
        lift = ", ".join(f"{part['lift']:.1f}" for part in card["lift"])
        st.caption(f"Lift by tenths of the score, the best first: {lift}.")


def _names(who: SignIn) -> dict[str, str]:
    found = {stage.id: stage.name for pipeline in client.pipelines(who) for stage in pipeline.stages}
    found |= {pipeline.id: pipeline.name for pipeline in client.pipelines(who)}
    return found | {
        one["id"]: one["label"]
        for one in client.ask_all(who, partial(picklists.list_picklist_values, "source", limit=100))
    }


def _named(value: object, names: dict[str, str]) -> str:
    return "none" if value is None else names.get(str(value), str(value))


def _calibration(card: Row, noun: str) -> None:
    st.markdown("**Said and came true.** In tenths by their chance; in the long run both columns should be equal.")
    tenths = [
        {
            "Tenth": number,
            f"{noun.capitalize()}s": part["rows"],
            "Said": money.share(part["forecast"]),
            "Won": money.share(part["won"]),
        }
        for number, part in enumerate(card["calibration"]["curve"], 1)
    ]
    left, right = st.columns([3, 2])
    with left:
        tables.show(pd.DataFrame(tenths))
    with right:
        st.markdown("**What moves it most**")
        tables.show(
            [
                {"What": _plain(feature["column"]), "Log-odds": f"{feature['moves']:.2f}"}
                for feature in card["top_features"]
            ]
        )


def _plain(column: str) -> str:
    return column.removesuffix("_id").removesuffix("_minor").replace("_", " ")


def _left_out(card: Row) -> None:
    reasons = [*card["left_out"].values(), *card["warnings"]]
    if reasons:
        with st.expander("What it was not shown, and what to know"):
            tables.show(pd.DataFrame({"Reason": reasons}))
