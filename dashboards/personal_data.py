"""What is stored of a contact, to hand it to them; and its erasure, with the receipt. For administrators."""

import json
from typing import Any

import streamlit as st

from contracts.calls import privacy
from contracts.calls.schemas import ErasureRead
from dashboards import client, states
from dashboards.answers import Me
from dashboards.session import SignIn

_ADMINISTRATORS = frozenset({"owner", "admin"})
_RECEIPT = "erasure"


def panel(who: SignIn, me: Me, contact_id: str, name: str) -> None:
    """Draw it beside a contact."""
    if me.role not in _ADMINISTRATORS:
        return
    with st.popover("Personal data", icon=":material/privacy_tip:"):
        st.download_button(
            "Save all that is stored",
            data=lambda: _all_of(who, contact_id),
            file_name=f"contact-{contact_id}.json",
            mime="application/json",
            on_click="ignore",
            icon=":material/download:",
        )
        st.text("Erasing takes the contact out of everything, for good: no recycle bin, no way back.")
        typed = st.text_input("Type the contact's name to erase it", key=f"erase {contact_id}")
        if st.button("Erase", type="primary", disabled=typed.strip() != name):
            st.session_state[_RECEIPT] = client.ask(who, privacy.erase_contact(contact_id))
            st.query_params.pop("id", None)
            st.rerun()


def receipt() -> None:
    """What an erasure that was just done removed, and what stays."""
    done: ErasureRead | None = st.session_state.pop(_RECEIPT, None)
    if done is None:
        return
    removed: Any = done["erased"]
    st.success(f"The contact is erased: {sum(removed.values()):,} rows in {len(removed)} tables.")
    for one in done["kept"]:
        st.caption(states.plain(f"{one['where']}: {one['because']}"))


def _all_of(who: SignIn, contact_id: str) -> bytes:
    return json.dumps(client.ask(who, privacy.show_personal_data(contact_id)), indent=2, ensure_ascii=False).encode()
