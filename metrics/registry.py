"""All metrics, read from `definitions/*.yml`. The hash of a definition travels with every answer made from it."""

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from metrics.errors import UnknownMetricError

_DEFINITIONS = Path(__file__).parent / "definitions"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Change(_Part):
    """One line of a metric's changelog."""

    version: int = Field(ge=1)
    change: str


class Measure(_Part):
    """A figure of the metric whose deals can be listed."""

    name: str
    description: str
    counts: str = Field(default="", description="The fact that is counted, where it bears another name.")
    is_per_stage: bool = Field(default=False, description="A deal may be behind it at several stages.")
    is_timed: bool = Field(default=False, description="Speaks of days: only facts that have a duration are behind it.")

    @property
    def fact(self) -> str:
        """Name of the facts behind the figure."""
        return self.counts or self.name


class Definition(_Part):
    """What a metric counts, and how it may be asked.

    `type` and `type_params` follow dbt's semantic layer as far as that carries it; `policy` states the rest.
    """

    name: str = Field(pattern=r"^[a-z][a-z_]*$")
    label: str
    version: int = Field(ge=1)
    description: str
    unit: str
    grain: str
    owner: str
    type: str
    type_params: dict[str, Any] = {}
    formula: str
    parameters: list[str]
    required: list[str] = []
    defaults: dict[str, str] = {}
    dimensions: list[str]
    cohorts: list[str] = []
    measures: list[Measure]
    policy: list[str]
    tests: list[str]
    changelog: list[Change]

    @model_validator(mode="after")
    def _changelog_ends_with_this_version(self) -> "Definition":
        if not self.changelog or self.changelog[-1].version != self.version:
            raise ValueError("the changelog's last line must speak of the present version")
        return self

    def measure(self, name: str) -> Measure | None:
        """The listable figure of that name."""
        return next((measure for measure in self.measures if measure.name == name), None)

    @property
    def definition(self) -> str:
        """Hash of the canonical definition: `sha256:…`. The changelog is history and no part of it."""
        canonical = json.dumps(
            self.model_dump(mode="json", exclude={"changelog"}),
            sort_keys=True,
            separators=(",", ":"),
            ensure_ascii=False,
        )
        return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()


@cache
def definitions() -> Mapping[str, Definition]:
    """Every definition by name, in the order of names."""
    found = {}
    for path in sorted(_DEFINITIONS.glob("*.yml")):
        definition = Definition.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        if definition.name != path.stem:
            raise ValueError(f"{path.name} defines {definition.name!r}")
        found[definition.name] = definition
    return found


def definition_of(name: str) -> Definition:
    """One metric's definition.

    Raises:
        UnknownMetricError: there is none of that name.
    """
    try:
        return definitions()[name]
    except KeyError:
        raise UnknownMetricError(name) from None
