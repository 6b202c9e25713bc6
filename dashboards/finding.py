"""Narrow and sort a list, also by custom fields, and keep that as a view: one's own, a team's or everybody's.

A view is in the address (`?view=`), so that a link shows what was seen. Conditions are those of the API's filters.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from functools import partial
from typing import Any
from uuid import uuid4

import streamlit as st

from contracts.calls import teams, users, views
from contracts.calls.schemas import ViewCreate, ViewRead
from dashboards import client, forms, money, record, states
from dashboards.answers import Me
from dashboards.session import SignIn

CUSTOM = "custom."
_PLURALS = {"contact": "contacts", "company": "companies", "deal": "deals"}
_WORDS = {
    "contains": "contains", "=": "is", "!=": "is not", ">=": "at least", "<=": "at most", "<": "before",
    "empty": "is empty",
}  # fmt: skip
_AT_LEAST_AND_MOST = ("=", ">=", "<=", "empty")
_OPERATORS: Mapping[str, Sequence[str]] = {
    "text": ("contains", "=", "!=", "empty"),
    "number": _AT_LEAST_AND_MOST,
    "money": _AT_LEAST_AND_MOST,
    "date": _AT_LEAST_AND_MOST,
    "moment": (">=", "<", "empty"),
    "choice": ("=", "!=", "empty"),
    "list": ("contains", "empty"),
    "flag": ("=", "!=", "empty"),
}
_KINDS = {"link": "text", "person": "choice", "choices": "list", "instant": "moment"}
_YES_OR_NO = {"true": "yes", "false": "no"}
_NEWEST, _NOBODY, _EVERYBODY = "Newest first", "nobody", "everybody"


@dataclass(frozen=True)
class Findable:
    """A field that a list is narrowed by: what people call it, what it holds, and its choices."""

    label: str
    kind: str = "text"
    options: Mapping[str, str] = field(default_factory=dict)


Fields = Mapping[str, Findable]


@dataclass
class Asked:
    """What a list is asked for, and which custom fields it shows besides."""

    view_id: str | None = None
    conditions: list[list[Any]] = field(default_factory=list)
    sort: str | None = None
    columns: list[str] = field(default_factory=list)
    #: Custom fields by id.
    custom: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def parameters(self) -> dict[str, str | int | None]:
        """As the API takes it."""
        return {"filter": json.dumps(self.conditions) if self.conditions else None, "sort": self.sort}

    @property
    def headings(self) -> dict[str, str]:
        """The columns of custom fields, by name."""
        return {f"{CUSTOM}{one}": str(self.custom[one]["name"]) for one in self.columns if one in self.custom}

    def filled(self, items: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Rows with a cell for each of those columns."""
        shown = {one: self.custom[one] for one in self.columns if one in self.custom}
        return [
            {**item, **{f"{CUSTOM}{one}": _cell(item["custom"].get(one), of) for one, of in shown.items()}}
            for item in items
        ]


def draw(who: SignIn, me: Me, kind: str, fields: Fields) -> Asked:
    """Draw it above a list of a kind; answers what is asked for."""
    custom = {one["id"]: one for one in record.custom_fields(who, _PLURALS[kind])}
    people = _everybody(who) if _names_people(custom) else {}
    known = {**fields, **{f"{CUSTOM}{key}": _of_custom(one, people) for key, one in custom.items()}}
    known = {name: one for name, one in known.items() if one.kind in _OPERATORS}
    asked: Asked = st.session_state.setdefault(f"finding {kind}", Asked())
    asked.custom = custom
    listed = client.ask_all(who, lambda cursor: views.list_views(record_kind=kind, limit=100, cursor=cursor))  # type: ignore[arg-type] # one of its kinds
    saved: dict[str, ViewRead] = {one["id"]: one for one in listed}
    wanted = st.query_params.get("view")
    if wanted is not None and wanted in saved and asked.view_id != wanted:
        _take(asked, saved[wanted])
    count = len(asked.conditions)
    noun = "condition" if count == 1 else "conditions"
    with st.expander(f"Filter, sort and views ({count} {noun})" if count else "Filter, sort and views"):
        _choose(asked, saved)
        _conditions(me, asked, known)
        _add(me, asked, known, kind)
        _order(asked, known, kind)
        _save(who, me, asked, kind)
    return asked


def _choose(asked: Asked, saved: Mapping[str, ViewRead]) -> None:
    names: dict[str | None, str] = {None: "No view"} | {key: one["name"] for key, one in saved.items()}
    place = list(names).index(asked.view_id) if asked.view_id in names else 0
    chosen = st.selectbox("View", list(names), place, format_func=lambda one: states.plain(names[one]))
    if chosen == asked.view_id:
        return
    if chosen is None:
        asked.view_id, asked.conditions, asked.sort, asked.columns = None, [], None, []
        st.query_params.pop("view", None)
    else:
        _take(asked, saved[chosen])
        st.query_params["view"] = chosen
    st.rerun()


def _take(asked: Asked, view: ViewRead) -> None:
    asked.view_id, asked.sort = view["id"], view["sort"]
    asked.conditions = [list(one) for one in view["filter"]]
    asked.columns = [one.removeprefix(CUSTOM) for one in view["columns"] if one.startswith(CUSTOM)]


def _conditions(me: Me, asked: Asked, known: Fields) -> None:
    for place, (name, operator, value) in enumerate(asked.conditions):
        text, button = st.columns([5, 1], vertical_alignment="center")
        text.text(_said(me, known.get(name, Findable(name)), operator, value))
        if button.button("Remove", key=f"condition {place} {name}", icon=":material/close:"):
            del asked.conditions[place]
            st.rerun()


def _said(me: Me, one: Findable, operator: str, value: Any) -> str:  # noqa: ANN401 # JSON
    if operator == "empty":
        return f"{one.label} {'is empty' if value else 'is not empty'}"
    is_money = one.kind == "money" and isinstance(value, int)
    shown = money.amount(value, me.organization.currency) if is_money else one.options.get(str(value), value)
    shown = _YES_OR_NO[json.dumps(value)] if isinstance(value, bool) else shown
    return f"{one.label} {_WORDS.get(operator, operator)} {shown}"


def _add(me: Me, asked: Asked, known: Fields, kind: str) -> None:
    names = list(known)
    chosen = st.selectbox("Field", names, format_func=lambda name: states.plain(known[name].label), key=f"by {kind}")
    one = known[chosen]
    with st.form(f"condition of {kind} {chosen}", clear_on_submit=True):
        operator = st.selectbox("Is", _OPERATORS[one.kind], format_func=_WORDS.__getitem__)
        value: Any
        match one.kind:
            case "flag":
                value = st.selectbox("Value", list(_YES_OR_NO), format_func=_YES_OR_NO.__getitem__)
            case "choice":
                value = st.selectbox("Value", list(one.options), format_func=one.options.__getitem__)
            case "list" if one.options:
                value = st.selectbox("Value", list(one.options), format_func=one.options.__getitem__)
            case "number":
                value = st.number_input("Value", value=None)
            case "money":
                value = st.text_input("Value", placeholder="1240.50")
            case "date" | "moment":
                value = st.date_input("Value", value=None)
            case _:
                value = st.text_input("Value")
        is_sent = st.form_submit_button("Add the condition", icon=":material/filter_alt:")
    if not is_sent:
        return
    try:
        asked.conditions.append([chosen, operator, _read(me, one, operator, value)])
    except ValueError as error:
        st.error(str(error))
        return
    st.rerun()


def _read(me: Me, one: Findable, operator: str, value: Any) -> Any:  # noqa: ANN401 # JSON
    if operator == "empty":
        return True
    if value in (None, ""):
        raise ValueError("Give a value.")
    match one.kind:
        case "money":
            return money.read(value, me.organization.currency)
        case "date":
            return value.isoformat()
        case "flag":
            return value == "true"
        case "moment":
            return f"{value.isoformat()}T00:00:00{_offset(me, value)}"
        case _:
            return value


def _offset(me: Me, day: date) -> str:
    """Of the organization's time zone at the beginning of a day."""
    offset = datetime.combine(day, time.min, me.organization.zone).strftime("%z")
    return f"{offset[:3]}:{offset[3:]}"


def _order(asked: Asked, known: Fields, kind: str) -> None:
    sortable: dict[str | None, str] = {None: _NEWEST}
    sortable |= {name: one.label for name, one in known.items() if one.kind != "list"}
    now = (asked.sort or "").removeprefix("-") or None
    left, middle, right = st.columns(3, vertical_alignment="bottom")
    place = list(sortable).index(now) if now in sortable else 0
    name = left.selectbox(
        "Sorted by", list(sortable), place, format_func=lambda one: states.plain(sortable[one]), key=f"sort of {kind}"
    )
    is_down = middle.toggle("Largest first", (asked.sort or "").startswith("-"), disabled=name is None)
    columns = right.multiselect(
        "Also show",
        list(asked.custom),
        [one for one in asked.columns if one in asked.custom],
        format_func=lambda one: states.plain(asked.custom[one]["name"]),
        key=f"columns of {kind} {asked.view_id}",
    )
    asked.sort = None if name is None else f"{'-' if is_down else ''}{name}"
    asked.columns = columns


def _save(who: SignIn, me: Me, asked: Asked, kind: str) -> None:
    with st.popover("Keep it as a view", icon=":material/bookmark:"):
        name = st.text_input("Name of the view", key=f"view name {kind}")
        mine = {one["id"]: one["name"] for one in client.ask_all(who, teams.list_teams) if one["is_active"]}
        shared = {_NOBODY: "Nobody", _EVERYBODY: "Everybody"} | {key: f"Team {team}" for key, team in mine.items()}
        with_whom = st.selectbox("Shared with", list(shared), format_func=lambda one: states.plain(shared[one]))
        if st.button("Keep it", type="primary", key=f"keep view {kind}") and name.strip():
            body: ViewCreate = {
                "name": name.strip(),
                "record_kind": kind,  # type: ignore[typeddict-item] # one of its kinds
                "filter": asked.conditions,
                "sort": asked.sort,
                "columns": [f"{CUSTOM}{one}" for one in asked.columns],
                "is_shared": with_whom == _EVERYBODY,
                "team_id": with_whom if with_whom in mine else None,
            }
            made = client.ask(who, views.create_view(body, key=str(uuid4())))
            asked.view_id = made["id"]
            st.query_params["view"] = made["id"]
            st.rerun()
        if asked.view_id is not None and st.button("Delete this view", icon=":material/delete:"):
            found = client.ask(who, views.read_view(asked.view_id))
            if found["owner_id"] != me.id:
                st.error("Only who made a view may delete it.")
                return
            client.ask(who, views.delete_view(asked.view_id, version=found["version"]))
            asked.view_id = None
            st.query_params.pop("view", None)
            st.rerun()


def _names_people(custom: Mapping[str, Mapping[str, Any]]) -> bool:
    return any(one["type"] == "person" for one in custom.values())


def _everybody(who: SignIn) -> dict[str, str]:
    """Also those who left: records still name them."""
    return {one["id"]: one["name"] for one in client.ask_all(who, partial(users.list_users, limit=100))}


def _of_custom(one: Mapping[str, Any], people: Mapping[str, str]) -> Findable:
    options = people if one["type"] == "person" else {choice["id"]: choice["label"] for choice in one["choices"]}
    holds = (one["value_kind"] or "") if one["type"] == forms.COMPUTED else one["type"]
    return Findable(str(one["name"]), _KINDS.get(holds, holds), options)


def _cell(value: Any, of: Mapping[str, Any]) -> str:  # noqa: ANN401 # JSON
    """A custom value as a table shows it."""
    labels = {choice["id"]: choice["label"] for choice in of["choices"]}
    match value:
        case None:
            return ""
        case list():
            return ", ".join(str(labels.get(one, one)) for one in value)
        case dict():
            return money.amount(value["amount_minor"], value["currency"])
        case _:
            return str(labels.get(value, record.told(value) if of["type"] == forms.COMPUTED else value))
