"""The pipeline page: what was open on any day, in which stage and at which worth, against another day."""

from datetime import UTC, date, datetime, timedelta

import streamlit as st

from dashboards import client, controls, figures, frames, links, money, states, tables, waterfall
from dashboards.answers import FiguresAnswer, Me
from dashboards.figures import Column, Panel
from dashboards.pages import Page
from dashboards.session import SignIn

Asked = dict[str, str | int | None]

#: Listed are so many; of more than this many only their figures are shown.
_SHOWN, _MOST_STUCK = 25, 1000

PAGE = Page("Pipeline as of", icon="stacked_bar_chart", group="Analyse", position=5)

_PANEL = Panel(
    "weighted_pipeline",
    [
        Column("open_amount_minor", "Open amount", "money"),
        Column("earlier_amount", "Then", "money"),
        Column("open_deals", "Open deals"),
        Column("earlier_deals", "Deals then"),
        Column("win_probability", "Won of such deals", "share"),
        Column("weighted_amount_minor", "Weighted", "money"),
    ],
    measure="open_deals",
    heading="Stage",
    is_ranked=False,
    restates="open_deals",
)
_STALLED = Panel(
    "stalled_deals",
    [
        Column("stalled_deals", "Stuck deals"),
        Column("stalled_amount_minor", "Amount", "money"),
        Column("median_days", "Median days there", "days"),
    ],
    measure="stalled_deals",
    heading="Stage",
    restates="stalled_deals",
)


def render(who: SignIn, me: Me) -> None:
    """Draw the page."""
    organization = me.organization
    with states.explained():
        version = states.version_to_show(who)
        states.page_head("Pipeline as of", who, organization.zone)
        known = client.pipelines(who)
        if not known:
            states.nothing_here("There is no pipeline yet", "Create one, or import your deals, and come back.")
            return
        today = datetime.now(UTC).astimezone(organization.zone).date()
        with st.container(border=True, key="scope_bar"):
            columns = st.columns(4)
            with columns[0]:
                pipeline = controls.pipeline(known) or known[0]
            with columns[1]:
                day = _day("As it stood on", "on", today, today)
            with columns[2]:
                earlier = _day("Against", "against", today - timedelta(days=28), today)
            with columns[3]:
                whose = controls.whose(who)
        of: Asked = {"pipeline_id": pipeline.id, "whose": whose.value or None}
        days = {"on": day.isoformat(), "against": earlier.isoformat()}
        links.publish({"pipeline": pipeline.id, "whose": whose.value or None, **days})
        asked = of | _at(day, today)
        answer = client.figures(who, "weighted_pipeline", asked, version=version)
        then = client.figures(who, "pipeline_value", of | _at(earlier, today), version=version)
        past = {row["stage_id"]: row for row in then.rows}
        rows = [
            row
            | {
                "earlier_amount": past.get(row["stage_id"], {}).get("open_amount_minor", 0),
                "earlier_deals": past.get(row["stage_id"], {}).get("open_deals", 0),
            }
            for row in answer.rows
        ]
        said = [f"Open on {day:%-d %b %Y}, against {earlier:%-d %b %Y}", pipeline.name, *whose.words(), "as known now"]
        question = " · ".join(said)
        compared = answer.model_copy(update={"rows": rows})
        figures.draw(who, organization, compared, asked, _PANEL, question=question, version=version)
        waterfall.draw(who, organization, of, earlier=earlier, later=day, question=question, version=version)
        st.header("Stuck deals", anchor=False)
        st.caption("Open deals that are in their stage for longer than its target, or 30 days where it has none.")
        stalled = client.figures(who, "stalled_deals", asked, version=version)
        figures.draw(who, organization, stalled, asked, _STALLED, question=question, version=version)
        _longest(who, stalled, asked, organization.currency, version)


def _longest(who: SignIn, stalled: FiguresAnswer, asked: Asked, currency: str, version: str | None) -> None:
    """The deals that are stuck longest, of all stages."""
    stages = [row["stage_id"] for row in stalled.rows if row["stalled_deals"]]
    if not stages or sum(row["stalled_deals"] for row in stalled.rows) > _MOST_STUCK:
        return
    st.markdown(f"**The {_SHOWN} that are stuck longest**")
    answers = [
        client.deals_behind(
            who, "stalled_deals", {**asked, "stage_id": stage, "measure": "stalled_deals"}, version=version
        )
        for stage in stages
    ]
    labels = {key: label for answer in answers for key, label in answer.labels.items()}
    deals = sorted((deal for answer in answers for deal in answer.items), key=lambda deal: -(deal.days or 0))
    table = frames.deals_table(deals[:_SHOWN], lambda key: labels.get(str(key), money.NOTHING) if key else "None")
    table.insert(3, "Days there", [round(deal.days or 0) for deal in deals[:_SHOWN]])
    columns = tables.DEAL_COLUMNS | {"Closed": None, "Status": None, "Reason": None}
    tables.show(tables.deals(table, currency), column_config=columns, alt="Deals stuck longest")


def _day(label: str, key: str, default: date, latest: date) -> date:
    links.restore(key, default, _read)
    chosen: date = st.date_input(label, key=key, format="YYYY-MM-DD", max_value=latest, persist_state="session")
    return min(chosen, latest)


def _read(text: str) -> date | None:
    try:
        found = date.fromisoformat(text)
    except ValueError:
        return None
    return found if found <= date.today() + timedelta(days=1) else None  # noqa: DTZ011  # a bound, not a day of anybody's


def _at(day: date, today: date) -> Asked:
    """Of today the question is of now, so that it follows what happens."""
    return {"at": None if day >= today else day.isoformat()}
