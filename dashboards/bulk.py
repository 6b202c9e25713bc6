"""Bulk changes below a list: what is to be done to all of them, how far it is, stop and undo."""

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from dashboards import client, states
from dashboards.session import SignIn

_VERBS = {"tag": "Tag", "assign": "Assign", "distribute": "Distribute by the rules", "delete": "Delete"}
_OF_DEALS = "distribute"
_STATES = {"running": "at work", "undoing": "being undone", "done": "done", "stopped": "stopped", "undone": "undone"}


def show(who: SignIn, kind: str, conditions: Sequence[Any]) -> None:
    """Draw them for the records of a kind that these conditions let through."""
    with st.expander("Change all of these"):
        verbs = [one for one in _VERBS if kind == "deal" or one != _OF_DEALS]
        what = st.selectbox("What", verbs, format_func=_VERBS.__getitem__)
        given: dict[str, Any] = {}
        if what == "tag":
            words = st.text_input("Tags to put on, separated by commas", key="bulk tags")
            given = {"add": [one.strip() for one in words.split(",") if one.strip()]}
        elif what == "assign":
            people = {one["id"]: one["name"] for one in client.get_all(who, "/v1/users") if one.get("is_active", True)}
            given = {"user_id": st.selectbox("To", list(people), format_func=people.__getitem__)}
        body = {"kind": kind, "filter": list(conditions), "action": {"do": f"{kind}.{what}", "with": given}}
        left, right = st.columns(2)
        if left.button("How many?"):
            _tried(lambda: _say(client.post(who, "/v1/bulk", {**body, "dry_run": True}).body))
        if right.button("Change them", type="primary"):
            _tried(lambda: client.post(who, "/v1/bulk", body), then=st.rerun)
        jobs = client.get(who, "/v1/bulk", {"limit": 20})["items"]
        for job in [one for one in jobs if one["kind"] == kind][:5]:
            _job(who, job)


def _say(found: dict[str, Any]) -> None:
    st.info(f"It would be {found['total']}.")


def _job(who: SignIn, job: dict[str, Any]) -> None:
    with st.container(border=True):
        verb = job["action"]["do"].partition(".")[2]
        st.text(f"{_VERBS.get(verb, verb.capitalize())}: {_STATES[job['state']]}")
        ended = job["total"] - job["waiting"]
        st.progress(ended / job["total"] if job["total"] else 1.0)
        st.text(
            f"{ended} of {job['total']} looked at: {job['done']} changed, {job['unchanged']} were so already,"
            f" {job['failed']} failed, {job['undone']} undone, {job['left']} left as somebody changed them"
        )
        path = f"/v1/bulk/{job['id']}"
        if job["state"] in ("running", "undoing"):
            if st.button("Stop", key=f"stop {job['id']}"):
                _tried(lambda: client.post(who, f"{path}/stop"), then=st.rerun)
        elif job["done"] and st.button("Undo", key=f"undo {job['id']}", icon=":material/undo:"):
            _tried(lambda: client.post(who, f"{path}/undo"), then=st.rerun)


def _tried(act: Callable[[], object], *, then: Callable[[], object] | None = None) -> None:
    try:
        act()
    except (client.RefusedError, client.ConflictError) as error:
        states.refused(error)
        return
    if then is not None:
        then()
