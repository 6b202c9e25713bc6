"""The page Import: files looked through before anything is written, imports under way and done, and taken back."""

import json
from functools import partial
from typing import Any, Literal
from zoneinfo import ZoneInfo

import pandas as pd
import streamlit as st

from contracts.calls import imports
from contracts.calls.schemas import ImportRead
from dashboards import client, money, states, tables
from dashboards.answers import Me
from dashboards.pages import Page
from dashboards.session import SignIn

PAGE = Page("Import", icon="upload_file", group="Admin", position=4, roles=frozenset({"owner", "admin"}))

_PRESETS = {"generic": "Columns named as Sluice names them", "hubspot": "HubSpot", "salesforce": "Salesforce",
            "pipedrive": "Pipedrive"}  # fmt: skip
_ENTITIES = {
    "deals": "Deals",
    "companies": "Companies",
    "contacts": "Contacts",
    "users": "People",
    "pipelines": "Pipelines",
    "products": "Products",
    "deal_stage_history": "Stage history of deals",
    "deal_owner_history": "Owner history of deals",
    "deal_amount_history": "Amount history of deals",
    "deal_line_items": "Line items of deals",
    "activities": "Calls and meetings",
    "notes": "Notes",
    "tasks": "Tasks",
}
_BY_CELLS = "As the cells show"
_ORDERS = {_BY_CELLS: None, "Day first (03/04 is 3 April)": True, "Month first (03/04 is 4 March)": False}
_MARKS = {_BY_CELLS: None, "Comma (1.234,56)": True, "Point (1,234.56)": False}
_LEFT_OUT = "(not imported)"
_RESULTS: tuple[Literal["created", "updated", "unchanged", "failed"], ...] = (
    "created",
    "updated",
    "unchanged",
    "failed",
)
_STATES = {"queued": "waiting", "running": "under way", "completed": "done", "failed": "failed as a whole"}

Files = list[tuple[str, tuple[str, bytes]]]


def render(sign_in: SignIn, me: Me) -> None:
    """Draw the page."""
    st.title("Import")
    with states.explained():
        _new_import(sign_in)
        _learned(sign_in, me.organization.zone)
        _imports(sign_in, me.organization.zone)


def _new_import(sign_in: SignIn) -> None:
    what = (
        "Files (CSV, Excel or Parquet) of deals, their line items and histories, companies, contacts, products, people,"
        " pipelines, notes, tasks, calls and meetings"
    )
    uploaded = st.file_uploader(what, accept_multiple_files=True)
    if not uploaded:
        st.text("Nothing is written before you have seen what would be.")
        return
    files = [(_entity_of(one.name), (one.name, one.getvalue())) for one in uploaded]
    options = _options()
    if st.button("Look it through", type="primary"):
        with st.spinner("Reading every row"):
            st.session_state["import_preview"] = client.upload(
                sign_in, imports.show_import_preview().path, files, options=json.dumps(options)
            )
    preview = st.session_state.get("import_preview")
    looked_at = [file["name"] for file in preview["files"] if file["headings"]] if preview else None
    if preview is None or looked_at != [one.name for one in uploaded]:
        return
    options["map"] = _show_preview(preview)
    if st.button("Import", help="Rows without a problem are written; the others come back as a file."):
        started = client.upload(sign_in, imports.start_import().path, files, options=json.dumps(options))
        st.session_state.pop("import_preview")
        st.toast(f"Import {started['id']} has begun.")
        st.rerun()


def _entity_of(name: str) -> str:
    """What a file's rows are: by its name where that says it, else as chosen."""
    words = name.lower().replace("-", "_").replace(" ", "_")
    named = [entity for entity in _ENTITIES if entity in words]
    guess = max(named, key=len, default="deals")
    kinds = list(_ENTITIES)
    return st.selectbox(
        f"Rows of {states.plain(name)} are",
        kinds,
        kinds.index(guess),
        format_func=_ENTITIES.__getitem__,
        key=f"entity of {name}",
    )


def _options() -> dict[str, Any]:
    left, middle, right = st.columns(3)
    preset = left.selectbox("Exported from", list(_PRESETS), format_func=_PRESETS.__getitem__)
    order = middle.selectbox("Dates", list(_ORDERS))
    mark = right.selectbox("Amounts", list(_MARKS))
    create = st.checkbox("Create stages, people, companies and so on that rows name", value=True)
    kinds = st.text_input("Kinds of closed stages, such as: Closed Won = won, Closed Lost = lost")
    pairs = (part.rpartition("=") for part in kinds.split(",") if "=" in part)
    return {
        "preset": preset,
        "day_first": _ORDERS[order],
        "decimal_comma": _MARKS[mark],
        "create_missing": create,
        "stage_kinds": {name.strip(): kind.strip().lower() for name, _, kind in pairs},
    }


def _show_preview(preview: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Show what would be; answers the map as the person has it now."""
    chosen: dict[str, dict[str, str]] = {}
    st.header("What would happen")
    for entity, counts in preview["counts"].items():
        figures = ", ".join(f"{money.count(counts[result])} {result}" for result in _RESULTS)
        st.text(f"{_ENTITIES[entity]}: {figures}")
    for kind, names in preview["would_create"].items():
        more = f" and {len(names) - 10} more" if len(names) > 10 else ""  # as many as fit a line
        st.text(f"New {kind}: {', '.join(names[:10])}{more}")
    for file in preview["files"]:
        for guess in file["guesses"]:
            st.text(f"Concluded: {guess}")
        if file["headings"]:
            chosen.setdefault(file["entity"], {}).update(_show_map(file))
        if file["first_rows"]:
            tables.show(pd.DataFrame(file["first_rows"]).astype(str))
    for warning in preview["warnings"]:
        st.text(f"Note: {warning}")
    if preview["problem_count"]:
        shown = len(preview["problems"])
        st.text(f"{money.count(preview['problem_count'])} problems; {shown} of them:")
        tables.show(pd.DataFrame(preview["problems"]))
    return chosen


def _show_map(file: dict[str, Any]) -> dict[str, str]:
    """Which heading is which column, to be corrected; answers what differs from how it was understood."""
    headings, known = file["headings"], file["map"]
    numbered = enumerate(headings, start=1)
    own = [(f"#{place}" if headings.count(text) > 1 else text, text) for place, text in numbered if text]
    columns_now = [known.get(key, known.get(text, _LEFT_OUT)) for key, text in own]
    table = pd.DataFrame({"Heading": [text for _, text in own], "Column": columns_now})
    columns = [_LEFT_OUT, *file["known_columns"]]
    edited = st.data_editor(
        table,
        hide_index=True,
        disabled=["Heading"],
        column_config={"Column": st.column_config.SelectboxColumn(options=columns, required=True)},
        key=f"map of {file['name']}",
    )
    pairs = zip(own, table["Column"], edited["Column"], strict=True)
    return {key: "" if now == _LEFT_OUT else now for (key, _), before, now in pairs if before != now}


def _learned(sign_in: SignIn, zone: ZoneInfo) -> None:
    """What headings mean, as earlier imports said; to be forgotten."""
    learned = client.ask_all(sign_in, partial(imports.list_learned_headings, limit=100), most=200)
    if not learned:
        return
    with st.expander(f"Headings that are remembered ({len(learned)})"):
        for one in learned:
            text, button = st.columns([4, 1], vertical_alignment="center")
            column = one["column_name"] or _LEFT_OUT
            since = money.instant(one["confirmed_at"], zone)
            text.text(f"{_ENTITIES[one['entity']]}: {one['heading']} = {column}, since {since}")
            if button.button("Forget", key=f"forget {one['id']}", icon=":material/delete:"):
                client.ask(sign_in, imports.forget_learned_heading(one["id"]))
                st.rerun()


@st.fragment(run_every=3.0)
def _imports(sign_in: SignIn, zone: ZoneInfo) -> None:
    with states.explained():
        so_far = client.ask(sign_in, imports.list_imports(limit=20))["items"]
        st.header("Imports so far")
        if not so_far:
            st.text("There are none yet.")
        for one in so_far:
            _show_import(sign_in, one, zone)


def _show_import(sign_in: SignIn, one: ImportRead, zone: ZoneInfo) -> None:
    names, counts = ", ".join(file["name"] for file in one["files"]), one["counts"]
    with st.expander(f"{money.instant(one['created_at'], zone)} · {_STATES[one['state']]}"):
        st.text(names)
        if one["error"]:
            st.text(one["error"])
        st.progress(counts["done"] / counts["total"] if counts["total"] else 0.0)
        figures = ", ".join(f"{money.count(counts[result])} {result}" for result in _RESULTS)
        st.text(f"{money.count(counts['done'])} of {money.count(counts['total'])} rows: {figures}")
        for warning in one["warnings"]:
            st.text(f"Note: {warning}")
        if one["completed_at"] is None:
            return
        _offer_errors(sign_in, one)
        _offer_revert(sign_in, one)


def _offer_errors(sign_in: SignIn, one: ImportRead) -> None:
    if one["counts"]["failed"] and st.button("Get the failed rows", key=f"errors {one['id']}"):
        rows = client.get_file(sign_in, imports.read_import_errors(one["id"]).path)
        name = f"import-{one['id']}-errors.csv"
        st.download_button("Save them, to be mended and imported again", rows, name, "text/csv")


def _offer_revert(sign_in: SignIn, one: ImportRead) -> None:
    if one["counts"]["created"] and st.button(
        "Take it back",
        key=f"revert {one['id']}",
        help="What it created and nobody has touched or used since is deleted. What it changed stays.",
    ):
        found = client.ask(sign_in, imports.revert_import(one["id"]))
        reverted = found["reverted"]
        while found["remaining"]:
            found = client.ask(sign_in, imports.revert_import(one["id"]))
            reverted += found["reverted"]
        kept = money.count(found["kept_count"])
        st.text(f"{money.count(reverted)} records were taken back, {kept} were changed or are used and stay.")
        if found["kept"]:
            tables.show(pd.DataFrame(found["kept"]))
