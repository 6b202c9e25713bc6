"""Contacts: those one sees, and one of them by `?id=`."""

from typing import Any

import streamlit as st

from dashboards import bulk, client, creating, files, finding, pages, personal_data, record, states, tags, why
from dashboards.answers import Me
from dashboards.finding import Findable
from dashboards.forms import Shown
from dashboards.pages import Page
from dashboards.session import SignIn

PAGE = Page("Contacts", icon="person", group="Work", position=3)

_KINDS = {"emails": "e-mail address", "phones": "phone number", "handles": "handle"}
_TYPES = ("work", "personal", "mobile", "other", "telegram", "x", "linkedin", "whatsapp", "signal", "github", "website")
_FIELDS = (
    Shown("name", "Name", is_required=True),
    Shown("email", "E-mail"),
    Shown("phone", "Phone"),
    Shown("source", "Source"),
)
_FOUND_BY = {
    "name": Findable("Name"),
    "email": Findable("E-mail"),
    "phone": Findable("Phone"),
    "source": Findable("Source"),
    "tags": Findable("Tags", "list"),
    "created_at": Findable("Created", "moment"),
}


def render(who: SignIn, me: Me) -> None:
    """Draw the page."""
    st.title("Contacts", anchor=False)
    with states.explained():
        record_id = st.query_params.get("id")
        if record_id:
            _one(who, me, record_id)
        elif creating.is_asked():
            _new(who, me)
        else:
            _all(who, me)


def _one(who: SignIn, me: Me, record_id: str) -> None:
    path = f"/v1/contacts/{record_id}"
    found = record.shown(who, path)
    st.text(found["name"])
    with st.container(horizontal=True):
        pages.link("contacts", "All contacts", icon="arrow_back")
        if found["company_id"]:
            pages.link("companies", "Company", id=found["company_id"])
        pages.link("deals", "New deal", icon="add", new="1", contact_id=record_id)
    known = creating.people(who, me)
    left, right = st.columns(2)
    with left:
        record.edit(who, path, found, (*_FIELDS, creating.owner(known)))
        _addresses(who, path, found)
        record.edit_custom(who, path, found, record.custom_fields(who, "contacts"), known)
        tags.edit(who, path, found)
        files.section(who, "contact", record_id)
        personal_data.panel(who, me, record_id, found["name"])
        record.remove(who, path, found, "contact")
    with right:
        why.show_lead(who, record_id)
        record.timeline(who, me, "contacts", record_id)


def _addresses(who: SignIn, path: str, found: client.Resource) -> None:
    """Where the contact is reached besides; a list is saved as a whole."""
    for field, kind in _KINDS.items():
        for place, one in enumerate(found[field]):
            text, button = st.columns([5, 1], vertical_alignment="center")
            primary = ", primary" if one.get("is_primary") else ""
            text.text(f"{one.get('shown', one['value'])} ({one['type']}{primary})")
            label = f"Remove this {kind}"
            if button.button("Remove", key=f"{path} {field} {place}", icon=":material/delete:", help=label):
                _save(who, path, found, field, [other for other in found[field] if other is not one])
    with st.form(f"address {path}", clear_on_submit=True):
        field = st.selectbox("Add", list(_KINDS), format_func=lambda name: _KINDS[name])
        type_ = st.selectbox("Type", _TYPES, help="A handle is of a network, the others are for work or not.")
        value = st.text_input("Address or number")
        is_sent = st.form_submit_button("Add", icon=":material/add:")
    if is_sent and value.strip():
        _save(who, path, found, field, [*found[field], {"type": type_, "value": value.strip()}])


def _save(who: SignIn, path: str, found: client.Resource, field: str, items: list[dict[str, Any]]) -> None:
    kept = ("type", "value") if field == "handles" else ("type", "value", "is_primary")
    body = [{name: one[name] for name in kept if name in one} for one in items]
    try:
        client.patch(who, path, {field: body}, etag=found.etag)
    except client.StaleError:
        st.warning("Somebody changed this while you did. Look at what is there now, then try again.")
        return
    except client.RefusedError as error:
        states.refused(error)
        return
    record.forget(path)
    st.rerun()


def _new(who: SignIn, me: Me) -> None:
    company = Shown("company_id", "Company", "choice", creating.options(who, "companies"))
    creating.form(who, me, "contact", "contacts", (*_FIELDS, company, creating.owner(creating.people(who, me))))


def _all(who: SignIn, me: Me) -> None:
    personal_data.receipt()
    creating.button("contact")
    q = st.text_input("Search", placeholder="Part of a name or an e-mail address")
    asked = finding.draw(who, me, "contact", _FOUND_BY)
    items = client.get(who, "/v1/contacts", {"limit": 100, "q": q or None, **asked.parameters})["items"]
    if not items:
        is_narrowed = q or asked.conditions
        states.nothing_here("No contacts", "Nobody is like this." if is_narrowed else "Import them, or add one above.")
        return
    columns = {"name": "Name", "email": "E-mail", "phone": "Phone", "source": "Source", **asked.headings}
    record.table(asked.filled(items), columns, address="contacts")
    if q:
        st.caption("Changes of all apply to those whose name has this in it.")
    bulk.show(who, "contact", [*asked.conditions, *([["name", "contains", q]] if q else [])])
