"""The recycle bin: what was deleted in the last 90 days, and back with it."""

from datetime import datetime

import streamlit as st

from dashboards import client, money, states, tables
from dashboards.answers import Me
from dashboards.pages import Page
from dashboards.session import SignIn

PAGE = Page("Recycle bin", icon="restore_from_trash", group="Admin", position=15)

_KINDS = {
    "deal": "Deals",
    "contact": "Contacts",
    "company": "Companies",
    "task": "Tasks",
    "activity": "Notes and calls",
    "file": "Files",
}
_READERS = frozenset({"analyst"})


def render(who: SignIn, me: Me) -> None:
    """Draw the page."""
    st.title("Recycle bin", anchor=False)
    st.caption("What was deleted stays here for 90 days.")
    with states.explained():
        kind = st.segmented_control("Show", list(_KINDS), default="deal", format_func=_KINDS.__getitem__) or "deal"
        items = client.get(who, "/v1/recycle-bin", {"kind": kind, "limit": 100})["items"]
        if not items:
            states.nothing_here("Nothing here", "Nobody deleted any of these lately.")
            return
        zone = me.organization.zone
        rows = [
            {
                "What": item["title"],
                "Deleted": money.moment(datetime.fromisoformat(item["deleted_at"]), zone),
                "Until": money.moment(datetime.fromisoformat(item["until"]), zone),
            }
            for item in items
        ]
        tables.show(rows, height="content", alt="What was deleted")
        if me.role not in _READERS:
            _restore(who, kind, {item["id"]: item["title"] for item in items})


def _restore(who: SignIn, kind: str, titles: dict[str, str]) -> None:
    chosen = st.selectbox("Restore", list(titles), format_func=titles.__getitem__)
    if not st.button("Restore it", icon=":material/undo:"):
        return
    try:
        client.post(who, f"/v1/recycle-bin/{kind}/{chosen}/restore")
    except (client.RefusedError, client.ConflictError) as error:
        states.refused(error)
        return
    st.rerun()
