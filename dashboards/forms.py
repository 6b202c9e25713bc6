"""Fields of records in forms: drawn by what they hold, read as the API takes them, with what is wrong beside each.

A form keeps what was typed until it was taken: a refusal is drawn beside its fields in the next run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import streamlit as st

from contracts.money import MINOR_DIGITS
from dashboards import client, frames, money, states

#: A field's name in the API -> what is wrong with it; the empty name is of the form as a whole.
Problems = dict[str, str]

#: The type of custom fields that nobody fills.
COMPUTED = "computed"
_AMOUNT, _CURRENCY = "amount_minor", "currency"


#: What a field holds that can be chosen no more: somebody who left, a record beyond those that are listed.
PRESENT = "Stays as it is (not in this list)"


@dataclass(frozen=True)
class Shown:
    """A field of a form: its name in the API, what people call it, and what it holds: text, number, date, money, or one
    of `options`. Money is `amount_minor` and `currency`.
    """

    name: str
    label: str
    kind: str = "text"
    options: Mapping[str | None, str] = field(default_factory=dict)
    is_required: bool = False


@dataclass(frozen=True)
class People:
    """Who may own a record or stand in a field of people, by id; and the currency that amounts begin with."""

    names: Mapping[str | None, str]
    currency: str


@dataclass
class Given:
    """What a form holds, and what of it cannot be read."""

    values: dict[str, Any] = field(default_factory=dict)
    problems: Problems = field(default_factory=dict)

    def changed(self, since: Mapping[str, Any]) -> dict[str, Any]:
        """What is not as it was."""
        return {name: value for name, value in self.values.items() if value != since.get(name)}


def draw(fields: Sequence[Shown], values: Mapping[str, Any], key: str) -> Given:
    """Draw the fields of a form, and read them."""
    given, problems = Given(), kept(key)
    _say(problems.get(""))
    for one in fields:
        _draw(one, values, f"{key} {one.name}", given)
        _say(problems.get(one.name))
    return given


def draw_custom(definitions: Sequence[Mapping[str, Any]], values: Mapping[str, Any], key: str, people: People) -> Given:
    """Draw custom fields, and read them by their ids."""
    given, problems = Given(), kept(key)
    for one in definitions:
        if one["type"] == COMPUTED:
            continue
        _draw_custom(one, values.get(one["id"]), f"{key} {one['id']}", given, people)
        _say(problems.get(f"custom/{one['id']}"))
    return given


def keep(key: str, problems: Problems, *, fields: Sequence[str] = ()) -> None:
    """Remember what is wrong; what is of none of the `fields` is said of the form."""
    known = {name: text for name, text in problems.items() if name in fields or name.startswith("custom/")}
    others = [f"{name}: {text}" if name else text for name, text in problems.items() if name not in known]
    st.session_state[_problems(key)] = known | ({"": " ".join(others)} if others else {})


def keep_refusal(key: str, error: client.ApiError, fields: Sequence[Shown]) -> None:
    """Remember what the API refuses, each beside its field."""
    names = [one.name for one in fields] + [_CURRENCY]
    found = {_AMOUNT if name == _CURRENCY else name: text for name, text in error.fields.items()}
    keep(key, found or {"": error.message}, fields=names)


def forget(key: str) -> None:
    """Nothing is wrong any more."""
    st.session_state.pop(_problems(key), None)


def kept(key: str) -> Problems:
    """What was wrong when the form was sent last."""
    found: Problems = st.session_state.get(_problems(key), {})
    return found


def _problems(key: str) -> str:
    return f"problems {key}"


def _say(problem: str | None) -> None:
    if problem:
        st.markdown(f":red[:material/error: {states.plain(problem)}]")


def with_present(options: Mapping[Any, str], value: Any) -> dict[Any, str]:  # noqa: ANN401 # an id or a word
    """What may be chosen, and what is chosen now: who saves another field does not change it unseen."""
    return dict(options) if value is None or value in options else {**options, value: PRESENT}


def _draw(one: Shown, values: Mapping[str, Any], key: str, given: Given) -> None:
    value, label = values.get(one.name), states.plain(one.label)
    match one.kind:
        case "date":
            day = st.date_input(label, value=date.fromisoformat(value) if value else None, key=key)
            given.values[one.name] = day.isoformat() if isinstance(day, date) else None
        case "number":
            given.values[one.name] = st.number_input(label, value=value, step=1, key=key)
        case "money":
            amount = _draw_money(label, value, values.get(_CURRENCY) or "EUR", key, one.name, given)
            given.values |= amount
        case "choice":
            shown = with_present(one.options, value)
            options = list(shown)
            index = options.index(value) if value in shown else 0
            given.values[one.name] = st.selectbox(label, options, index, format_func=shown.__getitem__, key=key)
        case _:
            text = st.text_input(label, value=value or "", key=key).strip()
            given.values[one.name] = text or None
    if one.is_required and given.values.get(one.name) in (None, ""):
        given.problems[one.name] = "This is needed."


def _draw_money(
    label: str, amount_minor: int | None, currency: str, key: str, name: str, given: Given
) -> dict[str, Any]:
    """An amount as people write it, beside its currency."""
    left, right = st.columns([2, 1])
    text = left.text_input(label, value=frames.plain_amount(amount_minor, currency), placeholder="1240.50", key=key)
    codes = sorted(MINOR_DIGITS)
    code = right.selectbox("Currency", codes, codes.index(currency), key=f"{key} currency")
    try:
        return {_AMOUNT: money.read(text, code), _CURRENCY: code}
    except ValueError as error:
        given.problems[name] = str(error)
        return {}


def _draw_custom(one: Mapping[str, Any], value: Any, key: str, given: Given, people: People) -> None:  # noqa: ANN401
    name, kind = states.plain(one["name"]), one["type"]
    if kind == "choices":
        labels = {choice["id"]: choice["label"] for choice in one["choices"]}
        for choice in value or []:
            labels = with_present(labels, choice)
        chosen = st.multiselect(name, list(labels), value or [], format_func=labels.__getitem__, key=key)
        given.values[one["id"]] = sorted(chosen) or None
    elif kind == "number":
        number = st.number_input(name, value=float(value) if value is not None else None, key=key)
        given.values[one["id"]] = int(number) if number is not None and number.is_integer() else number
    elif kind == "money":
        now = value or {}
        code = now.get(_CURRENCY) or people.currency
        amount = _draw_money(name, now.get(_AMOUNT), code, key, f"custom/{one['id']}", given)
        given.values[one["id"]] = amount if amount.get(_AMOUNT) is not None else None
    else:
        options: dict[str | None, str] = {None: money.NOTHING}
        options |= {choice["id"]: choice["label"] for choice in one["choices"]} if kind == "choice" else people.names
        holds = {"choice": "choice", "person": "choice", "date": "date"}.get(kind, "text")
        _draw(Shown(one["id"], one["name"], holds, options), {one["id"]: value}, key, given)
    if one["is_required"] and given.values.get(one["id"]) is None:
        given.problems.setdefault(f"custom/{one['id']}", "This is needed.")
