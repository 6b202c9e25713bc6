"""The page Export: a whole list as a file, in the columns that an import reads."""

import streamlit as st

from dashboards import client, states
from dashboards.answers import Me
from dashboards.pages import Page
from dashboards.session import SignIn

PAGE = Page("Export", icon="download", group="Admin", position=18)

_LISTS = {
    "deals": "Deals",
    "deal_stage_history": "Stage history of deals",
    "deal_line_items": "Line items of deals",
    "contacts": "Contacts",
    "companies": "Companies",
    "notes": "Notes",
    "activities": "Calls and meetings",
    "tasks": "Tasks",
    "products": "Products",
    "pipelines": "Pipelines",
    "users": "People",
}
_FORMATS = {"csv": "CSV", "xlsx": "Excel", "parquet": "Parquet"}


def render(who: SignIn, me: Me) -> None:
    """Draw the page."""
    del me
    st.title("Export", anchor=False)
    st.text("All rows that you see. What is exported can be imported again, here or in another organization.")
    with states.explained():
        name = st.selectbox("What", list(_LISTS), format_func=_LISTS.__getitem__)
        form = st.segmented_control("As", list(_FORMATS), default="csv", format_func=_FORMATS.__getitem__) or "csv"
        st.download_button(
            "Save",
            data=lambda: client.get_file(who, f"/v1/exports/{name}?format={form}"),  # fetched when it is asked for
            file_name=f"{name}.{form}",
            mime="application/octet-stream",
            icon=":material/download:",
            type="primary",
            on_click="ignore",
        )
