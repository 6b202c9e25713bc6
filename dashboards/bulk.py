"""Bulk changes below a list: what is to be done to all of them, how far it is, stop and undo."""

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from contracts.calls import bulk
from contracts.calls.schemas import BulkCreate, BulkRead
from dashboards import client, forms, record, states
from dashboards.forms import People, Shown
from dashboards.session import SignIn

_VERBS = {
    "tag": "Tag",
    "untag": "Take tags off",
    "set": "Set a field",
    "assign": "Assign",
    "distribute": "Distribute by the rules",
    "delete": "Delete",
}
_OF_DEALS = frozenset({"distribute"})
_PLURALS = {"contact": "contacts", "company": "companies"}
#: What can be set besides custom fields.
_FIELDS = {
    "contact": (Shown("source", "Source"),),
    "company": (Shown("industry", "Industry"), Shown("country", "Country")),
    "deal": (Shown("source", "Source"), Shown("close_in_days", "Days until it closes", "number")),
}
_STATES = {"running": "at work", "undoing": "being undone", "done": "done", "stopped": "stopped", "undone": "undone"}


def show(who: SignIn, kind: str, conditions: Sequence[Any]) -> None:
    """Draw them for the records of a kind that these conditions let through."""
    with st.expander("Change all of these"):
        verbs = [one for one in _VERBS if kind == "deal" or one not in _OF_DEALS]
        what = st.selectbox("What", verbs, format_func=_VERBS.__getitem__, key=f"bulk verb {kind}")
        given = _parameters(who, kind, what)
        verb = "tag" if what == "untag" else what
        body: BulkCreate = {
            "kind": kind,  # type: ignore[typeddict-item] # one of its kinds
            "filter": list(conditions),
            "action": {"do": f"{kind}.{verb}", "with": given},
        }
        left, right = st.columns(2)
        if left.button("How many?"):
            _tried(lambda: _say(client.ask(who, bulk.start_bulk({**body, "dry_run": True}))))
        if right.button("Change them", type="primary"):
            _tried(lambda: client.ask(who, bulk.start_bulk(body)), then=st.rerun)
        jobs = client.ask(who, bulk.list_bulk(limit=20))["items"]
        for job in [one for one in jobs if one["kind"] == kind][:5]:
            _job(who, job)


def _parameters(who: SignIn, kind: str, what: str) -> dict[str, Any]:
    """What is to be done with, as people choose it."""
    match what:
        case "tag" | "untag":
            words = st.text_input("Tags, separated by commas", key="bulk tags")
            return {"add" if what == "tag" else "remove": [one.strip() for one in words.split(",") if one.strip()]}
        case "assign":
            people = client.people(who)
            return {"user_id": st.selectbox("To", list(people), format_func=people.__getitem__)}
        case "set":
            return _fields(who, kind)
        case _:
            return {}


def _fields(who: SignIn, kind: str) -> dict[str, Any]:
    """One field and what it is to hold; nothing empties it."""
    plain = {one.name: one for one in _FIELDS[kind]}
    custom = {one["id"]: one for one in record.custom_fields(who, _PLURALS[kind])} if kind in _PLURALS else {}
    names = {name: one.label for name, one in plain.items()}
    names |= {key: str(one["name"]) for key, one in custom.items() if one["type"] != forms.COMPUTED}
    chosen = st.selectbox("Field", list(names), format_func=names.__getitem__, key=f"bulk field {kind}")
    if chosen in plain:
        return forms.draw([plain[chosen]], {}, f"bulk {chosen}").values
    known = People({None: "Nobody"} | client.people(who), currency=client.me(who).organization.currency)
    return {"custom": forms.draw_custom([custom[chosen]], {}, f"bulk {chosen}", known).values}


def _say(found: BulkRead) -> None:
    st.info(f"It would be {found['total']}.")


def _job(who: SignIn, job: BulkRead) -> None:
    with st.container(border=True):
        verb = job["action"]["do"].partition(".")[2]
        st.text(f"{_VERBS.get(verb, verb.capitalize())}: {_STATES[job['state']]}")
        ended = job["total"] - job["waiting"]
        st.progress(ended / job["total"] if job["total"] else 1.0)
        st.text(
            f"{ended} of {job['total']} looked at: {job['done']} changed, {job['unchanged']} were so already,"
            f" {job['failed']} failed, {job['undone']} undone, {job['left']} left as somebody changed them"
        )
        job_id = job["id"] or ""
        if job["state"] in ("running", "undoing"):
            if st.button("Stop", key=f"stop {job['id']}"):
                _tried(lambda: client.ask(who, bulk.stop_bulk(job_id)), then=st.rerun)
        elif job["done"] and st.button("Undo", key=f"undo {job['id']}", icon=":material/undo:"):
            _tried(lambda: client.ask(who, bulk.undo_bulk(job_id)), then=st.rerun)


def _tried(act: Callable[[], object], *, then: Callable[[], object] | None = None) -> None:
    try:
        act()
    except (client.RefusedError, client.ConflictError) as error:
        states.refused(error)
        return
    if then is not None:
        then()
