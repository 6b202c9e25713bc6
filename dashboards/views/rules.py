"""The rules page: what acts by itself, how it is changed, what it would have done, and what it did."""

import json
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import streamlit as st

from dashboards import client, money, states
from dashboards.answers import Me
from dashboards.pages import Page
from dashboards.session import SignIn

PAGE = Page("Rules", icon="bolt", group="Automate", position=1)

MODES = {
    "off": "Off",
    "dry_run": "Dry run: log what it would do",
    "shadow": "Shadow: log it and measure it, do nothing",
    "live": "Live",
}
_BECAUSE = {
    "loop_depth": "Turned off: it kept answering what rules did, eight times in a row.",
    "loop_self": "Turned off: what it did set it off again.",
}
_EDITORS = frozenset({"owner", "admin"})
_DAYS = 90


def render(who: SignIn, me: Me) -> None:
    """Draw the page."""
    st.title("Rules", anchor=False)
    with states.explained():
        rules = {rule["id"]: rule for rule in client.get_all(who, "/v1/rules")}
        may_edit = me.role in _EDITORS
        if may_edit:
            _new(who)
        if not rules:
            states.nothing_here("No rule yet", "Begin with one of the templates above; a new rule is off.")
            return
        chosen = _choose(rules)
        st.query_params["id"] = chosen
        zone = me.organization.zone
        if not may_edit:
            st.code(json.dumps(rules[chosen]["document"], indent=2), language="json")
            return
        edit, replay, log = st.tabs(["Edit", "Backtest", "Log"])
        with edit:
            _edit(who, chosen)
        with replay:
            _backtest(who, chosen, zone)
        with log:
            _log(who, chosen, zone)


def _choose(rules: dict[str, Any]) -> str:
    ids = list(rules)
    table = [
        {
            "Rule": rule["name"],
            "Mode": MODES[rule["mode"]].split(":")[0],
            "When": _words(rule["document"]["trigger"]),
            "Does": ", ".join(action["do"] for action in rule["document"]["actions"]),
            "Version": rule["version"],
        }
        for rule in rules.values()
    ]
    st.dataframe(table, hide_index=True, height="content", alt="All rules")
    asked = st.query_params.get("id")
    index = ids.index(asked) if asked in ids else 0
    return str(
        st.selectbox("Rule", ids, index=index, format_func=lambda one: f"{rules[one]['name']}", key="rule_chosen")
    )


def _new(who: SignIn) -> None:
    with st.expander("New rule"), st.form("rule_new", clear_on_submit=True):
        listed: Any = client.get(who, "/v1/rules/templates").body
        templates = {one["key"]: one for one in listed}
        key = st.selectbox("Begin with", list(templates), format_func=lambda one: templates[one]["name"])
        name = st.text_input("Name", max_chars=200)
        if st.form_submit_button("Create, turned off"):
            template = templates[key]
            body = {"name": name.strip() or template["name"], "document": template["document"]}
            made = client.post(who, "/v1/rules", body)
            st.query_params["id"] = str(made["id"])
            if template["fill_in"]:
                st.warning(f"Fill in before you turn it on: {', '.join(template['fill_in'])}.")


def _edit(who: SignIn, rule_id: str) -> None:
    found = client.get(who, f"/v1/rules/{rule_id}")
    rule = found.body
    if rule["disabled_because"]:
        st.error(_BECAUSE.get(rule["disabled_because"], "Turned off."))
    version = rule["version"]
    with st.form(f"rule_edit_{rule_id}_{version}"):
        name = st.text_input("Name", value=rule["name"], max_chars=200)
        modes = list(MODES)
        mode = st.selectbox("Mode", modes, index=modes.index(rule["mode"]), format_func=MODES.__getitem__)
        when = st.text_area("Condition (CEL; empty: always)", value=rule["document"]["when"], height=70)
        rest = {key: value for key, value in rule["document"].items() if key != "when"}
        text = st.text_area("What sets it off, what it does, limits (JSON)", json.dumps(rest, indent=2), height=340)
        if not st.form_submit_button("Save", type="primary"):
            return
    try:
        document = {**json.loads(text), "when": when}
    except (ValueError, TypeError) as error:
        st.error(f"The JSON cannot be read: {states.plain(str(error))}")
        return
    try:
        body = {"name": name.strip(), "mode": mode, "document": document}
        client.patch(who, f"/v1/rules/{rule_id}", body, etag=found.etag)
    except client.StaleError:
        st.error("Somebody changed this rule since you opened it. Reload the page to see their version.")
    except client.RefusedError as refused:
        states.refused(refused)
        for field, problem in refused.fields.items():
            st.text(f"{field}: {problem}")
    else:
        st.rerun()


def _backtest(who: SignIn, rule_id: str, zone: ZoneInfo) -> None:
    st.caption("What the rule would have done: the list that a live run over the same events has. Nothing is written.")
    today = datetime.now(UTC).astimezone(zone).date()
    with st.form("rule_backtest"):
        period = st.date_input("Period", (today - timedelta(days=_DAYS), today))
        if not st.form_submit_button("Replay"):
            return
    if not isinstance(period, tuple) or len(period) != 2:
        st.info("Choose the first and the last day.")
        return
    begins, ends = period
    body = {"begins": _midnight(begins, zone), "ends": _midnight(ends + timedelta(days=1), zone)}
    with st.spinner("Replaying"):
        answer = client.post(who, f"/v1/rules/{rule_id}/backtest", body).body
    columns = st.columns(4)
    columns[0].metric("Would have fired", f"{answer['fired']:,}")
    columns[1].metric("On records", f"{answer['records']:,}")
    columns[2].metric("Of these won", _share(answer["won"], answer["lost"]), help="Of those closed by now.")
    columns[3].metric("Of the others won", _share(answer["others_won"], answer["others_lost"]))
    shown = [
        {
            "Record": one["subject_id"],
            "When": money.moment(datetime.fromisoformat(one["at"]), zone),
            "Saw": json.dumps(one["facts"]),
            "Now": one["status_now"] or money.NOTHING,
            "People did next": one["next_by_people"] or money.NOTHING,
        }
        for one in answer["firings"]
    ]
    if shown:
        st.dataframe(shown, hide_index=True, alt="Firings of the replay")
        if answer["fired"] > len(shown):
            st.caption(f"{len(shown):,} of {answer['fired']:,} shown.")


def _log(who: SignIn, rule_id: str, zone: ZoneInfo) -> None:
    runs = client.get_all(who, f"/v1/rules/{rule_id}/runs", most=200)
    if not runs:
        states.nothing_here("It has not fired", "A rule in any mode but off writes here what it does, or would do.")
        return
    st.dataframe(
        [
            {
                "When": money.moment(datetime.fromisoformat(run["fired_at"]), zone),
                "Record": run["subject_id"],
                "Came of it": run["outcome"].replace("_", " "),
                "Why": run["detail"] or "",
                "Saw": json.dumps(run["facts"]),
                "Version": run["rule_version"],
            }
            for run in runs
        ],
        hide_index=True,
        alt="The newest firings",
    )
    undo: Any = client.get(who, f"/v1/rules/{rule_id}/undo").body
    if undo:
        still = sum(item["can_undo"] for item in undo)
        st.caption(f"{len(undo)} changes of deals; {still} stand as the rule left them.")


def _words(trigger: dict[str, Any]) -> str:
    kind = trigger["kind"]
    if kind == "event":
        return str(trigger["event"])
    if kind == "score":
        return f"score reaches {trigger['above']}"
    if kind == "schedule":
        return f"at {trigger['at']}"
    return f"{trigger['days']:g} days {'in a stage' if kind == 'time_in_stage' else 'without activity'}"


def _midnight(day: date, zone: ZoneInfo) -> str:
    return datetime.combine(day, time.min, tzinfo=zone).isoformat()


def _share(won: int, lost: int) -> str:
    return money.share(won / (won + lost)) if won + lost else money.NOTHING
