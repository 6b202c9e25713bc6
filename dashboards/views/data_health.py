"""The data-health page: whether the figures can be trusted right now, and what to do if not."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pandas as pd
import streamlit as st

from contracts.calls.schemas import WarehouseVersionRead
from dashboards import client, comparison, money, states, tables
from dashboards.answers import Check, Freshness, Group, Me, Process, Refresh
from dashboards.pages import Page
from dashboards.session import SignIn

PAGE = Page("Data health", icon="monitor_heart", group="Admin", position=11)

_REFRESH_SECONDS = 5
_FAR_BEHIND = 1000
_PATIENCE = timedelta(minutes=1)
_GOOD_STATES = frozenset({"running", "ready", "ok", "up", "starting"})
_MARKS = {"ok": ":material/check_circle:", "warn": ":material/warning:", "failed": ":material/error:"}
_ENDED = {"ok": "passed", "warn": "with a remark", "failed": "failed"}
_ORDER = {"failed": 0, "warn": 1, "ok": 2}


def render(who: SignIn, me: Me) -> None:
    """Draw the page; it keeps itself up to date."""
    st.title("Data health", anchor=False)
    _live(who, me.organization.zone)


@st.fragment(run_every=_REFRESH_SECONDS)
def _live(who: SignIn, zone: ZoneInfo) -> None:
    with states.explained():
        fresh = client.freshness(who)
        _verdict(fresh, stands_still=_stands_still(fresh, datetime.now(UTC)))
        _figures(fresh, zone)
        _last_refresh(fresh.last_refresh, zone)
        _groups(fresh.groups, zone)
        st.header("Compared with what was entered", anchor=False)
        st.markdown(comparison.summary(fresh.reconciliation, zone))
        _checks(fresh.checks, zone)
        _versions(client.kept_versions(who), zone)
        _processes(fresh.processes, zone)


def problems(fresh: Freshness) -> list[tuple[str, str]]:
    """What is wrong and what to do about it, worst first; empty when all is well."""
    found: list[tuple[str, str]] = []
    if fresh.last_refresh is not None and fresh.last_refresh.status == "failed":
        advice = (
            "You see the last good figures; nothing wrong was published. Sluice tries again with the next change. "
            "If it stays so, pass the message below to whoever runs Sluice."
        )
        found.append(("The last update of the figures failed", advice))
    found += comparison.disagreement(fresh.reconciliation, datetime.now(UTC))
    found += [
        (
            f"The check “{_words(check.name)}” failed",
            f"{check.message or 'It gave no reason.'} The figures stay as they were until it passes.",
        )
        for check in fresh.checks
        # what a comparison found is said above, of the reader's organization alone
        if check.status == "failed" and not (check.name.startswith("reconcile") and fresh.reconciliation)
    ]
    found += [(f"{_words(alarm.name).capitalize()}: {alarm.message}", alarm.advice) for alarm in fresh.alarms]
    found += [
        (
            f"The process “{_words(process.name)}” is {process.state}",
            "New changes may arrive late until it runs again. Sluice restarts it by itself; its log says what it was.",
        )
        for process in fresh.processes
        if process.state is not None and process.state.lower() not in _GOOD_STATES
    ]
    if fresh.events_behind is not None and fresh.events_behind >= _FAR_BEHIND:
        found.append(
            (
                f"The figures are {fresh.events_behind:,} events behind",
                "After a large import this is usual and passes within minutes. Otherwise see which process below lags.",
            )
        )
    return found


def _stands_still(fresh: Freshness, now: datetime) -> bool:
    """Whether new events have waited for a minute before the reader's eyes without getting into the figures."""
    if not fresh.events_behind:
        st.session_state.pop("waiting", None)
        return False
    through, since = st.session_state.get("waiting", (None, now))
    if through != fresh.through:
        since = now
    st.session_state["waiting"] = (fresh.through, since)
    return bool(now - since >= _PATIENCE)


def _verdict(fresh: Freshness, *, stands_still: bool) -> None:
    if fresh.warehouse_version is None:
        st.info(
            "**No figures have been published yet.** The first ones appear within seconds of the first deal.",
            icon=":material/hourglass_top:",
        )
    found = problems(fresh)
    if stands_still:
        advice = "New events wait and do not get into them. See below which process or update has stopped."
        found.append(("The figures stand still", advice))
    for title, advice in found:
        st.error(f"**{title}**\n\n{advice}", icon=":material/error:")
    warnings = [check for check in fresh.checks if check.status == "warn"]
    if not found and warnings:
        st.warning(
            f"**The figures are sound, with {len(warnings)} remark{'s' * (len(warnings) > 1)}.** See the checks."
        )
    elif not found and fresh.warehouse_version is not None:
        st.success("**All is well.** Every check of the data passed.", icon=":material/verified:")


def _figures(fresh: Freshness, zone: ZoneInfo) -> None:
    now = datetime.now(UTC)
    first, second, third, fourth = st.columns(4)
    first.metric("Figures are complete through", money.clock(fresh.through, now, zone), border=True)
    second.metric("Events not in them yet", money.count(fresh.events_behind), border=True)
    third.metric("Published", money.clock(fresh.published_at, now, zone), border=True)
    passed = sum(check.status == "ok" for check in fresh.checks)
    fourth.metric("Checks passed", f"{passed} of {len(fresh.checks)}" if fresh.checks else money.NOTHING, border=True)
    st.caption(f"Times are those of {zone.key}. Version of the figures: `{fresh.warehouse_version or 'none'}`")


def _last_refresh(refresh: Refresh | None, zone: ZoneInfo) -> None:
    st.header("Last update of the figures", anchor=False)
    if refresh is None:
        st.caption("There has been none yet.")
        return
    words = {"ok": "succeeded", "failed": "failed", "running": "is running"}.get(refresh.status, refresh.status)
    took = ""
    if refresh.started_at and refresh.finished_at:
        took = f", took {(refresh.finished_at - refresh.started_at).total_seconds():.1f} s"
    mark = _MARKS.get(refresh.status, ":material/sync:")
    st.markdown(f"{mark} It {words}: started {money.moment(refresh.started_at, zone)}{took}.")
    if refresh.error:
        st.code(refresh.error, language=None, wrap_lines=True)


def _groups(groups: list[Group], zone: ZoneInfo) -> None:
    """Each group is published by itself: which of them stay as they were, and how far each is."""
    if not groups:
        return
    frame = pd.DataFrame(
        [
            {
                "Figures": group.name.capitalize().replace("(settled)", "· every few minutes"),
                "State": "✕ As they were" if group.error else "✓ Up to date",
                "Complete through": money.moment(group.through, zone),
                "Why": group.error or "",
            }
            for group in groups
            if group.through or group.error  # the others publish nothing
        ]
    )
    tables.show(frame, key="groups", alt="Groups of figures and how far each is")


def _checks(checks: list[Check], zone: ZoneInfo) -> None:
    st.header("Checks of the data", anchor=False)
    if not checks:
        st.caption("No check has run yet.")
        return
    ranked = sorted(checks, key=lambda check: (_ORDER.get(check.status, 0), check.name))
    frame = pd.DataFrame(
        [
            {
                "State": {"ok": "✓ Passed", "warn": "▲ Remark", "failed": "✕ Failed"}.get(check.status, check.status),
                "Check": _words(check.name).capitalize(),
                "What it found": check.message or "",
                "Ended": money.moment(check.finished_at, zone),
            }
            for check in ranked
        ]
    )
    tables.show(frame, key="checks", alt="Checks of the data and how they ended")


def _versions(versions: Sequence[WarehouseVersionRead], zone: ZoneInfo) -> None:
    """The figures as they stood when days ended: how they are asked again."""
    st.header("Earlier versions of the figures", anchor=False)
    earlier = [one for one in versions if not one["is_current"]]
    if not earlier:
        st.caption("None is kept yet: the first one is when a day (UTC) has ended.")
        return
    frame = pd.DataFrame(
        [
            {
                "Published": money.moment(datetime.fromisoformat(one["published_at"]), zone),
                "Version": one["version"],
                "Checks": ", ".join(f"{count} {_ENDED.get(state, state)}" for state, count in one["checks"].items()),
            }
            for one in earlier
        ]
    )
    tables.show(frame, key="versions", alt="Kept versions of the figures, newest first")
    st.caption("`warehouse_version=` asks any metric of one of them, as it answered then. Older ones are gone.")


def _processes(processes: list[Process], zone: ZoneInfo) -> None:
    st.header("Processes", anchor=False)
    if not processes:
        st.caption("This installation reports no processes here.")
        return
    frame = pd.DataFrame(
        [
            {
                "Process": _words(process.name).capitalize(),
                "State": (process.state or "unknown").capitalize(),
                "Seen": money.moment(process.seen_at, zone),
            }
            for process in processes
        ]
    )
    tables.show(frame, key="processes", alt="Processes and their state")


def _words(name: str) -> str:
    return name.replace("_", " ").replace(".", " · ")
