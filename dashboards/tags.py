"""The tags of a record on its page."""

import streamlit as st

from dashboards import client, record, states
from dashboards.session import SignIn


def edit(who: SignIn, path: str, found: client.Resource) -> None:
    """A form of them, separated by commas."""
    before = found.body.get("tags", [])
    with st.form(f"tags {path}"):
        text = st.text_input("Tags, separated by commas", value=", ".join(before))
        is_sent = st.form_submit_button("Save tags", icon=":material/label:")
    tags = [one.strip() for one in text.split(",") if one.strip()]
    if not is_sent or tags == before:
        return
    try:
        client.patch(who, path, {"tags": tags}, etag=found.etag)
    except client.StaleError:
        st.warning("Somebody changed this while you did. Look at what is there now, then save again.")
        return
    except (client.RefusedError, client.ConflictError) as error:
        states.refused(error)
        return
    record.forget(path)
    st.rerun()
