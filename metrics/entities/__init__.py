"""What a metric can speak of: one YAML per entity, which declares its fact mart and how to read it.

A fact mart has one row per fact and interval of knowledge (`known_from`, `known_to`), so that every answer has an
`as_of`. Names of columns are read here and nowhere else; a metric's definition speaks of clocks, dimensions and steps.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from contracts.stages import StageKind
from metrics.errors import UnknownEntityError

#: What becomes part of a statement's text, so that a declaration cannot hold more than a name.
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]

#: Column -> the values of which it has one.
Where = dict[Name, list[str]]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Clock(_Part):
    """An instant of a fact by which it lies in a period. Where a metric speaks of days, they run from `since`."""

    at: Name
    since: Name | None = None
    where: Where = {}


class Dimension(_Part):
    """A column by which answers may be split: an id of something that people know by a name, or a word.

    It is read of the fact as it is where it `is_final`, else as it was at the moment (from the mart of the credit).
    """

    column: Name
    type: Literal["uuid", "text"] = "uuid"
    is_final: bool = False


class Credit(_Part):
    """The mart of what was true of a fact at a moment (`valid_from`, `valid_to`): owner, dimensions, amount."""

    mart: Name


class Amount(_Part):
    """What a fact is worth, in minor units of its currency."""

    column: Name
    currency: Name


class FixedStage(_Part):
    """A stage that every organization has. Open ones are passed in the order in which they are declared."""

    stage: Name
    label: str
    kind: StageKind


class Steps(_Part):
    """The mart of the entries into stages of which an ordered metric (a funnel) is made.

    Without `stages` they are those of the asked pipeline, and identified by UUIDs; else by their names.
    """

    mart: Name
    number: Name
    stage: Name
    next_stage: Name
    entered: Name
    left: Name
    reason: Name | None = None
    status: Name | None = None
    stages: list[FixedStage] = []


class Journey(_Part):
    """Columns of the fact's own mart that say the same as its steps: the build keeps them, so that nobody has to join.

    `path` are the ids of the stages that it entered, in their order, with a space between; a lost one's reason follows
    it after a colon. `entered` is the list of when.
    """

    path: Name
    entered: Name


def _read_dimension(given: object) -> object:
    return {"column": given} if isinstance(given, str) else given


class Entity(_Part):
    """One kind of fact. `owner` is who has it now; without `credit` its dimensions never change."""

    name: Name
    label: str
    plural: str
    description: str
    mart: Name
    id: Name
    owner: Name
    stage: Name | None = None
    clocks: dict[Name, Clock]
    credit: Credit | None = None
    dimensions: dict[Name, Annotated[Dimension, BeforeValidator(_read_dimension)]]
    amount: Amount | None = None
    steps: Steps | None = None
    journey: Journey | None = None
    rows: list[Name] = Field(description="Columns that a list of its facts shows.")

    @property
    def has_pipelines(self) -> bool:
        """Whether its stages are those of an organization's pipelines."""
        return self.steps is not None and not self.steps.stages

    @property
    def columns(self) -> list[str]:
        """Columns of its dimensions that change with time."""
        return [dimension.column for dimension in self.dimensions.values() if not dimension.is_final]

    @property
    def key_type(self) -> str:
        """SQL type of what identifies a stage."""
        return "text" if self.steps and self.steps.stages else "uuid"

    @property
    def named(self) -> frozenset[str]:
        """Fields of its rows that hold ids of people, teams and picklist values."""
        reason = {self.steps.reason} if self.steps and self.steps.reason else set()
        ids = {dimension.column for dimension in self.dimensions.values() if dimension.type == "uuid"}
        return frozenset({self.owner, *ids, *reason})

    def meaning(self, *, clocks: Iterable[str], dimensions: Iterable[str], has_steps: bool) -> dict[str, Any]:
        """What of the declaration decides figures by these clocks and dimensions: neither words nor what lists show."""
        clocks = list(clocks)
        used = {"name", "mart", "id", "owner", "stage", "credit", "amount", *(("steps",) if has_steps else ())}
        # what was declared later, and is not used, is no part of what was meant before
        left_out = {"steps": {"status"}} if self.steps and "at" not in clocks else None
        return self.model_dump(mode="json", include=used, exclude=left_out) | {
            "clocks": {name: self.clocks[name].model_dump(mode="json") for name in clocks if name in self.clocks},
            "dimensions": {
                name: self.dimensions[name].model_dump(exclude_defaults=True) | {"type": self.dimensions[name].type}
                for name in dimensions
                if name in self.dimensions
            },
        }


@cache
def entities() -> Mapping[str, Entity]:
    """Every entity by name."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("*.yml")):
        entity = Entity.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        if entity.name != path.stem:
            raise ValueError(f"{path.name} declares {entity.name!r}")
        found[entity.name] = entity
    return found


def entity_of(name: str) -> Entity:
    """One entity.

    Raises:
        UnknownEntityError: there is none of that name.
    """
    try:
        return entities()[name]
    except KeyError:
        raise UnknownEntityError(name) from None
