"""The organization: how it counts, what its people need to sign in, its features, all of it to take along, its end."""

from uuid import UUID
from zoneinfo import available_timezones

import pandas as pd
import streamlit as st

from contracts.calls import feature_flags, privacy
from contracts.calls.schemas import DeletionAsk, DeletionRead
from contracts.money import MINOR_DIGITS
from dashboards import client, states
from dashboards.answers import Me
from dashboards.pages import Page
from dashboards.session import SignIn

PAGE = Page("Organization", icon="domain", group="Admin", position=19, roles=frozenset({"owner", "admin"}))
_FEATURES = {"ai_drafts": "Drafts by a language model", "webhooks": "Webhooks"}
_DAYS = dict(enumerate("Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split(), start=1))
_MONTHS = dict(
    enumerate("January February March April May June July August September October November December".split(), start=1)
)


def render(sign_in: SignIn, me: Me) -> None:
    """Draw the page."""
    st.title("Organization", anchor=False)
    organization_id = me.organization.id
    with states.explained():
        deletion = _deletion(sign_in, organization_id)
        if deletion is None:
            _settings(sign_in, organization_id)
        _features(sign_in, is_owner=me.role == "owner")
        st.header("Take everything along", anchor=False)
        if me.role == "owner":
            st.download_button(
                "Save the archive",
                data=lambda: client.get_file(sign_in, f"/v1/organizations/{organization_id}/archive"),
                file_name=f"{me.organization.name}.zip",
                mime="application/zip",
                icon=":material/download:",
                on_click="ignore",
                help="Every table as lines of JSON, and the files.",
            )
        else:
            st.text("Owners can save all of it as an archive.")
        st.header("Delete the organization", anchor=False)
        if deletion is not None:
            _cancel(sign_in, me, deletion)
        elif me.role == "owner":
            _ask(sign_in, organization_id)
        else:
            st.text("Owners can have it deleted.")


def _settings(sign_in: SignIn, organization_id: UUID) -> None:
    path = f"/v1/organizations/{organization_id}"
    found = client.get(sign_in, path)
    zones = sorted(zone for zone in available_timezones() if "/" in zone or zone == "UTC")
    currencies = list(MINOR_DIGITS)
    with st.form("organization"):
        name = st.text_input("Name", found["name"])
        left, right = st.columns(2)
        zone = left.selectbox("Time zone", zones, zones.index(found["time_zone"]))
        currency = right.selectbox("Currency", currencies, currencies.index(found["currency"]))
        day = left.selectbox("Weeks begin on", _DAYS, found["week_start"] - 1, format_func=_DAYS.__getitem__)
        month = right.selectbox(
            "The fiscal year begins in", _MONTHS, found["fiscal_year_start_month"] - 1, format_func=_MONTHS.__getitem__
        )
        is_strict = st.checkbox(
            "Everybody needs a second factor",
            found["requires_second_factor"],
            help="Whoever has none can do nothing but set one up, from their next request on.",
        )
        is_sent = st.form_submit_button("Save", type="primary")
    wanted = {
        "name": name.strip(),
        "time_zone": zone,
        "currency": currency,
        "week_start": day,
        "fiscal_year_start_month": month,
        "requires_second_factor": is_strict,
    }
    changed = {key: value for key, value in wanted.items() if found[key] != value}
    if is_sent and changed:
        client.patch(sign_in, path, changed, etag=found.etag)
        st.rerun()


def _features(sign_in: SignIn, *, is_owner: bool) -> None:
    st.header("Features", anchor=False)
    for one in client.ask(sign_in, feature_flags.list_feature_flags())["items"]:
        label = _FEATURES.get(one["flag"], one["flag"])
        is_on = st.toggle(label, one["is_on"], key=f"feature {one['flag']}", disabled=not is_owner)
        if is_on != one["is_on"]:
            client.ask(sign_in, feature_flags.set_feature_flag(one["flag"], {"is_on": is_on}))
            st.rerun()
    if not is_owner:
        st.caption("Owners turn them on and off.")


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
