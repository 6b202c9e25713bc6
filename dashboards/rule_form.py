"""A rule as a form: what sets it off, on which condition, what it does and its limits, with names instead of ids.

What an action wants to know is declared by its kind as a JSON Schema: new kinds of actions are drawn by themselves.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import time
from typing import Any

import streamlit as st

from dashboards import client, states
from dashboards.session import SignIn

Json = dict[str, Any]
Names = Mapping[Any, str]

TRIGGERS = {
    "event": "Something happens",
    "score": "A score reaches a threshold",
    "time_in_stage": "A deal stands in a stage",
    "no_activity": "Nobody does anything about a deal",
    "schedule": "At a time of the day",
}
_DAYS = {1: "Mon", 2: "Tue", 3: "Wed", 4: "Thu", 5: "Fri", 6: "Sat", 7: "Sun"}
_ANYBODY = {"owner": "The record's owner", "rule_owner": "The rule's owner"}
_LIMITS = {
    "debounce_minutes": "Wait for quiet (minutes)",
    "cool_down_hours": "Not again on the same record for (hours)",
    "most_per_hour": "At most per hour",
    "hold_days": "A person's word holds for (days)",
}


@dataclass(frozen=True)
class Known:
    """What can be chosen: events, fields of conditions, actions by name; stages, people and campaigns by id."""

    events: list[str]
    deal_fields: list[str]
    actions: Mapping[str, Json]
    stages: Names
    people: Names
    campaigns: Names


def known(who: SignIn) -> Known:
    """Ask for it."""
    vocabulary: Any = client.get(who, "/v1/rules/vocabulary").body
    return Known(
        vocabulary["events"],
        vocabulary["deal_fields"],
        {one["name"]: one for one in vocabulary["actions"]},
        {stage.id: f"{pipeline.name}: {stage.name}" for pipeline in client.pipelines(who) for stage in pipeline.stages},
        {one["id"]: one["name"] for one in client.get_all(who, "/v1/users") if one.get("is_active", True)},
        {one["id"]: one["name"] for one in client.get_all(who, "/v1/campaigns")},
    )


def draw(document: Mapping[str, Any], key: str, choices: Known) -> Json:
    """Draw a document; answers it as it stands in the form."""
    trigger = _trigger(document["trigger"], f"{key} trigger", choices)
    when = st.text_area(
        "Condition (CEL; empty: always)",
        value=document["when"],
        height=70,
        key=f"{key} when",
        help="A deal has " + ", ".join(f"`deal.{name}`" for name in choices.deal_fields) + ".",
    )
    actions = _actions(document["actions"], f"{key} actions", choices)
    limits = _limits(document, f"{key} limits")
    return {**document, "trigger": trigger, "when": when, "actions": actions, **limits}


def _trigger(given: Json, key: str, choices: Known) -> Json:
    kinds = list(TRIGGERS)
    kind = st.selectbox("When", kinds, index=kinds.index(given["kind"]), format_func=TRIGGERS.__getitem__, key=key)
    before = given if given["kind"] == kind else {}
    found: Json = {"kind": kind}
    match kind:
        case "event":
            found["event"] = _one(
                "Event", {one: one for one in choices.events}, before.get("event", "deal.created"), f"{key} event"
            )
        case "score":
            subjects = {"deal": "a deal", "contact": "a lead"}
            found["subject"] = _one("Score of", subjects, before.get("subject"), f"{key} subject")
            found["above"] = st.number_input("Reaches", 0.0, 1.0, before.get("above", 0.7), 0.05, key=f"{key} above")
            found["hysteresis"] = st.number_input(
                "And counts again after it was lower by",
                0.0,
                1.0,
                before.get("hysteresis", 0.05),
                0.01,
                key=f"{key} back",
            )
        case "schedule":
            at = st.time_input("At", time.fromisoformat(before.get("at", "09:00")), key=f"{key} at")
            found["at"] = at.strftime("%H:%M")
            found["weekdays"] = _days(before.get("weekdays", list(_DAYS)), f"{key} weekdays")
        case _:
            found["days"] = st.number_input("For days", 0.0, 3650.0, float(before.get("days", 14)), key=f"{key} days")
            if kind == "time_in_stage":
                stages = {None: "Any open stage", **choices.stages}
                found["stage_id"] = _one("Stage", stages, before.get("stage_id"), f"{key} stage")
    return found


def _actions(given: list[Json], key: str, choices: Known) -> list[Json]:
    """The actions, each with a place of its own, so that taking one out leaves the others as they were typed."""
    places: list[tuple[int, Json]] = st.session_state.setdefault(key, list(enumerate(given)))
    found = []
    for number, action in places:
        with st.container(border=True):
            found.append(_action(action, f"{key} {number}", choices))
            if len(places) > 1 and st.button("Leave out", key=f"{key} out {number}"):
                st.session_state[key] = [one for one in places if one[0] != number]
                st.rerun()
    if st.button("Another action", key=f"{key} more"):
        after = 1 + max(number for number, _ in places)
        st.session_state[key] = [*places, (after, {"do": "task.create", "with": {}})]
        st.rerun()
    return found


def _action(given: Json, key: str, choices: Known) -> Json:
    titles = {given["do"]: given["do"]} | {name: one["title"] for name, one in choices.actions.items()}
    do = _one("Does", titles, given["do"], f"{key} do")
    if do not in choices.actions:
        st.caption("Sluice does not know this action any more. It stays as it is until you choose another.")
        return given
    schema, before = choices.actions[do]["parameters"], given.get("with", {}) if do == given["do"] else {}
    if schema.get("description"):
        st.caption(states.plain(schema["description"]))
    required = schema.get("required", ())
    told = {}
    for name, part in schema.get("properties", {}).items():
        value = _parameter(
            name, _resolved(part, schema), before.get(name, part.get("default")), f"{key} {name}", choices
        )
        if value not in (None, "", []) or name in required:
            told[name] = value
    return {"do": do, "with": told}


def _resolved(part: Json, schema: Json) -> Json:
    """A property's own schema: of several the first that is not null, and what it refers to."""
    kinds = [one for one in part.get("anyOf", [part]) if one.get("type") != "null"]
    names = [one["$ref"].rsplit("/", 1)[-1] for one in (*kinds, *part.get("allOf", ())) if "$ref" in one]
    found = schema["$defs"][names[0]] if names else kinds[0]
    return {"title": part.get("title", ""), **found, "is_person": any("const" in one or "enum" in one for one in kinds)}


def _parameter(name: str, part: Json, value: Any, key: str, choices: Known) -> Any:  # noqa: ANN401  # JSON
    label = name.removesuffix("_ids").removesuffix("_id").removesuffix("_minor").replace("_", " ").capitalize()
    by_id = {"stage_id": choices.stages, "user_id": choices.people, "campaign_id": choices.campaigns}
    if name in by_id:
        return _one(label, {None: "–", **by_id[name]}, value, key)
    if name == "user_ids":
        chosen = [one for one in value or [] if one in choices.people]
        about = "Whoever of these has the fewest open deals"
        return st.multiselect(about, list(choices.people), chosen, format_func=choices.people.__getitem__, key=key)
    if part["is_person"] and "enum" not in part:
        return _one(label, {**_ANYBODY, **choices.people}, value, key)
    if "enum" in part:
        return _one(label, {one: str(one).replace("_", " ") for one in part["enum"]}, value, key)
    match part.get("type"):
        case "integer":
            label += " in the currency's smallest unit" if name.endswith("_minor") else ""
            return st.number_input(label, value=value, step=1, key=key)
        case "number":
            return st.number_input(label, value=None if value is None else float(value), key=key)
        case "array":
            words = st.text_input(label, ", ".join(value or []), key=key, help="Several: with commas.")
            return [word.strip() for word in words.split(",") if word.strip()]
        case _:
            return st.text_input(label, value or "", key=key)


def _limits(document: Mapping[str, Any], key: str) -> Json:
    with st.expander("Limits"):
        found: Json = {}
        for place, (name, label) in zip(st.columns(len(_LIMITS)), _LIMITS.items(), strict=True):
            value = document[name]
            found[name] = place.number_input(label, min_value=type(value)(0), value=value, key=f"{key} {name}")
        found["on_imports"] = st.checkbox("Also on what imports bring", document["on_imports"], key=f"{key} imports")
        window = document["window"]
        if not st.checkbox("Only at some hours", window is not None, key=f"{key} window"):
            return found | {"window": None}
        window = window or {"weekdays": [1, 2, 3, 4, 5], "begins": "09:00", "ends": "18:00"}
        begins, ends = (
            st.time_input(label, time.fromisoformat(window[name]), key=f"{key} {name}").strftime("%H:%M")
            for label, name in (("From", "begins"), ("Until", "ends"))
        )
        weekdays = _days(window["weekdays"], f"{key} weekdays")
        return found | {"window": {"weekdays": weekdays, "begins": begins, "ends": ends}}


def _days(given: list[int], key: str) -> list[int]:
    return sorted(st.multiselect("On", list(_DAYS), default=given, format_func=_DAYS.__getitem__, key=key))


def _one(label: str, options: Names, value: Any, key: str) -> Any:  # noqa: ANN401  # an id or a word
    """One of these; what is not among them any more is shown as it is."""
    shown = options if value in options or value is None else {value: f"unknown ({value})", **options}
    index = list(shown).index(value) if value in shown else 0
    return st.selectbox(label, list(shown), index=index, format_func=lambda one: shown[one], key=key)
