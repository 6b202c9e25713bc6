"""Contacts: those one sees, and one of them by `?id=`."""

import streamlit as st

from dashboards import client, record, states
from dashboards.answers import Me
from dashboards.pages import Page
from dashboards.record import Shown
from dashboards.session import SignIn

PAGE = Page("Contacts", icon="person", group="Work", position=3)

_FIELDS = (Shown("name", "Name"), Shown("email", "E-mail"), Shown("phone", "Phone"), Shown("source", "Source"))


def render(who: SignIn, me: Me) -> None:
    """Draw the page."""
    st.title("Contacts", anchor=False)
    with states.explained():
        record_id = st.query_params.get("id")
        if record_id:
            _one(who, me, record_id)
        else:
            _all(who)


def _one(who: SignIn, me: Me, record_id: str) -> None:
    path = f"/v1/contacts/{record_id}"
    found = record.shown(who, path)
    st.text(found["name"])
    if found["company_id"]:
        st.link_button("Company", f"/companies?id={found['company_id']}", icon=":material/apartment:")
    left, right = st.columns(2)
    with left:
        record.edit(who, path, found, _FIELDS)
        record.edit_custom(who, path, found, record.custom_fields(who, "contacts"))
    with right:
        record.timeline(who, me, "contacts", record_id)


def _all(who: SignIn) -> None:
    q = st.text_input("Search", placeholder="Part of a name or an e-mail address")
    items = client.get(who, "/v1/contacts", {"limit": 100, "q": q or None})["items"]
    if not items:
        states.nothing_here("No contacts", "Nobody is called so." if q else "Import them, or add one with the API.")
        return
    record.table(items, {"name": "Name", "email": "E-mail", "phone": "Phone", "source": "Source"}, address="contacts")
