"""Pipelines and their stages: make, rename, reorder, retire and bring back, and move the deals of a stage elsewhere."""

from uuid import uuid4

import pandas as pd
import streamlit as st

from contracts.calls import deals, pipelines
from contracts.calls.schemas import PipelineRead, StageCreate, StageRead
from dashboards import client, states, tables
from dashboards.answers import Me
from dashboards.pages import Page
from dashboards.session import SignIn

PAGE = Page("Pipelines", icon="view_week", group="Admin", position=2, roles=frozenset({"owner", "admin"}))

_NEEDED = {
    "amount_minor": "Amount", "close_date": "Closing day", "owner_id": "Owner", "contact_id": "Contact",
    "company_id": "Company", "source": "Source",
}  # fmt: skip
_KINDS = {"open": "Open", "won": "Won", "lost": "Lost"}
#: Deals that one click moves.
_AT_ONCE = 200


def render(who: SignIn, me: Me) -> None:
    """Draw the page."""
    del me
    st.title("Pipelines", anchor=False)
    with states.explained():
        found: list[PipelineRead] = client.ask_all(who, lambda cursor: pipelines.list_pipelines(cursor=cursor))
        active = [one for one in found if one["is_active"]]
        if not active:
            states.nothing_here("No pipeline", "Make the first one below.")
        for pipeline in active:
            _pipeline(who, pipeline)
        _retired(who, [one for one in found if not one["is_active"]])
        _create(who)


def _pipeline(who: SignIn, pipeline: PipelineRead) -> None:
    with st.container(border=True):
        st.text(pipeline["name"])
        rows = [
            {"Stage": stage["name"], "Kind": _KINDS[stage["kind"]], "Target days": stage["target_days"]}
            for stage in pipeline["stages"]
        ]
        tables.show(pd.DataFrame(rows))
        stages = {stage["id"]: stage for stage in pipeline["stages"]}
        with st.container(horizontal=True):
            _change_stage(who, pipeline, stages)
            _add_stage(who, pipeline)
            _retire_stage(who, pipeline, stages)
            _bring_back(who, pipeline)
            _change(who, pipeline)


def _change_stage(who: SignIn, pipeline: PipelineRead, stages: dict[str, StageRead]) -> None:
    with st.popover("Change a stage"):
        chosen = _stage("Stage", stages, f"stage {pipeline['id']}")
        if chosen is None:
            return
        stage = stages[chosen]
        as_read = f"{chosen} {stage['version']}"
        is_late = states.is_overtaken(chosen, stage["version"])
        name = st.text_input("Name", value=stage["name"], key=f"name {as_read}")
        days = st.number_input(
            "Target days", value=stage["target_days"], min_value=0, step=1, key=f"days {as_read}",
            help="How long a deal should stay. One that stays longer is shown as rotting.",
        )  # fmt: skip
        places = list(stages)
        place = st.selectbox(
            "Place", range(1, len(places) + 1), places.index(chosen), key=f"place {as_read}",
            help="Reports of what was known before keep the order of their day.",
        )  # fmt: skip
        entry = _needed(stage["entry_fields"], "Needed to enter", f"entry_fields {as_read}")
        leave = _needed(stage["exit_fields"], "Needed to leave", f"exit_fields {as_read}")
        if st.button("Save", key=f"save {chosen}"):
            call = pipelines.update_stage(
                pipeline["id"],
                chosen,
                {
                    "name": name,
                    "target_days": days,
                    "position": stages[places[place - 1]]["position"],
                    "entry_fields": entry,
                    "exit_fields": leave,
                },
                version=stage["version"],
            )
            states.tried(lambda: client.ask(who, call), is_late=is_late)


def _needed(known: list[str], label: str, key: str) -> list[str]:
    offered = [*_NEEDED, *(one for one in known if one not in _NEEDED)]
    return st.multiselect(label, offered, default=known, format_func=lambda one: _NEEDED.get(one, one), key=key)


def _stage(label: str, stages: dict[str, StageRead], key: str) -> str | None:
    return st.selectbox(label, list(stages), format_func=lambda one: states.plain(stages[one]["name"]), key=key)


def _add_stage(who: SignIn, pipeline: PipelineRead) -> None:
    with st.popover("Add a stage"), st.form(f"add {pipeline['id']}", clear_on_submit=True):
        name = st.text_input("Name")
        kind = st.selectbox("Kind", list(_KINDS), format_func=_KINDS.__getitem__, help="It never changes afterwards.")
        days = st.number_input("Target days", value=None, min_value=0, step=1)
        if st.form_submit_button("Add"):
            call = pipelines.add_stage(
                pipeline["id"],
                {"name": name, "kind": kind, "target_days": days},  # type: ignore[typeddict-item] # one of its kinds
                key=str(uuid4()),
            )
            states.tried(lambda: client.ask(who, call))


def _retire_stage(who: SignIn, pipeline: PipelineRead, stages: dict[str, StageRead]) -> None:
    with st.popover("Retire a stage"):
        st.caption("No deal enters it any more; histories and reports keep it.")
        chosen = _stage("Stage", stages, f"retire {pipeline['id']}")
        if chosen is None:
            return
        standing = client.ask(who, deals.list_deals(stage_id=chosen, status="open", limit=_AT_ONCE))
        count = len(standing["items"])
        if not count:
            if st.button("Retire", key=f"retire {chosen}"):
                call = pipelines.retire_stage(pipeline["id"], chosen, version=stages[chosen]["version"])
                states.tried(lambda: client.ask(who, call))
            return
        more = "more than " if standing["next_cursor"] else ""
        st.warning(f"Open deals are in this stage: {more}{count}. Say where they go, then retire it.")
        others = {one: stage for one, stage in stages.items() if one != chosen and stage["kind"] == "open"}
        target = _stage("Move them to", others, f"target {pipeline['id']}")
        if target is not None and st.button(f"Move {count}", key=f"move {chosen}"):
            _move(who, [deal["id"] for deal in standing["items"]], target)


def _move(who: SignIn, deal_ids: list[str], target: str) -> None:
    """Each by the rules of a move: what its stages need is asked of every deal."""
    progress, refused = st.progress(0.0), list[str]()
    for number, deal_id in enumerate(deal_ids, start=1):
        try:
            client.ask(who, deals.move_deal(deal_id, {"stage_id": target}, key=str(uuid4())))
        except (client.RefusedError, client.ConflictError) as error:
            refused.append(error.message)
        progress.progress(number / len(deal_ids))
    if refused:
        st.error(states.plain(f"{len(refused)} of {len(deal_ids)} stayed. {refused[0]}"))
        return
    st.rerun()


def _bring_back(who: SignIn, pipeline: PipelineRead) -> None:
    with st.popover("Bring one back"):
        whole = client.ask(who, pipelines.read_pipeline(pipeline["id"], include_retired=True))
        retired = {stage["id"]: stage for stage in whole["stages"] if stage["is_retired"]}
        if not retired:
            st.caption("No stage of this pipeline is retired.")
            return
        chosen = _stage("Stage", retired, f"back {pipeline['id']}")
        if chosen is not None and st.button("Bring it back", key=f"back {chosen}"):
            call = pipelines.restore_stage(pipeline["id"], chosen, version=retired[chosen]["version"], key=str(uuid4()))
            states.tried(lambda: client.ask(who, call))


def _change(who: SignIn, pipeline: PipelineRead) -> None:
    with st.popover("Rename or retire it"):
        as_read = f"{pipeline['id']} {pipeline['version']}"
        is_late = states.is_overtaken(pipeline["id"], pipeline["version"])
        name = st.text_input("Name of the pipeline", value=pipeline["name"], key=f"pipeline {as_read}")
        renamed = pipelines.update_pipeline(pipeline["id"], {"name": name}, version=pipeline["version"])
        if st.button("Rename", key=f"rename {pipeline['id']}"):
            states.tried(lambda: client.ask(who, renamed), is_late=is_late)
        retired = pipelines.update_pipeline(pipeline["id"], {"is_active": False}, version=pipeline["version"])
        if st.button("Retire the pipeline", key=f"retire pipeline {pipeline['id']}"):
            states.tried(lambda: client.ask(who, retired), is_late=is_late)


def _retired(who: SignIn, retired: list[PipelineRead]) -> None:
    for pipeline in retired:
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            st.text(f"{pipeline['name']} (retired)")
            revived = pipelines.update_pipeline(pipeline["id"], {"is_active": True}, version=pipeline["version"])
            if st.button("Take it back into use", key=f"revive {pipeline['id']}"):
                client.ask(who, revived)
                st.rerun()


def _create(who: SignIn) -> None:
    with st.form("new pipeline", clear_on_submit=True):
        name = st.text_input("A new pipeline")
        stages = st.text_area("Its open stages, one a line", value="Lead\nProposal")
        is_sent = st.form_submit_button("Make it", icon=":material/add:")
    if is_sent:
        made: list[StageCreate] = [{"name": line.strip()} for line in stages.splitlines() if line.strip()]
        made += [{"name": "Won", "kind": "won"}, {"name": "Lost", "kind": "lost"}]
        call = pipelines.create_pipeline({"name": name, "stages": made}, key=str(uuid4()))
        states.tried(lambda: client.ask(who, call))
