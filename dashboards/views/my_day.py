"""My day: what is to be done, who waits for a call, and who mentioned one."""

import json
from datetime import UTC, datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo

import streamlit as st

from contracts.calls import deals, notes, notifications, tasks
from contracts.calls.schemas import TaskRead
from dashboards import client, money, pages, record, states
from dashboards.answers import Me
from dashboards.pages import Page
from dashboards.session import SignIn

PAGE = Page("My day", icon="today", group="Work", position=1)

_MOST = 50
_TOLD = 10
_RECORDS = {"deal": "deals", "contact": "contacts", "company": "companies"}


def render(who: SignIn, me: Me) -> None:
    """Draw the page."""
    st.title("My day", anchor=False)
    with states.explained():
        mine = me.id
        left, right = st.columns([3, 2])
        with left:
            _tasks(who, me, mine)
        with right:
            _told(who, me)
            _calls(who, mine)
            _mentions(who, mine)


def _tasks(who: SignIn, me: Me, mine: str) -> None:
    zone = me.organization.zone
    tonight = (datetime.now(zone) + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    listing = partial(tasks.list_tasks, assignee_id=mine, is_completed=False, limit=100)
    items: list[TaskRead] = client.ask_all(who, listing, most=200)
    dated = [(at, one["id"], one) for one in items if (at := _wanted_at(one)) is not None and at < tonight]
    today = [one for _, _, one in sorted(dated)]
    st.header(f"To do today ({len(today)})", anchor=False)
    if not today:
        states.nothing_here("Nothing is due", f"{len(items)} tasks are open for later or for no day.")
    for task in today[:_MOST]:
        _task(who, task, zone)
    later = [one for one in items if one not in today]
    if later:
        with st.expander(f"Later or undated ({len(later)})"):
            for task in later[:_MOST]:
                _task(who, task, zone)
    with st.form("new task", clear_on_submit=True):
        title = st.text_input("A new task")
        due = st.date_input("Due on", value=None)
        is_sent = st.form_submit_button("Add", icon=":material/add:")
    if is_sent and title.strip():
        due_at = datetime(due.year, due.month, due.day, 9, tzinfo=zone).isoformat() if due else None
        client.ask(who, tasks.create_task({"title": title, "due_at": due_at}))
        st.rerun()


def _wanted_at(task: TaskRead) -> datetime | None:
    """When a task wants to be seen: when it reminds, or is due."""
    at = task["remind_at"] or task["due_at"]
    return datetime.fromisoformat(at) if at else None


def _task(who: SignIn, task: TaskRead, zone: ZoneInfo) -> None:
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.text(task["title"])
        due = datetime.fromisoformat(task["due_at"]) if task["due_at"] else None
        if due is not None:
            late = "overdue since " if due < datetime.now(UTC) else "due "
            st.caption(late + money.moment(due, zone))
        about = {"deals": task["deal_id"], "contacts": task["contact_id"], "companies": task["company_id"]}
        for plural, one in about.items():
            if one:
                pages.link(plural, "Open", id=one)
                break
        if st.button("Done", key=f"done {task['id']}", icon=":material/check:"):
            client.ask(who, tasks.complete_task(task["id"]))
            st.rerun()


def _told(who: SignIn, me: Me) -> None:
    """What rules had to say, until it is read."""
    items = client.ask(who, notifications.list_notifications(limit=_MOST))["items"]
    unread = [one for one in items if one["read_at"] is None]
    if not unread:
        return
    st.header(f"Rules tell you ({len(unread)})", anchor=False)
    for one in unread[:_TOLD]:
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            st.text(one["text"])
            st.caption(money.moment(datetime.fromisoformat(one["created_at"]), me.organization.zone))
            if one["subject_id"] and one["subject_type"] in _RECORDS:
                pages.link(_RECORDS[one["subject_type"]], "Open", id=one["subject_id"])
            if st.button("Read", key=f"read {one['id']}", icon=":material/check:"):
                client.ask(who, notifications.read_notification(one["id"]))
                st.rerun()


def _calls(who: SignIn, mine: str) -> None:
    st.header("Who to call", anchor=False)
    st.caption("Your open deals that nobody touched for longest.")
    conditions = json.dumps([["owner_id", "=", mine], ["status", "=", "open"]])
    items = client.ask(who, deals.list_deals(filter_=conditions, sort="updated_at", limit=5))["items"]
    if items:
        record.table(items, {"title": "Deal", "close_date": "Closes"}, address="deals")
    else:
        st.caption("You have no open deals.")


def _mentions(who: SignIn, mine: str) -> None:
    st.header("You were mentioned", anchor=False)
    items = client.ask(who, notes.list_notes(mentioned_id=mine, limit=5))["items"]
    if not items:
        st.caption("Nobody mentioned you yet.")
    for note in items:
        with st.container(border=True):
            st.text(note["body"])
