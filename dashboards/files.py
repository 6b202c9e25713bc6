"""The files of a record on its page: those there are, another one, out of here."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from dashboards import client, states
from dashboards.session import SignIn

_UNITS = ("bytes", "kB", "MB", "GB")


def section(who: SignIn, noun: str, record_id: str) -> None:
    """List them, and take another one in."""
    st.header("Files", anchor=False)
    about = f"{noun}_id"
    for file in client.get(who, "/v1/files", {about: record_id, "limit": 100})["items"]:
        _one(who, file)
    with st.form(f"attach {record_id}", clear_on_submit=True):
        given = st.file_uploader("Attach a file")
        is_sent = st.form_submit_button("Attach", icon=":material/attach_file:")
    if not is_sent or given is None:
        return
    try:
        client.upload(who, "/v1/files", [("file", (given.name, given.getvalue()))], **{about: record_id})
    except client.RefusedError as error:
        states.refused(error)
        return
    st.rerun()


def _one(who: SignIn, file: Mapping[str, Any]) -> None:
    path = f"/v1/files/{file['id']}"
    name, get, remove = st.columns([4, 1, 1], vertical_alignment="center")
    unscanned = "" if file["is_scanned"] else ", not scanned"
    name.text(f"{file['name']} ({_size(file['size_bytes'])}{unscanned})")
    get.download_button(
        "Save",
        data=lambda: client.get_file(who, f"{path}/content"),  # fetched when it is asked for
        file_name=file["name"],
        mime="application/octet-stream",
        key=f"save {path}",
        icon=":material/download:",
        help=f"Save {states.plain(file['name'])}",
        on_click="ignore",
    )
    if remove.button(
        "Delete", key=f"delete {path}", icon=":material/delete:", help=f"Delete {states.plain(file['name'])}"
    ):
        try:
            client.delete(who, path, etag=f'"{file["version"]}"')
        except client.StaleError:
            st.warning("Somebody changed this file while you did. Look at what is there now.")
            return
        st.rerun()


def _size(number: float) -> str:
    unit = 0
    while number >= 1000 and unit < len(_UNITS) - 1:
        number, unit = number / 1000, unit + 1
    return f"{number:.0f} {_UNITS[unit]}" if unit == 0 else f"{number:.1f} {_UNITS[unit]}"
