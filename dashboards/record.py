"""One record on a page: its fields with a form that notices others' changes, and its timeline.

Whatever people wrote is shown as text, never as Markdown. A change names the version that was shown; where somebody
was quicker, both values stand side by side, and whoever sees them decides.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import streamlit as st

from dashboards import client, money, states
from dashboards.answers import Me
from dashboards.session import SignIn

_NOUNS = {"deals": "deal", "contacts": "contact", "companies": "company"}
_KINDS = {"note": "Note", "call": "Call", "meeting": "Meeting", "task": "Task", "change": "Change"}


@dataclass(frozen=True)
class Shown:
    """A field of a form: its name in the API, what people call it, and what it holds: text, number or date."""

    name: str
    label: str
    kind: str = "text"


def custom_fields(who: SignIn, plural: str) -> list[dict[str, Any]]:
    """The custom fields of a kind of records."""
    return client.get_all(who, "/v1/custom-fields", {"record_kind": _NOUNS[plural], "is_retired": "false"})


def table(items: Sequence[Mapping[str, Any]], columns: Mapping[str, str], *, address: str) -> None:
    """Records as a table whose first column opens them."""
    rows = [{label: item.get(name) for name, label in columns.items()} for item in items]
    links = [f"/{address}?id={item['id']}" for item in items]
    frame = pd.DataFrame(rows, columns=list(columns.values()))
    frame.insert(0, "Open", links)
    shown = {"Open": st.column_config.LinkColumn("Open", display_text="Open")}
    st.dataframe(frame, column_config=shown, hide_index=True, width="stretch")


def shown(who: SignIn, path: str) -> client.Resource:
    """A record as it was when the page drew it first: what people edit. Says so where it was changed since."""
    now = client.get(who, path)
    drawn: client.Resource = st.session_state.setdefault(_drawn(path), now)
    if drawn.etag != now.etag and _key(path) not in st.session_state:
        st.info("Somebody changed this since it was opened.", icon=":material/sync:")
        if st.button("Show what is there now"):
            forget(path)
            st.rerun()
    return drawn


def forget(path: str) -> None:
    """Draw a record anew: the page itself changed it."""
    st.session_state.pop(_drawn(path), None)


def _drawn(path: str) -> str:
    return f"drawn {path}"


def edit(who: SignIn, path: str, found: client.Resource, fields: Sequence[Shown]) -> None:
    """A form of a record's fields."""
    conflict = st.session_state.get(_key(path))
    if conflict is not None:
        _decide(who, path, conflict, fields)
        return
    with st.form(f"edit {path}"):
        given = {field.name: _widget(field, found.body.get(field.name)) for field in fields}
        is_sent = st.form_submit_button("Save", icon=":material/save:")
    if not is_sent:
        return
    changed = {name: value for name, value in given.items() if value != found.body.get(name)}
    if not changed:
        st.info("Nothing was changed.")
        return
    try:
        client.patch(who, path, changed, etag=found.etag)
        forget(path)
    except client.StaleError:
        st.session_state[_key(path)] = changed
    except client.RefusedError as error:
        st.error(error.message)
        return
    st.rerun()


def _decide(who: SignIn, path: str, mine: dict[str, Any], fields: Sequence[Shown]) -> None:
    theirs = client.get(who, path)
    labels = {field.name: field.label for field in fields}
    st.warning("Somebody changed this while you did. Nothing of yours is saved yet.", icon=":material/call_split:")
    both = [{"Field": labels[name], "Yours": value, "Now": theirs.body.get(name)} for name, value in mine.items()]
    st.dataframe(pd.DataFrame(both).astype(str), hide_index=True)
    left, right = st.columns(2)
    if left.button("Save mine", type="primary"):
        client.patch(who, path, mine, etag=theirs.etag)
    elif not right.button("Keep what is there now"):
        return
    del st.session_state[_key(path)]
    forget(path)
    st.rerun()


def _key(path: str) -> str:
    return f"conflict {path}"


def _widget(field: Shown, value: Any) -> Any:  # noqa: ANN401 # JSON
    if field.kind == "date":
        day = st.date_input(field.label, value=date.fromisoformat(value) if value else None)
        return day.isoformat() if isinstance(day, date) else None
    if field.kind == "number":
        return st.number_input(field.label, value=value, step=1)
    return st.text_input(field.label, value=value or "") or None


def edit_custom(who: SignIn, path: str, found: client.Resource, definitions: Sequence[Mapping[str, Any]]) -> None:
    """A form of a record's custom fields."""
    if not definitions:
        return
    with st.form(f"custom {path}"):
        given = {one["id"]: _custom_widget(one, found["custom"].get(one["id"])) for one in definitions}
        is_sent = st.form_submit_button("Save fields", icon=":material/save:")
    changed = {key: value for key, value in given.items() if value != found["custom"].get(key)}
    if not is_sent or not changed:
        return
    try:
        client.patch(who, path, {"custom": changed}, etag=found.etag)
    except client.StaleError:
        st.warning("Somebody changed this while you did. Look at what is there now, then save again.")
        return
    except (client.RefusedError, client.ConflictError) as error:
        st.error(error.message)
        return
    forget(path)
    st.rerun()


def _custom_widget(one: Mapping[str, Any], value: Any) -> Any:  # noqa: ANN401 # JSON
    name, kind = one["name"], one["type"]
    if kind in ("choice", "choices"):
        labels = {choice["id"]: choice["label"] for choice in one["choices"]}
        if kind == "choices":
            chosen = st.multiselect(
                name,
                list(labels),
                default=[key for key in value or [] if key in labels],
                format_func=lambda key: labels[key],
            )
            return sorted(chosen) or None
        options = [None, *labels]
        index = options.index(value) if value in options else 0
        return st.selectbox(name, options, index=index, format_func=lambda key: labels.get(key, "–"))
    if kind == "number":
        return st.number_input(name, value=float(value) if value is not None else None)
    if kind == "date":
        return _widget(Shown(one["id"], name, "date"), value)
    if kind == "money":
        st.text_input(
            name, value=money.amount(value["amount_minor"], value["currency"]) if value else "", disabled=True
        )
        return value
    return st.text_input(name, value=value or "") or None


def timeline(who: SignIn, me: Me, plural: str, record_id: str) -> None:
    """What happened with a record, and ways to add to it."""
    st.subheader("Timeline", anchor=False)
    _add(who, plural, record_id)
    kinds = st.pills("Show", list(_KINDS), selection_mode="multi", format_func=lambda kind: _KINDS[kind])
    parameters: dict[str, str | int | None] = {"limit": 50}
    if kinds and len(kinds) == 1:
        parameters["kind"] = kinds[0]
    page = client.get(who, f"/v1/{plural}/{record_id}/timeline", parameters)
    items = [item for item in page["items"] if not kinds or item["kind"] in kinds]
    if not items:
        states.nothing_here("Nothing here yet", "Write a note above, or log a call.")
    for item in items:
        _show(item, me.organization.zone)
    if page["next_cursor"]:
        st.caption(f"The newest {len(items)} are shown.")


def _add(who: SignIn, plural: str, record_id: str) -> None:
    about = {f"{_NOUNS[plural]}_id": record_id}
    with st.form(f"add {record_id}", clear_on_submit=True):
        kind = st.selectbox("Add", ["note", "call", "meeting", "task"], format_func=lambda one: _KINDS[one])
        text = st.text_area("What is there to say?")
        is_sent = st.form_submit_button("Add", icon=":material/add:")
    if not is_sent:
        return
    if not text.strip():
        st.error("Write something first.")
        return
    if kind == "task":
        client.post(who, "/v1/tasks", {"title": text.strip()[:200], **about})
    elif kind == "note":
        client.post(who, "/v1/notes", {"body": text, **about})
    else:
        client.post(who, "/v1/activities", {"kind": kind, "body": text, **about})
    st.rerun()


def _show(item: Mapping[str, Any], zone: ZoneInfo) -> None:
    data = item["data"]
    with st.container(border=True):
        kind = _KINDS.get(item["kind"], item["kind"].capitalize())
        what = f": {item['type']}" if item["kind"] == "change" else ""
        st.caption(f"{kind}{what} · {money.moment(datetime.fromisoformat(item['at']), zone)}")
        for name in ("title", "subject", "body", "text"):
            if data.get(name):
                st.text(data[name])
