"""The rules page: what acts by itself, how it is changed, what it would have done, and what it did."""

import json
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import streamlit as st

from dashboards import client, money, record, rule_form, states, tables
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
_PAGES = {"deal": "deals", "contact": "contacts", "company": "companies"}
_LINK = {"Open": st.column_config.LinkColumn("Open", display_text="Open")}
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
        known = rule_form.known(who)
        edit, replay, log = st.tabs(["Edit", "Backtest", "Log"])
        with edit:
            _edit(who, chosen, known)
        with replay:
            _backtest(who, rules[chosen], zone)
        with log:
            _log(who, chosen, known, zone)


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
    tables.show(table, height="content", alt="All rules")
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
                st.warning("Choose the stage, or the people, below before you turn it on.")


def _edit(who: SignIn, rule_id: str, known: rule_form.Known) -> None:
    path = f"/v1/rules/{rule_id}"
    found = record.shown(who, path)
    rule = found.body
    if rule["disabled_because"]:
        st.error(_BECAUSE.get(rule["disabled_because"], "Turned off."))
    key = f"rule {rule_id} {rule['version']}"
    name = st.text_input("Name", value=rule["name"], max_chars=200, key=f"{key} name")
    modes = list(MODES)
    mode = st.selectbox(
        "Mode", modes, index=modes.index(rule["mode"]), format_func=MODES.__getitem__, key=f"{key} mode"
    )
    if st.toggle("As JSON", key=f"{key} json", help="All there is, figures of metrics too."):
        text = st.text_area("The rule as JSON", json.dumps(rule["document"], indent=2), height=340, key=f"{key} text")
        document = _read(text)
    else:
        document = rule_form.draw(rule["document"], key, known)
    if st.button("Save", type="primary", key=f"{key} save") and document is not None:
        _save(who, path, found, {"name": name.strip(), "mode": mode, "document": document})


def _read(text: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(text)
    except ValueError as error:
        st.error(f"The JSON cannot be read: {states.plain(str(error))}")
        return None
    return found


def _save(who: SignIn, path: str, found: client.Resource, body: dict[str, Any]) -> None:
    try:
        client.patch(who, path, body, etag=found.etag)
    except client.StaleError:
        st.error("Somebody changed this rule since you opened it; saving again would overwrite what they did.")
        st.button("Show what is there now", on_click=record.forget, args=[path])
    except client.RefusedError as refused:
        states.refused(refused)
        for field, problem in refused.fields.items():
            st.text(f"{field}: {problem}")
    else:
        record.forget(path)
        st.rerun()


def _backtest(who: SignIn, rule: dict[str, Any], zone: ZoneInfo) -> None:
    st.caption("What the rule would have done: the list that a live run over the same events has. Nothing is written.")
    today, trigger = datetime.now(UTC).astimezone(zone).date(), rule["document"]["trigger"]
    above = None
    with st.form("rule_backtest"):
        period = st.date_input("Period", (today - timedelta(days=_DAYS), today))
        if trigger["kind"] == "score":
            above = st.number_input("With the threshold", 0.01, 0.99, trigger["above"], 0.05)
        if not st.form_submit_button("Replay"):
            return
    if not isinstance(period, tuple) or len(period) != 2:
        st.info("Choose the first and the last day.")
        return
    begins, ends = period
    body = {"begins": _midnight(begins, zone), "ends": _midnight(ends + timedelta(days=1), zone), "above": above}
    with st.spinner("Replaying"):
        answer = client.post(who, f"/v1/rules/{rule['id']}/backtest", body).body
    columns = st.columns(4)
    columns[0].metric("Would have fired", f"{answer['fired']:,}")
    columns[1].metric("On records", f"{answer['records']:,}")
    columns[2].metric("Of these won", _share(answer["won"], answer["lost"]), help="Of those closed by now.")
    columns[3].metric("Of the others won", _share(answer["others_won"], answer["others_lost"]))
    shown = [
        {
            **_record(one),
            "When": money.moment(datetime.fromisoformat(one["at"]), zone),
            "Saw": _saw(one["facts"]),
            "Now": one["status_now"] or money.NOTHING,
            "People did next": one["next_by_people"] or money.NOTHING,
        }
        for one in answer["firings"]
    ]
    if shown:
        tables.show(shown, column_config=_LINK, alt="Firings of the replay")
        if answer["fired"] > len(shown):
            st.caption(f"{len(shown):,} of {answer['fired']:,} shown.")


def _worth(who: SignIn, rule_id: str, zone: ZoneInfo) -> None:
    """What the metrics say of the rule: how often it acted, what people took back, what became of those deals."""
    since = datetime.now(UTC).astimezone(zone).date() - timedelta(days=_DAYS)
    asked = {"from": since.isoformat(), "group_by": "rule"}
    answers = [client.figures(who, metric, asked) for metric in ("rule_firings", "rule_reversals", "rule_effect")]
    firings, reversals, effect = (
        next((row for row in answer.rows if row.get("group") == rule_id), {}) for answer in answers
    )
    shown = (
        ("Fired", money.count(firings.get("rule_firings") or 0), f"within {_DAYS} days, dry runs aside"),
        ("Did something", money.count(firings.get("acted") or 0), "the others would have, or were held back"),
        ("Taken back", money.share(reversals.get("reversal_rate")), "of its moves, by people within two weeks"),
        ("Won", money.share(effect.get("won_rate")), f"of {money.count(_decided(effect))} deals decided since"),
    )
    for column, (name, value, beside) in zip(st.columns(len(shown)), shown, strict=True):
        column.metric(name, value)
        column.caption(beside)
    states.provenance(answers[0], "Firings of each rule")


def _decided(effect: dict[str, Any]) -> int:
    return int(effect.get("won") or 0) + int(effect.get("lost") or 0)


def _log(who: SignIn, rule_id: str, known: rule_form.Known, zone: ZoneInfo) -> None:
    runs = client.get_all(who, f"/v1/rules/{rule_id}/runs", most=200)
    if not runs:
        states.nothing_here("It has not fired", "A rule in any mode but off writes here what it does, or would do.")
        return
    _worth(who, rule_id, zone)
    rows = [
        {
            **_record(run),
            "When": money.moment(datetime.fromisoformat(run["fired_at"]), zone),
            "Came of it": run["outcome"].replace("_", " "),
            "Why": run["detail"] or "",
            "Saw": _saw(run["facts"]),
            "Version": run["rule_version"],
        }
        for run in runs
    ]
    tables.show(rows, column_config=_LINK, alt="The newest firings")
    undo: Any = client.get(who, f"/v1/rules/{rule_id}/undo").body
    if undo:
        _changed(undo, known, zone)


def _changed(undo: list[dict[str, Any]], known: rule_form.Known, zone: ZoneInfo) -> None:
    """What the rule did to deals, and what of it stands: for whoever wants to take it back."""
    still = sum(item["can_undo"] for item in undo)
    st.caption(f"{len(undo)} changes of deals; {still} stand as the rule left them.")
    names = {**known.stages, **known.people}

    def words(facts: dict[str, Any]) -> str:
        return ", ".join(f"{name.removesuffix('_id')}: {names.get(value, value)}" for name, value in facts.items())

    rows = [
        {
            **_record(item),
            "When": money.moment(datetime.fromisoformat(item["fired_at"]), zone),
            "Before": words(item["before"]),
            "The rule made it": words(item["after"]),
            "Now": "as the rule left it" if item["can_undo"] else words(item["now"]) or "gone",
        }
        for item in undo
    ]
    with st.expander("What to take back, if it was wrong"):
        tables.show(rows, column_config=_LINK, alt="What the rule changed")


def _record(one: dict[str, Any]) -> dict[str, Any]:
    """The record that a line is about, by name and with a way to it."""
    page = _PAGES.get(one["subject_type"])
    return {
        "Open": f"/{page}?id={one['subject_id']}" if page else None,
        "Record": one["subject_title"] or money.NOTHING,
    }


def _saw(facts: dict[str, Any]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in facts.items())


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
