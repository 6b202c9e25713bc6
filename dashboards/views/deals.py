"""Deals: a list or a board by stage, and one of them by `?id=`."""

from typing import Any

import streamlit as st

from dashboards import bulk, client, creating, drafting, files, finding, lines, money, pages, record, states, tags, why
from dashboards.answers import Me, Pipeline, Stage
from dashboards.finding import Findable
from dashboards.forms import Shown
from dashboards.pages import Page
from dashboards.session import SignIn

PAGE = Page("Deals", icon="handshake", group="Work", position=2)

_FIELDS = (
    Shown("title", "Title", is_required=True),
    Shown("amount_minor", "Amount", "money"),
    Shown("close_date", "Expected to close on", "date"),
    Shown("source", "Source"),
)
_FOUND_BY = {
    "title": Findable("Title"),
    "amount_minor": Findable("Amount", "money"),
    "status": Findable("Status", "choice", {"open": "open", "won": "won", "lost": "lost"}),
    "source": Findable("Source"),
    "close_date": Findable("Expected to close on", "date"),
    "tags": Findable("Tags", "list"),
    "created_at": Findable("Created", "moment"),
}
_CARDS, _COLUMNS, _ROWS = 10, 6, 100
#: Who may let a deal go on without what a stage asks for.
_MAY_OVERRIDE = frozenset({"owner", "admin", "manager"})


def render(who: SignIn, me: Me) -> None:
    """Draw the page."""
    st.title("Deals", anchor=False)
    with states.explained():
        record_id = st.query_params.get("id")
        pipelines = client.pipelines(who)
        if record_id:
            _one(who, me, record_id, pipelines)
        elif not pipelines:
            states.nothing_here("No pipeline", "An administrator makes one under Pipelines.")
        elif creating.is_asked():
            _new(who, me, pipelines)
        else:
            _all(who, me, pipelines)


def _one(who: SignIn, me: Me, record_id: str, pipelines: list[Pipeline]) -> None:
    path = f"/v1/deals/{record_id}"
    found = record.shown(who, path)
    st.text(f"{found['title']} · {money.amount(found['amount_minor'], found['currency'])}")
    with st.container(horizontal=True):
        pages.link("deals", "All deals", icon="arrow_back")
        for name, label, address in (("contact_id", "Contact", "contacts"), ("company_id", "Company", "companies")):
            if found[name]:
                pages.link(address, label, id=found[name])
    for made in client.get(who, "/v1/distributions", {"deal_id": record_id, "limit": 1})["items"]:
        st.text(f"Distributed by “{made['rule']}”: {made['reason']}")
    known = creating.people(who, me)
    left, right = st.columns(2)
    with left:
        _move(who, me, found.body, pipelines, key="of the page")
        # with lines the amount is their sum
        fields = [one for one in _FIELDS if one.name != "amount_minor" or not found.body.get("has_lines")]
        record.edit(who, path, found, (*fields, creating.owner(known)))
        record.edit_custom(who, path, found, record.custom_fields(who, "deals"), known)
        tags.edit(who, path, found)
        lines.show(who, record_id)
        files.section(who, "deal", record_id)
    with right:
        drafting.panel(who, me, {"summary": "Sum it up", "next_action": "What next?"}, deal_id=record_id)
        why.show(who, me, record_id, pipelines)
        record.timeline(who, me, "deals", record_id)


def _new(who: SignIn, me: Me, pipelines: list[Pipeline]) -> None:
    names = {pipeline.id: pipeline.name for pipeline in pipelines}
    chosen = st.selectbox("Pipeline", list(names), format_func=names.__getitem__, key="pipeline_of_new")
    stages: dict[str | None, str] = {
        stage.id: stage.name for one in pipelines if one.id == chosen for stage in one.stages if stage.kind == "open"
    }
    fields = (
        *_FIELDS,
        Shown("stage_id", "Stage", "choice", stages),
        creating.owner(creating.people(who, me)),
        Shown("contact_id", "Contact", "choice", creating.options(who, "contacts")),
        Shown("company_id", "Company", "choice", creating.options(who, "companies")),
    )
    creating.form(who, me, "deal", "deals", fields, fixed={"pipeline_id": chosen})


def _all(who: SignIn, me: Me, pipelines: list[Pipeline]) -> None:
    creating.button("deal")
    names = {pipeline.id: pipeline.name for pipeline in pipelines}
    left, middle, right = st.columns([2, 2, 1], vertical_alignment="bottom")
    chosen = left.selectbox("Pipeline", list(names), format_func=lambda key: names[key])
    q = middle.text_input("Search", placeholder="Part of a title")
    shape = right.segmented_control("As", ["Board", "List"], default="List" if "view" in st.query_params else "Board")
    pipeline = next(one for one in pipelines if one.id == chosen)
    if shape == "List":
        _list(who, me, pipeline, q)
    else:
        _board(who, me, pipeline, q)


def _list(who: SignIn, me: Me, pipeline: Pipeline, q: str) -> None:
    asked = finding.draw(who, me, "deal", _FOUND_BY)
    parameters = {"pipeline_id": pipeline.id, "q": q or None, "limit": _ROWS, **asked.parameters}
    items = client.get(who, "/v1/deals", parameters)["items"]
    if not items:
        states.nothing_here("No deals", "None of those you see is like this.")
        return
    stages = {stage.id: stage.name for stage in pipeline.stages}
    rows = [
        item
        | {
            "stage": stages.get(item["stage_id"], "retired stage"),
            "amount": money.amount(item["amount_minor"], item["currency"]),
            "tags": ", ".join(item.get("tags", [])),
            "rotting": "yes" if item.get("is_rotting") else "",
        }
        for item in asked.filled(items)
    ]
    columns = {"title": "Title", "stage": "Stage", "amount": "Amount", "close_date": "Closes", "status": "Status"}
    columns |= {"tags": "Tags", "rotting": "Too long in its stage", **asked.headings}
    record.table(rows, columns, address="deals")
    searched = [["title", "contains", q]] if q else []
    bulk.show(who, "deal", [["pipeline_id", "=", pipeline.id], *searched, *asked.conditions])
    if len(items) == _ROWS:
        st.caption(f"The newest {_ROWS} are shown; search for others.")


def _board(who: SignIn, me: Me, pipeline: Pipeline, q: str) -> None:
    stages = [stage for stage in pipeline.stages if stage.kind == "open"]
    for first in range(0, len(stages), _COLUMNS):
        # rows of equal columns, however many stages there are: narrower ones cannot be read
        for column, stage in zip(
            st.columns(min(_COLUMNS, len(stages))), stages[first : first + _COLUMNS], strict=False
        ):
            with column:
                _lane(who, me, pipeline, stage, q)


def _lane(who: SignIn, me: Me, pipeline: Pipeline, stage: Stage, q: str) -> None:
    """One stage of the board."""
    st.header(states.plain(stage.name), anchor=False)
    items = client.get(who, "/v1/deals", {"stage_id": stage.id, "q": q or None, "limit": _CARDS + 1})["items"]
    for item in items[:_CARDS]:
        with st.container(border=True):
            st.text(item["title"])
            st.text(money.amount(item["amount_minor"], item["currency"]))
            pages.link("deals", "Open", id=item["id"])
            with st.popover("Move"):
                _move(who, me, item, [pipeline], key=item["id"])
    if len(items) > _CARDS:
        st.caption(f"The newest {_CARDS}; the list has more.")
    elif not items:
        st.caption("None")


def _move(who: SignIn, me: Me, deal: dict[str, Any], pipelines: list[Pipeline], *, key: str) -> None:
    stages = [stage for one in pipelines if one.id == deal["pipeline_id"] for stage in one.stages]
    names = {stage.id: stage.name for stage in stages}
    if deal["stage_id"] not in names:
        return
    lacking = f"lacking {key} {deal['id']}"
    with st.form(f"move {key}"):
        place = list(names).index(deal["stage_id"])
        target = st.selectbox("Stage", list(names), index=place, format_func=lambda one: names[one])
        reason = st.text_input("Why, if it is lost")
        override = _why_without(me, lacking)
        is_sent = st.form_submit_button("Move", icon=":material/arrow_forward:")
    if not is_sent or target == deal["stage_id"]:
        return
    is_lost = any(stage.id == target and stage.kind == "lost" for stage in stages)
    body = {"stage_id": target, "reason": reason if is_lost else "", "override_reason": override}
    st.session_state.pop(lacking, None)
    try:
        client.post(who, f"/v1/deals/{deal['id']}/move", {name: value for name, value in body.items() if value})
    except (client.ConflictError, client.RefusedError) as error:
        if error.code != "fields_missing":
            states.refused(error)
            return
        st.session_state[lacking] = error.message
    record.forget(f"/v1/deals/{deal['id']}")
    st.rerun()


def _why_without(me: Me, lacking: str) -> str:
    """What stages asked for when the deal was to be moved; whoever may let it go on without is asked for the reason."""
    if lacking not in st.session_state:
        return ""
    st.error(states.plain(st.session_state[lacking]), icon=":material/error:")
    return st.text_input("Why it may go on without them") if me.role in _MAY_OVERRIDE else ""
