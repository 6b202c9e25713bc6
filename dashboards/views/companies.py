"""Companies: those one sees, and one of them by `?id=`."""

import streamlit as st

from dashboards import bulk, client, creating, files, finding, pages, record, states, tags
from dashboards.answers import Me
from dashboards.finding import Findable
from dashboards.forms import Shown
from dashboards.pages import Page
from dashboards.session import SignIn

PAGE = Page("Companies", icon="apartment", group="Work", position=4)

_FIELDS = (
    Shown("name", "Name", is_required=True),
    Shown("domain", "Domain"),
    Shown("industry", "Industry"),
    Shown("employee_count", "Employees", "number"),
    Shown("country", "Country"),
)
_FOUND_BY = {
    "name": Findable("Name"),
    "domain": Findable("Domain"),
    "industry": Findable("Industry"),
    "employee_count": Findable("Employees", "number"),
    "country": Findable("Country"),
    "tags": Findable("Tags", "list"),
    "created_at": Findable("Created", "moment"),
}


def render(who: SignIn, me: Me) -> None:
    """Draw the page."""
    st.title("Companies", anchor=False)
    with states.explained():
        record_id = st.query_params.get("id")
        if record_id:
            _one(who, me, record_id)
        elif creating.is_asked():
            _new(who, me)
        else:
            _all(who, me)


def _one(who: SignIn, me: Me, record_id: str) -> None:
    path = f"/v1/companies/{record_id}"
    found = record.shown(who, path)
    st.text(found["name"])
    with st.container(horizontal=True):
        pages.link("companies", "All companies", icon="arrow_back")
        pages.link("deals", "New deal", icon="add", new="1", company_id=record_id)
        pages.link("contacts", "New contact", icon="add", new="1", company_id=record_id)
    known = creating.people(who, me)
    left, right = st.columns(2)
    with left:
        record.edit(who, path, found, (*_FIELDS, creating.owner(known)))
        record.edit_custom(who, path, found, record.custom_fields(who, "companies"), known)
        tags.edit(who, path, found)
        files.section(who, "company", record_id)
        record.remove(who, path, found, "company")
    with right:
        record.timeline(who, me, "companies", record_id)


def _new(who: SignIn, me: Me) -> None:
    creating.form(who, me, "company", "companies", (*_FIELDS, creating.owner(creating.people(who, me))))


def _all(who: SignIn, me: Me) -> None:
    creating.button("company")
    q = st.text_input("Search", placeholder="Part of a name")
    asked = finding.draw(who, me, "company", _FOUND_BY)
    items = client.get(who, "/v1/companies", {"limit": 100, "q": q or None, **asked.parameters})["items"]
    if not items:
        is_narrowed = q or asked.conditions
        states.nothing_here("No companies", "None is like this." if is_narrowed else "Import them, or add one above.")
        return
    columns = {"name": "Name", "domain": "Domain", "industry": "Industry", "country": "Country", **asked.headings}
    record.table(asked.filled(items), columns, address="companies")
    if q:
        st.caption("Changes of all apply to those whose name has this in it.")
    bulk.show(who, "company", [*asked.conditions, *([["name", "contains", q]] if q else [])])
