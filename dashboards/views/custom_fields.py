"""Custom fields: what an organization adds to its contacts, companies and deals."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from dashboards import client, states, tables
from dashboards.answers import Me
from dashboards.pages import Page
from dashboards.session import SignIn

PAGE = Page("Custom fields", icon="edit_note", group="Admin", position=3, roles=frozenset({"owner", "admin"}))

_KINDS = {"deal": "Deals", "contact": "Contacts", "company": "Companies"}
_TYPES = {
    "text": "Text",
    "number": "Number",
    "money": "Money",
    "date": "Date",
    "choice": "One choice",
    "choices": "Many choices",
    "person": "Person",
    "link": "Link",
    "computed": "Computed",
}


def render(who: SignIn, me: Me) -> None:
    """Draw the page."""
    del me
    st.title("Custom fields", anchor=False)
    with states.explained():
        fields = client.get_all(who, "/v1/custom-fields", {"is_retired": "false"})
        for tab, kind in zip(st.tabs(list(_KINDS.values())), _KINDS, strict=True):
            with tab:
                _of_kind(who, kind, [field for field in fields if field["record_kind"] == kind])


def _of_kind(who: SignIn, kind: str, fields: list[dict[str, Any]]) -> None:
    if fields:
        rows = [
            {
                "Name": field["name"],
                "Holds": _TYPES[field["type"]],
                "Choices, or how it is computed": field.get("expression")
                or ", ".join(choice["label"] for choice in field["choices"]),
                "Required": field["is_required"],
                "Unique": field["is_unique"],
                "Personal": field["is_personal"],
                "Kept": _kept(field),
            }
            for field in fields
        ]
        tables.show(pd.DataFrame(rows))
        _retire(who, kind, fields)
    else:
        states.nothing_here("No fields yet", "Add the first one below.")
    _create(who, kind)


def _kept(field: Mapping[str, Any]) -> str:
    """Whether lists and figures have a field, and how far a computed one is."""
    if field["type"] != "computed":
        return "as it is filled"
    if field["value_kind"] is None:
        return "no: it changes by itself"
    if field["computing"] is None:
        return "with every change"
    return f"computed anew: {field['computing']['done']:,} of {field['computing']['total'] or '…'}"


def _create(who: SignIn, kind: str) -> None:
    with st.form(f"new {kind} field", clear_on_submit=True):
        name = st.text_input("Name")
        holds = st.selectbox("Holds", list(_TYPES), format_func=lambda one: _TYPES[one])
        choices = st.text_area("Choices, one a line", help="Only for fields of choices.")
        expression = st.text_input(
            "Computed as",
            placeholder=f'{kind}.custom["Weight"] * 2.0',
            help="Only for computed fields: CEL over the record and `now`, for example"
            ' `deal.amount * deal.custom["Probability"] / 100.0`. Numbers are decimals. Lists and figures have it,'
            " unless it speaks of `now`; it is personal where what it reads is.",
        )
        is_required, is_unique = st.checkbox("Required"), st.checkbox("Unique")
        personal = st.checkbox(
            "Personal", value=True, help="Values that may tell who somebody is stay out of events and figures."
        )
        is_sent = st.form_submit_button("Add", icon=":material/add:")
    if not is_sent:
        return
    body = {
        "record_kind": kind,
        "name": name,
        "type": holds,
        "choices": [{"label": line.strip()} for line in choices.splitlines() if line.strip()],
        "is_required": is_required,
        "is_unique": is_unique,
        **({} if holds == "computed" else {"is_personal": personal}),
        **({"expression": expression.strip()} if expression.strip() else {}),
    }
    try:
        client.post(who, "/v1/custom-fields", body)
    except (client.RefusedError, client.ConflictError) as error:
        states.refused(error)
        return
    st.rerun()


def _retire(who: SignIn, kind: str, fields: list[dict[str, Any]]) -> None:
    names = {field["id"]: field["name"] for field in fields}
    with st.popover("Retire a field"):
        chosen = st.selectbox("Field", list(names), format_func=lambda key: names[key], key=f"retire {kind}")
        st.caption("Records keep its values; it is filled no more.")
        if st.button("Retire", key=f"retire button {kind}"):
            path = f"/v1/custom-fields/{chosen}"
            client.patch(who, path, {"is_retired": True}, etag=client.get(who, path).etag)
            st.rerun()
