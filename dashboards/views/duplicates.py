"""Duplicates: pairs that may be one, which of two lives on, and merges to undo."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import streamlit as st

from contracts.calls import companies, contacts, duplicates
from contracts.calls.call import Call
from contracts.calls.schemas import Duplicate
from dashboards import client, states
from dashboards.answers import Me
from dashboards.pages import Page
from dashboards.session import SignIn

PAGE = Page("Duplicates", icon="merge", group="Admin", position=17)

_REASONS = {
    "same_email": "the same e-mail address",
    "same_phone": "the same phone number",
    "same_handle": "the same handle",
    "same_domain": "the same domain",
    "same_name": "the same name",
    "same_name_and_company": "the same name at the same company",
    "looks_alike": "they look alike",
}
Kind = Literal["contacts", "companies"]
_KINDS: Mapping[Kind, Literal["contact", "company"]] = {"contacts": "contact", "companies": "company"}
_READ: Mapping[Kind, Callable[[str], Call[Any]]] = {
    "contacts": contacts.read_contact,
    "companies": companies.read_company,
}
_MERGE = {"contacts": duplicates.merge_contacts, "companies": duplicates.merge_companies}
_UNMERGE = {"contacts": duplicates.unmerge_contact, "companies": duplicates.unmerge_company}
#: Fields that a merge can take from either.
_CHOSEN = {
    "contacts": ("name", "email", "phone", "source"),
    "companies": ("name", "domain", "industry", "country", "employee_count"),
}
#: Pairs that are shown at first, and at most.
_AT_ONCE, _MOST = 20, 200


def render(who: SignIn, me: Me) -> None:
    """Draw the page."""
    st.title("Duplicates", anchor=False)
    with states.explained():
        kind = st.segmented_control("Of", list(_KINDS), default="contacts", format_func=str.capitalize) or "contacts"
        looks = st.toggle("Also what merely looks alike", help="Suggestions among the newest 5,000 records.")
        may_write = me.role != "analyst"
        shown = st.session_state.setdefault(f"duplicates of {kind}", _AT_ONCE)
        pairs = _pairs(who, kind, "same", shown + 1)
        if looks:
            known = {_key(pair) for pair in pairs}
            pairs += [one for one in _pairs(who, kind, "similar", shown + 1) if _key(one) not in known]
        if not pairs:
            states.nothing_here("No duplicates", f"No two {kind} that you see share what only one should have.")
        for pair in pairs[:shown]:
            _pair(who, kind, pair, may_write=may_write)
        if len(pairs) > shown and shown < _MOST and st.button("Show more", icon=":material/expand_more:"):
            st.session_state[f"duplicates of {kind}"] = min(shown * 2, _MOST)
            st.rerun()
        _merges(who, kind, may_write=may_write)
        _told_apart(who, kind, may_write=may_write)


def _pairs(who: SignIn, kind: Kind, method: Literal["same", "similar", "distinct"], limit: int) -> list[Duplicate]:
    listing = duplicates.list_duplicates(kind=kind, method=method, limit=min(limit, _MOST))
    return client.ask(who, listing)["items"]


def _key(pair: Duplicate) -> str:
    return " ".join(sorted(one["id"] for one in pair["records"]))


def _pair(who: SignIn, kind: Kind, pair: Duplicate, *, may_write: bool) -> None:
    key = _key(pair)
    with st.container(border=True):
        st.caption(f"{_REASONS.get(pair['reason'], pair['reason']).capitalize()} · {pair['score']:.0%}")
        for column, one in zip(st.columns(2), pair["records"], strict=True):
            with column:
                st.text(one["name"])
                st.text(one["detail"] or "–")
                st.link_button("Open", f"/{kind}?id={one['id']}")
        if not may_write:
            return
        first, second = pair["records"]
        labels = {first["id"]: f"{first['name']} (left)", second["id"]: f"{second['name']} (right)"}
        left, right, last = st.columns([3, 1, 1], vertical_alignment="bottom")
        kept = left.selectbox("Keep", list(labels), format_func=labels.__getitem__, key=f"keep {key}")
        other = next(one for one in labels if one != kept)
        wants = st.toggle("Choose field by field", key=f"choose {key}")
        fields = _choice(who, kind, kept, other) if wants else {}
        if right.button("Merge", key=f"merge {key}", icon=":material/merge:"):
            _done(who, _MERGE[kind](kept, {"other_ids": [other], "fields": fields}))
        if last.button("Not the same", key=f"distinct {key}", icon=":material/call_split:"):
            _done(who, duplicates.judge_duplicate({"kind": kind, "ids": list(labels)}))


def _choice(who: SignIn, kind: Kind, kept: str, other: str) -> dict[str, str]:
    """Fields that are to come from the other record, of those in which both have something else."""
    mine, theirs = (client.ask(who, _READ[kind](one)) for one in (kept, other))
    fields: dict[str, str] = {}
    for name in _CHOSEN[kind]:
        values = [record[name] for record in (mine, theirs)]
        if values[0] != values[1] and all(value is not None for value in values):
            options = {kept: str(values[0]), other: str(values[1])}
            label, key = name.replace("_", " ").capitalize(), f"{name} of {kept} and {other}"
            taken = st.selectbox(label, list(options), format_func=options.__getitem__, key=key)
            fields |= {name: other} if taken == other else {}
    if not fields:
        st.caption("The kept one's values stay; what it lacks comes from the other.")
    return fields


def _merges(who: SignIn, kind: Kind, *, may_write: bool) -> None:
    merges = client.ask(who, duplicates.list_merges(kind=_KINDS[kind], limit=20))["items"]
    if not merges:
        return
    st.header("Merged", anchor=False)
    for one in merges:
        text, button = st.columns([4, 1], vertical_alignment="center")
        text.text(one["merged_name"])
        if may_write and button.button("Undo", key=f"undo {one['id']}", icon=":material/undo:"):
            _done(who, _UNMERGE[kind](one["merged_id"]))


def _told_apart(who: SignIn, kind: Kind, *, may_write: bool) -> None:
    pairs = _pairs(who, kind, "distinct", _AT_ONCE)
    if not pairs:
        return
    st.header("Not the same", anchor=False)
    for pair in pairs:
        text, button = st.columns([4, 1], vertical_alignment="center")
        text.text(" and ".join(one["name"] for one in pair["records"]))
        if may_write and button.button("Ask again", key=f"ask {_key(pair)}", icon=":material/undo:"):
            ids = [one["id"] for one in pair["records"]]
            _done(who, duplicates.judge_duplicate({"kind": kind, "ids": ids, "are_distinct": False}))


def _done(who: SignIn, call: Call[Any]) -> None:
    try:
        client.ask(who, call)
    except (client.RefusedError, client.ConflictError) as error:
        states.refused(error)
        return
    st.rerun()
