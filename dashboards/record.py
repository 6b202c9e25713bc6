"""One record on a page: its fields with a form that notices others' changes, and its timeline.

Whatever people wrote is shown as text, never as Markdown. A change names the version that was shown; where somebody
was quicker, both values stand side by side, and whoever sees them decides.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import streamlit as st

from dashboards import client, forms, money, states, tables
from dashboards.answers import Me
from dashboards.forms import Given, People
from dashboards.forms import Shown as Shown
from dashboards.session import SignIn

_NOUNS = {"deals": "deal", "contacts": "contact", "companies": "company"}
_KINDS = {
    "note": "Note",
    "call": "Call",
    "meeting": "Meeting",
    "task": "Task",
    "message": "Message",
    "file": "File",
    "change": "Change",
}


def custom_fields(who: SignIn, plural: str) -> list[dict[str, Any]]:
    """The custom fields of a kind of records."""
    return client.get_all(who, "/v1/custom-fields", {"record_kind": _NOUNS[plural], "is_retired": "false"})


def table(items: Sequence[Mapping[str, Any]], columns: Mapping[str, str], *, address: str) -> None:
    """Records as a table whose first column opens them."""
    rows = [{label: item.get(name) for name, label in columns.items()} for item in items]
    links = [f"/{address}?id={item['id']}" for item in items]
    frame = pd.DataFrame(rows, columns=list(columns.values()))
    texts = frame.select_dtypes(exclude="number").columns
    frame[texts] = frame[texts].fillna("")  # which would be drawn as "None"
    frame.insert(0, "Open", links)
    shown = {"Open": st.column_config.LinkColumn("Open", display_text="Open")}
    tables.show(frame, column_config=shown)


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


def remove(who: SignIn, path: str, found: client.Resource, noun: str) -> None:
    """A button that puts the record into the recycle bin, once that is confirmed."""
    with st.popover("Delete", icon=":material/delete:"):
        st.text(f"It goes into the recycle bin, where it can be restored for 90 days, and no list shows this {noun}.")
        if not st.button(f"Delete this {noun}", type="primary"):
            return
    try:
        client.delete(who, path, etag=found.etag)
    except client.StaleError:
        st.warning("Somebody changed this while you did. Look at what is there now, then try again.")
        return
    forget(path)
    del st.query_params["id"]
    st.rerun()


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
    key = f"edit {path} {found.etag}"
    with st.form(key):
        given = forms.draw(fields, found.body, key)
        is_sent = st.form_submit_button("Save", icon=":material/save:")
    if is_sent:
        _save(who, path, found, given, key, fields)


def _save(who: SignIn, path: str, found: client.Resource, given: Given, key: str, fields: Sequence[Shown]) -> None:
    changed = given.changed(found.body)
    if given.problems:
        forms.keep(key, given.problems, fields=[one.name for one in fields])
    elif not changed:
        st.info("Nothing was changed.")
        return
    else:
        forms.forget(key)
        try:
            client.patch(who, path, changed, etag=found.etag)
            forget(path)
        except client.StaleError:
            st.session_state[_key(path)] = changed
        except (client.RefusedError, client.ConflictError) as error:
            forms.keep_refusal(key, error, fields)
    st.rerun()


def _decide(who: SignIn, path: str, mine: dict[str, Any], fields: Sequence[Shown]) -> None:
    theirs = client.get(who, path)
    labels = {field.name: field.label for field in fields} | {"currency": "Currency"}
    st.warning("Somebody changed this while you did. Nothing of yours is saved yet.", icon=":material/call_split:")
    both = [{"Field": labels[name], "Yours": value, "Now": theirs.body.get(name)} for name, value in mine.items()]
    tables.show(pd.DataFrame(both).astype(str))
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


def edit_custom(
    who: SignIn, path: str, found: client.Resource, definitions: Sequence[Mapping[str, Any]], people: People
) -> None:
    """A form of a record's custom fields, below what is computed of it."""
    for one in definitions:
        if one["type"] == forms.COMPUTED:
            st.text(f"{one['name']}: {told(found['custom'].get(one['id']))}")
    if all(one["type"] == forms.COMPUTED for one in definitions):
        return
    key = f"custom {path} {found.etag}"
    with st.form(key):
        given = forms.draw_custom(definitions, found["custom"], key, people)
        is_sent = st.form_submit_button("Save fields", icon=":material/save:")
    changed = given.changed(found["custom"])
    if not is_sent or not (changed or given.problems):
        return
    if given.problems:
        forms.keep(key, given.problems)
        st.rerun()
    forms.forget(key)
    try:
        client.patch(who, path, {"custom": changed}, etag=found.etag)
    except client.StaleError:
        st.warning("Somebody changed this while you did. Look at what is there now, then save again.")
        return
    except (client.RefusedError, client.ConflictError) as error:
        forms.keep_refusal(key, error, ())
    else:
        forget(path)
    st.rerun()


def told(value: Any) -> str:  # noqa: ANN401 # JSON
    """What is computed, as people read it."""
    match value:
        case None:
            return money.NOTHING
        case bool():
            return "yes" if value else "no"
        case int() | float():
            return f"{value:,.2f}".rstrip("0").rstrip(".")
        case _:
            return str(value)


def timeline(who: SignIn, me: Me, plural: str, record_id: str) -> None:
    """What happened with a record, and ways to add to it."""
    st.header("Timeline", anchor=False)
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
        for name in ("title", "subject", "body", "text", "name"):
            if data.get(name):
                st.text(data[name])
