"""What rules can do: each capability declares its actions in a module `actions` of its slice.

    ACTIONS = (ActionKind("deal.assign", "Assign the deal", AssignTo, _assign, subjects=("deal",), touches=(…)),)

An action decides first, by the pure rules that requests obey, and says what is to be written; nothing is, before all
actions of a rule have decided. `touches` are the events that say the same: one of them by somebody else, later than
what the rule saw, makes the action stale, and one by a person after the rule's own means that the person's word holds.
"""

import pkgutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

import api
from api.kernel.unit_of_work import UnitOfWork


class ActionParameters(BaseModel):
    """What a person says about an action."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass
class Acting:
    """One rule at work on one record: `subject_type` and `subject_id` say which. `held` is what its actions share."""

    unit: UnitOfWork
    rule_id: UUID
    rule_name: str
    owner_id: UUID | None  # whose rule it is
    subject_type: str
    subject_id: UUID
    facts: Mapping[str, Any]
    held: dict[str, Any] = field(default_factory=dict)
    writes: list[Callable[[], None]] = field(default_factory=list)


@dataclass(frozen=True)
class Decision:
    """What an action changes: ids and facts, for the log. Nothing, where it is so already."""

    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_change(self) -> bool:
        """Whether anything is to be done."""
        return dict(self.before) != dict(self.after)


@dataclass(frozen=True)
class ActionKind:
    """A kind of action; `subjects` are the types of records it works on, none: any. `goes_out`: it reaches others."""

    name: str
    title: str
    parameters: type[Any]
    decide: Callable[[Acting, Any], Awaitable[Decision]]
    subjects: tuple[str, ...] = ()
    touches: tuple[str, ...] = ()


@cache
def action_kinds() -> Mapping[str, ActionKind]:
    """Every action that a slice declares, by name."""
    return {
        kind.name: kind
        for package in pkgutil.iter_modules(api.__path__)
        if package.ispkg and find_spec(f"api.{package.name}.actions") and package.name != "kernel"
        for kind in import_module(f"api.{package.name}.actions").ACTIONS
    }
