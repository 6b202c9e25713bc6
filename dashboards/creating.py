"""The form that makes a contact, a company or a deal, at `?new=1` of its page."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

import streamlit as st

from dashboards import client, forms, record, states
from dashboards.answers import Me
from dashboards.forms import People, Shown
from dashboards.session import SignIn

_ASKED = "new"
_MOST = 500


def is_asked() -> bool:
    """Whether the address asks for the form."""
    return _ASKED in st.query_params


def button(noun: str) -> None:
    """The way to the form."""
    if st.button(f"New {noun}", icon=":material/add:", type="primary"):
        st.query_params[_ASKED] = "1"
        st.rerun()


def people(who: SignIn, me: Me) -> People:
    """Who is active here, whoever looks first."""
    users = [one for one in client.get_all(who, "/v1/users") if one["is_active"]]
    users.sort(key=lambda one: (one["id"] != me.id, one["name"]))
    return People({one["id"]: one["name"] for one in users}, me.organization.currency)


def options(who: SignIn, plural: str) -> dict[str | None, str]:
    """Records to choose one of, the newest first; None is none of them."""
    found = client.get_all(who, f"/v1/{plural}", most=_MOST)
    return {None: "None"} | {one["id"]: one["name"] for one in found}


def owner(known: People) -> Shown:
    """Who a record belongs to; nobody is possible."""
    return Shown("owner_id", "Owner", "choice", {**known.names, None: "Nobody"})


def form(
    who: SignIn, me: Me, noun: str, plural: str, fields: Sequence[Shown], *, fixed: Mapping[str, Any] | None = None
) -> None:
    """Draw the form; what is made opens."""
    definitions = record.custom_fields(who, plural)
    known = people(who, me)
    key = st.session_state.setdefault(f"new {plural}", str(uuid4()))
    st.header(f"New {noun}", anchor=False)
    states.focus_first_field()
    values = {"currency": me.organization.currency, "owner_id": me.id, **st.query_params.to_dict()}
    with st.form(key):
        given = forms.draw(fields, values, key)
        custom = forms.draw_custom(definitions, {}, key, known)
        with st.container(horizontal=True):
            is_sent = st.form_submit_button("Create", type="primary", icon=":material/add:")
            is_left = st.form_submit_button("Cancel")
    if is_left:
        _leave(plural, key)
    if not is_sent:
        return
    if problems := given.problems | custom.problems:
        forms.keep(key, problems, fields=[one.name for one in fields])
        st.rerun()
    filled = {name: value for name, value in custom.values.items() if value is not None}
    # an owner who is nobody is said; what else is empty is left out
    body = {name: value for name, value in given.values.items() if value is not None or name == "owner_id"}
    try:
        made = client.post(who, f"/v1/{plural}", {**(fixed or {}), **body, "custom": filled}, key=key)
    except (client.RefusedError, client.ConflictError) as error:
        forms.keep_refusal(key, error, fields)
        st.rerun()
    _leave(plural, key, opens=str(made["id"]))


def _leave(plural: str, key: str, *, opens: str | None = None) -> None:
    forms.forget(key)
    st.session_state.pop(f"new {plural}", None)
    st.query_params.from_dict({"id": opens} if opens else {})
    st.rerun()
