"""Distribution: who gets new deals, and who got the last ones and why."""

from datetime import datetime
from functools import partial

import streamlit as st

from contracts.calls import distribution
from contracts.calls.schemas import DistributionRuleCreate, DistributionRuleRead
from dashboards import client, money, states, tables
from dashboards.answers import Me
from dashboards.pages import Page
from dashboards.session import SignIn

PAGE = Page("Distribution", icon="alt_route", group="Admin", position=16, roles=frozenset({"owner", "admin"}))

_METHODS = {"round_robin": "In turn", "weighted": "In turn, by weight", "least_busy": "Whoever has fewest open deals"}


def render(who: SignIn, me: Me) -> None:
    """Draw the page."""
    st.title("Distribution", anchor=False)
    st.caption("The first active rule that fits a new deal decides whose it is.")
    with states.explained():
        people = client.people(who)
        pipelines = {one.id: one.name for one in client.pipelines(who)}
        rules = client.ask_all(who, partial(distribution.list_distribution_rules, limit=100))
        if not rules:
            states.nothing_here("No rule", "New deals are their creator's until you make one below.")
        for rule in rules:
            _rule(who, rule, people, pipelines)
        _create(who, people, pipelines)
        _made(who, me, people)


def _rule(who: SignIn, rule: DistributionRuleRead, people: dict[str, str], pipelines: dict[str, str]) -> None:
    with st.container(border=True):
        st.text(rule["name"] if rule["is_active"] else f"{rule['name']} (off)")
        where = [pipelines.get(rule["pipeline_id"] or "", "any pipeline"), rule["source"] or "any source"]
        when = "every new deal without an owner" if rule["is_automatic"] else "deals that ask for it"
        st.text(f"{_METHODS[rule['method']]} · {', '.join(where)} · {when}")
        rows = [
            {
                "Person": people.get(member["user_id"], "left"),
                "Weight": member["weight"],
                "Open deals at most": member["capacity"],
            }
            for member in rule["members"]
        ]
        tables.show(rows, height="content", alt=f"Members of {rule['name']}")
        rule_id, version = rule["id"], rule["version"]
        switched = distribution.update_distribution_rule(rule_id, {"is_active": not rule["is_active"]}, version=version)
        left, right = st.columns(2)
        switch = "Turn off" if rule["is_active"] else "Turn on"
        if left.button(switch, key=f"switch {rule['id']}"):
            states.tried(lambda: client.ask(who, switched))
        if right.button("Delete", key=f"delete {rule['id']}", icon=":material/delete:"):
            states.tried(lambda: client.ask(who, distribution.delete_distribution_rule(rule_id, version=version)))


def _create(who: SignIn, people: dict[str, str], pipelines: dict[str, str]) -> None:
    with st.form("new rule", clear_on_submit=True):
        name = st.text_input("A new rule", max_chars=120)
        pipeline = st.selectbox(
            "Pipeline", [None, *pipelines], format_func=lambda one: pipelines.get(one, "Any") if one else "Any"
        )
        source = st.text_input("Source (empty: any)")
        method = st.selectbox("Method", list(_METHODS), format_func=_METHODS.__getitem__)
        members = st.multiselect("People, in the order of their turns", list(people), format_func=people.__getitem__)
        capacity = st.number_input("Open deals of each at most (empty: any number)", value=None, min_value=1, step=1)
        fallback = st.selectbox(
            "Who takes what they cannot", [None, *people], format_func=lambda one: people.get(one, "Nobody: it waits")
        )
        is_automatic = st.checkbox("Also deals that name no owner", value=True)
        is_sent = st.form_submit_button("Make it", icon=":material/add:")
    if is_sent:
        body: DistributionRuleCreate = {
            "name": name,
            "pipeline_id": pipeline,
            "source": source.strip() or None,
            "method": method,  # type: ignore[typeddict-item] # one of its methods
            "members": [{"user_id": one, "capacity": capacity} for one in members],
            "fallback_user_id": fallback,
            "is_automatic": is_automatic,
        }
        states.tried(lambda: client.ask(who, distribution.create_distribution_rule(body)))


def _made(who: SignIn, me: Me, people: dict[str, str]) -> None:
    st.header("The last ones", anchor=False)
    made = client.ask(who, distribution.list_distributions(limit=20))["items"]
    if not made:
        states.nothing_here("Nothing yet", "What a rule gives to whom, and why, stands here.")
        return
    rows = [
        {
            "When": money.moment(datetime.fromisoformat(one["created_at"]), me.organization.zone),
            "Rule": one["rule"],
            "Went to": people.get(one["user_id"], "left") if one["user_id"] else "nobody yet",
            "Why": one["reason"],
            "Deal": f"/deals?id={one['deal_id']}",
        }
        for one in made
    ]
    shown = {"Deal": st.column_config.LinkColumn("Deal", display_text="Open")}
    tables.show(rows, column_config=shown, height="content", alt="The last deals distributed")
