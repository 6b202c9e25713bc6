"""Conditions in CEL, Google's expression language: no loops, no side effects, no way out of it.

    deal.amount > 10000.0 && deal.stage == "Proposal" && event.actor != "import"

What it may name is declared; a name that is not is an error when the rule is saved, with those that are. What a record
does not have is null, and a comparison with it is no reason to act.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

import cel

from api.kernel.errors import Unprocessable
from api.rules.document import Document, OnEvent, subjects_of
from contracts.events.registry import EVENTS

#: Fields of a deal, and a value of each for trying a condition.
DEAL_FIELDS: Mapping[str, Any] = {
    "id": "", "pipeline_id": "", "stage_id": "", "stage": "", "status": "open", "amount": 1.5, "amount_minor": 150,
    "currency": "EUR", "owner_id": "", "company_id": "", "contact_id": "", "source_id": "", "source": "",
    "close_date": "2026-01-31", "score": 0.5, "days_in_stage": 1.5, "days_idle": 1.5, "age_days": 1.5,
    "stage_changes": 1, "custom": {},
}  # fmt: skip
_TEXT = re.compile(r"""r?"(?:[^"\\]|\\.)*"|r?'(?:[^'\\]|\\.)*'""")
_PATH = re.compile(r"(?<![\w.])(deal|contact|company|event)\s*\.\s*(\w+)")


class BadCondition(Unprocessable):
    """The condition cannot be used."""

    code, pointer = "bad_condition", "/document/when"

    def __init__(self, problem: str) -> None:
        super().__init__(f"The condition cannot be used: {problem}", pointer=self.pointer)


@dataclass(frozen=True)
class Condition:
    """A compiled condition, and the fields it looks at as `deal.amount`."""

    program: Any
    fields: frozenset[str]
    looks_at_now: bool

    def holds(self, context: Any) -> bool:  # noqa: ANN401 # the library has no types
        """Whether it is so. What cannot be compared is not."""
        try:
            return self.program.execute(context) is True
        except (TypeError, ValueError, KeyError, RuntimeError):
            return False


@lru_cache(maxsize=4_096)
def compiled_condition(text: str) -> Condition | None:
    """A condition, which was checked when it was saved; None is one that always holds."""
    if not text.strip():
        return None
    program = cel.compile(text)
    paths = frozenset(f"{root}.{name}" for root, name in _PATH.findall(_TEXT.sub('""', text)))
    return Condition(program, paths, "now" in program.references()["variables"])


def context_of(conditions: Iterable[Condition], roots: Mapping[str, Mapping[str, Any]], now: datetime) -> Any:  # noqa: ANN401 # the library has no types
    """What several conditions are asked about: only the fields that one of them looks at, for each costs."""
    given: dict[str, dict[str, Any]] = {}
    looks_at_now = False
    for condition in conditions:
        looks_at_now = looks_at_now or condition.looks_at_now
        for path in condition.fields:
            root, name = path.split(".", 1)
            given.setdefault(root, {})[name] = roots.get(root, {}).get(name)
    return cel.Context(variables={**given, "now": now} if looks_at_now else given)


def declared(document: Document) -> dict[str, Mapping[str, Any]]:
    """What the condition of a rule may name: fields by root, with a value of each."""
    roots: dict[str, Mapping[str, Any]] = {}
    for subject in subjects_of(document.trigger):
        roots[subject] = DEAL_FIELDS if subject == "deal" else _fields_of(subject)
    event: dict[str, Any] = {"type": "", "actor": "", "actor_id": "", "depth": 0}
    if isinstance(document.trigger, OnEvent):
        event |= _event_fields(document.trigger.event)
    return roots | {"event": event}


def check(document: Document, *, now: datetime) -> None:
    """Refuse a condition that cannot be read, names what is not declared, or is no yes or no.

    Raises:
        BadCondition: it says what and where.
    """
    if not document.when.strip():
        return
    try:
        condition = compiled_condition(document.when)
    except ValueError as error:
        raise BadCondition(_first_line(error)) from error
    if condition is None:
        return
    roots = declared(document)
    _check_names(condition, roots, document.when)
    try:
        answer = condition.program.execute(context_of([condition], roots, now))
    except KeyError as error:
        if "deal.custom" in condition.fields:  # which custom fields a deal has is known only when it is looked at
            return
        raise BadCondition(_explained(error)) from error
    except (TypeError, ValueError, RuntimeError) as error:
        raise BadCondition(_explained(error)) from error
    if not isinstance(answer, bool):
        raise BadCondition(f"it must answer true or false, and answers {answer!r} ({type(answer).__name__}).")


def _check_names(condition: Condition, roots: Mapping[str, Mapping[str, Any]], text: str) -> None:
    for path in sorted(condition.fields):
        root, name = path.split(".", 1)
        if root not in roots:
            raise BadCondition(f"this trigger knows no {root}; it knows {', '.join(sorted(roots))}.")
        if name not in roots[root]:
            raise BadCondition(f"{root} has no {name!r}; it has {', '.join(sorted(roots[root]))}.")
    bare = _TEXT.sub('""', text)
    for variable in sorted(condition.program.references()["variables"]):
        is_local = re.search(rf"\(\s*{variable}\s*,", bare) is not None  # of a macro: list.exists(x, …)
        if variable not in {*roots, "now"} and not is_local:
            raise BadCondition(f"there is no {variable!r}; there are {', '.join(sorted({*roots, 'now'}))}.")
    for root in roots:
        if re.search(rf"(?<![\w.]){root}\s*(?![\w.\s])", bare) or re.search(rf"(?<![\w.]){root}\s*$", bare):
            raise BadCondition(f"{root} is a record: name a field of it, as {root}.{min(roots[root])}.")


def _event_fields(event_type: str) -> dict[str, Any]:
    newest = max(version for kind, version in EVENTS if kind == event_type)
    schema = EVENTS[event_type, newest].model_json_schema()
    return {name: _sample(part) for name, part in schema.get("properties", {}).items()}


def _fields_of(subject: str) -> dict[str, Any]:
    fields: dict[str, Any] = {"id": "", "age_days": 1.5}
    for (name, version), kind in EVENTS.items():
        if kind.aggregate_type == subject and version == 1:
            fields |= _event_fields(name)
    return fields


_SAMPLES: Mapping[str, Any] = {"integer": 1, "number": 0.5, "boolean": True, "array": [], "object": {}}


def _sample(part: Mapping[str, Any]) -> Any:  # noqa: ANN401 # any JSON
    kinds = [part, *part.get("anyOf", ())]
    return next((_SAMPLES[one["type"]] for one in kinds if one.get("type") in _SAMPLES), "")


def _first_line(error: Exception) -> str:
    text = str(error).removeprefix("Failed to parse expression ").split("ERROR: <input>:")[-1]
    return text.splitlines()[0].strip()


def _explained(error: Exception) -> str:
    text = str(error)
    if "No such overload" in text:
        return (
            "it compares or combines values of different types (texts are in quotes, 10.0 is a number with decimals)."
        )
    return text.splitlines()[0]
