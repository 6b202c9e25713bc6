"""The audit log: who did what, from where, newest first."""

from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import streamlit as st

from contracts.calls import audit, users
from contracts.calls.schemas import AuditEntryRead
from dashboards import client, states, tables
from dashboards.answers import Me
from dashboards.pages import Page
from dashboards.session import SignIn

PAGE = Page("Audit", icon="policy", group="Admin", position=10, roles=frozenset({"owner", "admin"}))

_MOST = 500


def render(sign_in: SignIn, me: Me) -> None:
    """Draw the page."""
    st.title("Audit", anchor=False)
    with states.explained():
        names = {user["id"]: user["name"] for user in client.ask_all(sign_in, partial(users.list_users, limit=100))}
        action = st.text_input("Only", placeholder="for example sign_in.failed", key="action").strip() or None
        entries = client.ask_all(sign_in, partial(audit.list_audit_entries, action=action, limit=100), most=_MOST)
        if not entries:
            st.text("Nothing of this kind was done.")
            return
        tables.show(_table(entries, names, me.organization.zone))
        if len(entries) == _MOST:
            st.text(f"The newest {_MOST} are shown; the API has all of them.")
        st.caption("Each entry holds a hash of itself and the one before. `./sluice audit verify` checks them.")


def _table(entries: list[AuditEntryRead], names: dict[str, str], zone: ZoneInfo) -> pd.DataFrame:
    rows = [
        {
            "When": pd.Timestamp(entry["at"]).tz_convert(zone),
            "What": entry["action"],
            "Who": names.get(entry["actor_id"] or "", entry["actor"]),
            "About": names.get(entry["resource_id"] or "", entry["resource"] or ""),
            "From": entry["address"] or "",
            "Before": _told(entry["before"]),
            "After": _told(entry["after"]),
        }
        for entry in entries
    ]
    return pd.DataFrame(rows)


def _told(facts: dict[str, Any] | None) -> str:
    return ", ".join(f"{name}: {value}" for name, value in (facts or {}).items() if value is not None)
