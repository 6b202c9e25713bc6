"""Conditions in CEL, Google's expression language: no loops, no side effects, no way out of it.

    deal.amount > 10000.0 && deal.stage == "Proposal" && event.actor != "import"

What a condition may name is declared by whoever asks; a name that is not is an error when it is saved, with those that
are. What a record does not have is null, and a comparison with it is no reason to act.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

import cel

from api.kernel.errors import Unprocessable

Roots = Mapping[str, Mapping[str, Any]]

_TEXT = re.compile(r"""r?"(?:[^"\\]|\\.)*"|r?'(?:[^'\\]|\\.)*'""")
#: What goes through a list, also in quotes: how texts are written may hide nothing.
_THROUGH_A_LIST = re.compile(r"\b(?:map|filter|all|exists|exists_one|existsOne)(?:\s|//[^\n]*\n)*\(")
#: One list inside another takes as long as both sizes multiplied; a third would keep everybody waiting.
_MOST_LISTS = 2
_PATH = re.compile(r"(?<![\w.])(deal|contact|company|event|recipient|metric)\s*\.\s*(\w+)")


class BadCondition(Unprocessable):
    """The condition cannot be used."""

    code, pointer = "bad_condition", "/document/when"

    def __init__(self, problem: str, *, pointer: str | None = None) -> None:
        super().__init__(f"The condition cannot be used: {problem}", pointer=pointer)


@dataclass(frozen=True)
class Condition:
    """A compiled condition, the fields it looks at as `deal.amount`, and what it says in quotes."""

    program: Any
    fields: frozenset[str]
    said: frozenset[str]
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
    said = frozenset(quoted.strip("r\"'") for quoted in _TEXT.findall(text))
    return Condition(program, paths, said, "now" in program.references()["variables"])


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


def lists_in(text: str) -> int:
    """How many lists an expression goes through."""
    return len(_THROUGH_A_LIST.findall(text))


def check(text: str, roots: Roots, *, now: datetime, pointer: str | None = None) -> None:
    """Refuse a condition that cannot be read, names what `roots` do not declare, or is no yes or no.

    Raises:
        BadCondition: it says what and where.
    """
    if (problem := _problem(text, roots, now)) is not None:
        raise BadCondition(problem, pointer=pointer)


def _problem(text: str, roots: Roots, now: datetime) -> str | None:
    if lists_in(text) > _MOST_LISTS:
        return "it may go through two lists only."
    try:
        condition = compiled_condition(text)
    except ValueError as error:
        return _first_line(error)
    if condition is None:
        return None
    if (unknown := _unknown_name(condition, roots, text)) is not None:
        return unknown
    try:
        answer = condition.program.execute(context_of([condition], roots, now))
    except KeyError as error:
        # which custom fields a record has is known only when it is looked at
        return None if any(path.endswith(".custom") for path in condition.fields) else _explained(error)
    except (TypeError, ValueError, RuntimeError) as error:
        return _explained(error)
    if not isinstance(answer, bool):
        return f"it must answer true or false, and answers {answer!r} ({type(answer).__name__})."
    return None


def _unknown_name(condition: Condition, roots: Roots, text: str) -> str | None:
    for path in sorted(condition.fields):
        root, name = path.split(".", 1)
        if root not in roots:
            return f"it knows no {root} here; it knows {', '.join(sorted(roots))}."
        if name not in roots[root]:
            return f"{root} has no {name!r}; it has {', '.join(sorted(roots[root]))}."
    bare = _TEXT.sub('""', text)
    for variable in sorted(condition.program.references()["variables"]):
        is_local = re.search(rf"\(\s*{variable}\s*,", bare) is not None  # of a macro: list.exists(x, …)
        if variable not in {*roots, "now"} and not is_local:
            return f"there is no {variable!r}; there are {', '.join(sorted({*roots, 'now'}))}."
    for root in roots:
        if re.search(rf"(?<![\w.]){root}\s*(?![\w.\s])", bare) or re.search(rf"(?<![\w.]){root}\s*$", bare):
            return f"{root} is a record: name a field of it, as {root}.{min(roots[root])}."
    return None


def _first_line(error: Exception) -> str:
    text = str(error).removeprefix("Failed to parse expression ").split("ERROR: <input>:")[-1]
    return text.splitlines()[0].strip()


def _explained(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"there is no {error}."
    text = str(error)
    if "No such overload" in text:
        return (
            "it compares or combines values of different types (texts are in quotes, 10.0 is a number with decimals)."
        )
    return text.splitlines()[0]
