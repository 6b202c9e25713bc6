"""The organization: all of it to take along, and its end."""

from uuid import UUID

import pandas as pd
import streamlit as st

from contracts.calls import privacy
from contracts.calls.schemas import DeletionAsk, DeletionRead
from dashboards import client, states
from dashboards.answers import Me
from dashboards.pages import Page
from dashboards.session import SignIn

PAGE = Page("Organization", icon="domain", group="Admin", position=19, roles=frozenset({"owner", "admin"}))


def render(sign_in: SignIn, me: Me) -> None:
    """Draw the page."""
    st.title("Organization", anchor=False)
    organization_id = me.organization.id
    with states.explained():
        deletion = _deletion(sign_in, organization_id)
        st.text(me.organization.name)
        st.caption(
            f"Its owners can take everything along as an archive: GET /v1/organizations/{me.organization.id}/archive"
        )
        st.header("Delete the organization", anchor=False)
        if deletion is not None:
            _cancel(sign_in, me, deletion)
        elif me.role == "owner":
            _ask(sign_in, organization_id)
        else:
            st.text("Owners can have it deleted.")


def _deletion(sign_in: SignIn, organization_id: UUID) -> DeletionRead | None:
    try:
        return client.ask(sign_in, privacy.read_organization_deletion(organization_id))
    except client.RefusedError as error:
        if error.code == "not_found":
            return None
        raise


def _cancel(sign_in: SignIn, me: Me, deletion: DeletionRead) -> None:
    due = pd.Timestamp(deletion["due_at"]).tz_convert(me.organization.zone)
    st.error(f"Everything in it will be deleted on {due:%Y-%m-%d at %H:%M}. Nobody gets in from then on.")
    if me.role == "owner" and st.button("Keep it after all", type="primary"):
        client.ask(sign_in, privacy.cancel_deletion(me.organization.id))
        st.rerun()


def _ask(sign_in: SignIn, organization_id: UUID) -> None:
    st.text(
        "Everything goes: records, files, messages, keys, people who are members nowhere else. What is paid for is"
        " cancelled. Owners have a mail and 14 days to change their mind; then nothing can bring it back."
    )
    with st.form("delete"):
        name = st.text_input("The organization's name")
        password = st.text_input("Your password", type="password")
        code = st.text_input("Code of your authenticator, if you have one")
        if st.form_submit_button("Delete it in 14 days"):
            body: DeletionAsk = {"name": name, "current_password": password, "code": code.strip() or None}
            client.ask(sign_in, privacy.ask_for_deletion(organization_id, body))
            st.rerun()
