"""Bulk changes below the list of deals: what is to be done to all of them, how far it is, stop and undo."""

from collections.abc import Callable
from typing import Any

import streamlit as st

from dashboards import client, states
from dashboards.session import SignIn

_ACTIONS = {
    "deal.tag": "Tag",
    "deal.assign": "Assign",
    "deal.distribute": "Distribute by the rules",
    "deal.delete": "Delete",
}
_STATES = {"running": "at work", "undoing": "being undone", "done": "done", "stopped": "stopped", "undone": "undone"}


def show(who: SignIn, pipeline_id: str, q: str) -> None:
    """Draw them for the deals of a pipeline that a search lets through."""
    conditions: list[Any] = [["pipeline_id", "=", pipeline_id]] + ([["title", "contains", q]] if q else [])
    with st.expander("Change all of these"):
        what = st.selectbox("What", list(_ACTIONS), format_func=_ACTIONS.__getitem__)
        given: dict[str, Any] = {}
        if what == "deal.tag":
            words = st.text_input("Tags to put on, separated by commas", key="bulk tags")
            given = {"add": [one.strip() for one in words.split(",") if one.strip()]}
        elif what == "deal.assign":
            people = {one["id"]: one["name"] for one in client.get_all(who, "/v1/users") if one.get("is_active", True)}
            given = {"user_id": st.selectbox("To", list(people), format_func=people.__getitem__)}
        body = {"filter": conditions, "action": {"do": what, "with": given}}
        left, right = st.columns(2)
        if left.button("How many?"):
            _tried(lambda: _say(client.post(who, "/v1/bulk", {**body, "dry_run": True}).body))
        if right.button("Change them", type="primary"):
            _tried(lambda: client.post(who, "/v1/bulk", body), then=st.rerun)
        for job in client.get(who, "/v1/bulk", {"limit": 5})["items"]:
            _job(who, job)


def _say(found: dict[str, Any]) -> None:
    st.info(f"{found['total']} deals.")


def _job(who: SignIn, job: dict[str, Any]) -> None:
    with st.container(border=True):
        st.text(f"{_ACTIONS.get(job['action']['do'], job['action']['do'])}: {_STATES[job['state']]}")
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
