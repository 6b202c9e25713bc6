"""Pipelines and their stages."""

from typing import Any

import pandas as pd
import streamlit as st

from dashboards import client, states
from dashboards.answers import Me
from dashboards.pages import Page
from dashboards.session import SignIn

PAGE = Page("Pipelines", icon="view_week", group="Admin", position=2, roles=frozenset({"owner", "admin"}))

_NEEDED = {
    "amount_minor": "Amount", "close_date": "Closing day", "owner_id": "Owner", "contact_id": "Contact",
    "company_id": "Company", "source": "Source",
}  # fmt: skip
_KINDS = {"open": "Open", "won": "Won", "lost": "Lost"}


def render(who: SignIn, me: Me) -> None:
    """Draw the page."""
    del me
    st.title("Pipelines", anchor=False)
    with states.explained():
        pipelines = [one for one in client.get_all(who, "/v1/pipelines") if one.get("is_active", True)]
        if not pipelines:
            states.nothing_here("No pipeline", "Make the first one below.")
        for pipeline in pipelines:
            _pipeline(who, pipeline)
        _create(who)


def _pipeline(who: SignIn, pipeline: dict[str, Any]) -> None:
    with st.container(border=True):
        st.text(pipeline["name"])
        rows = [
            {"Stage": stage["name"], "Kind": _KINDS[stage["kind"]], "Target days": stage.get("target_days")}
            for stage in pipeline["stages"]
        ]
        st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch")
        _change_stage(who, pipeline)
        _add_stage(who, pipeline)


def _change_stage(who: SignIn, pipeline: dict[str, Any]) -> None:
    stages = {stage["id"]: stage for stage in pipeline["stages"]}
    with st.popover("Change a stage"):
        chosen = st.selectbox(
            "Stage", list(stages), format_func=lambda key: stages[key]["name"], key=f"stage {pipeline['id']}"
        )
        if chosen is None:
            return
        stage = stages[chosen]
        as_read = f"{chosen} {stage['version']}"
        is_late = states.is_overtaken(chosen, stage["version"])
        name = st.text_input("Name", value=stage["name"], key=f"name {as_read}")
        days = st.number_input(
            "Target days", value=stage.get("target_days"), min_value=0, step=1, key=f"days {as_read}"
        )
        entry, leave = (
            st.multiselect(
                label, [*_NEEDED, *(one for one in stage.get(field, []) if one not in _NEEDED)],
                default=stage.get(field, []), format_func=lambda one: _NEEDED.get(one, one), key=f"{field} {as_read}",
            )
            for field, label in (("entry_fields", "Needed to enter"), ("exit_fields", "Needed to leave"))
        )  # fmt: skip
        if st.button("Save", key=f"save {chosen}"):
            path = f"/v1/pipelines/{pipeline['id']}/stages/{chosen}"
            changed = {"name": name, "target_days": days, "entry_fields": entry, "exit_fields": leave}
            states.tried(lambda: client.patch(who, path, changed, etag=f'"{stage["version"]}"'), is_late=is_late)


def _add_stage(who: SignIn, pipeline: dict[str, Any]) -> None:
    with st.popover("Add a stage"), st.form(f"add {pipeline['id']}", clear_on_submit=True):
        name = st.text_input("Name")
        kind = st.selectbox("Kind", list(_KINDS), format_func=lambda one: _KINDS[one])
        if st.form_submit_button("Add"):
            body = {"name": name, "kind": kind}
            states.tried(lambda: client.post(who, f"/v1/pipelines/{pipeline['id']}/stages", body))


def _create(who: SignIn) -> None:
    with st.form("new pipeline", clear_on_submit=True):
        name = st.text_input("A new pipeline")
        stages = st.text_area("Its open stages, one a line", value="Lead\nProposal")
        is_sent = st.form_submit_button("Make it", icon=":material/add:")
    if is_sent:
        named = [{"name": line.strip(), "kind": "open"} for line in stages.splitlines() if line.strip()]
        ends = [{"name": "Won", "kind": "won"}, {"name": "Lost", "kind": "lost"}]
        states.tried(lambda: client.post(who, "/v1/pipelines", {"name": name, "stages": named + ends}))
