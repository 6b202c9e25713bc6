"""All metrics and all their versions, read from `definitions/`. A definition's hash travels with every answer.

`definitions/<name>.yml` is the present version of a metric. A changed one leaves the version before as
`definitions/earlier/<name>@<version>.yml`, which answers as it did for whoever asks for it.
"""

import hashlib
import json
import logging
import re
from collections.abc import Iterable, Mapping
from datetime import date
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, model_validator

from metrics.entities import Entity, Name, Where, entity_of
from metrics.errors import ParameterError, UnknownEntityError, UnknownMetricError

_log = logging.getLogger(__name__)

_DEFINITIONS = Path(__file__).parent / "definitions"

#: Names of clocks that a question decides: the asked cohort's, the instant that is known, and the instant spoken of.
COHORT, AS_OF, AT = "cohort", "as_of", "at"

#: Pieces of the calendar by which whatever is offered by month can be split.
CALENDAR = ("month", "week", "quarter", "fiscal_quarter", "fiscal_year")

#: The custom fields of the entity's record that are not personal; asked as `custom:<field_id>`.
CUSTOM = "custom"

#: Dimensions of any entity: none, the teams of its owner at the time, the month of the moment,
#: custom fields, and, where a moment is an exit, the stage that it leads to.
COMMON_DIMENSIONS = frozenset({"none", "team", "top_team", "month", "next_stage", "days", CUSTOM})


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Change(_Part):
    """One line of a metric's changelog. `on` is the first day on which the version answered."""

    version: int = Field(ge=1)
    change: str
    on: date | None = None


class Facts(_Part):
    """Facts of the entity whose clock lies in the period, or which stand at the instant that is asked about."""

    clock: Name
    where: Where = {}


class Figure(_Part):
    """A figure of the metric: a number of facts, their amount, a percentile of their days, or a ratio of such figures.

    In a derived metric `of` names another metric's figure (`bookings.deals_won`, of a version `bookings@1.deals_won`).
    """

    name: Name
    description: str
    counts: str = Field(default="", description="The fact that is counted, where it bears another name.")
    aggregate: Literal["count", "amount", "days", "ratio"] = "count"
    percentile: float = Field(default=0.5, gt=0, lt=1, description="Of days.")
    part: list[Name] = Field(default=[], description="Figures whose sum a ratio divides.")
    whole: list[Name] = Field(default=[], description="Figures by whose sum it divides them.")
    of: str = ""
    is_per_stage: bool = Field(default=False, description="A fact may be behind it at several stages.")

    @property
    def fact(self) -> str:
        """Name of the facts behind the figure."""
        return self.counts or self.name

    @property
    def is_timed(self) -> bool:
        """Whether it speaks of days: only facts that have a duration are behind it."""
        return self.aggregate == "days"


class Definition(_Part):
    """What a metric counts, and how it may be asked.

    `kind` says how it is compiled: `facts` from what is declared here, any other by the code of that name.
    `type` and `type_params` follow dbt's semantic layer as far as that carries it; `policy` states the rest.
    """

    name: str = Field(pattern=r"^[a-z][a-z_]*$")
    label: str
    version: int = Field(ge=1)
    description: str
    entity: Annotated[Entity, BeforeValidator(lambda given: entity_of(given) if isinstance(given, str) else given)]
    kind: str = "facts"
    facts: dict[Name, Facts] = {}
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
    per_stage: bool = Field(default=False, description="Rows are per group and stage, also where no fact is.")
    keys: Literal["group", "owner_and_team"] = "group"
    scope: Literal["owner", "credited_owner"] = "owner"
    figures: list[Figure] = Field(min_length=1)
    policy: list[str]
    tests: list[str]
    changelog: list[Change]

    _bases: dict[str, "Definition"] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _is_consistent(self) -> "Definition":
        if not self.changelog or self.changelog[-1].version != self.version:
            raise ValueError("the changelog's last line must speak of the present version")
        offered = COMMON_DIMENSIONS | set(self.entity.dimensions)
        if not set(self.dimensions) <= offered:
            raise ValueError(f"dimensions must be among {', '.join(sorted(offered))}")
        clocks = {facts.clock for facts in self.facts.values()} | {c for c in self.cohorts if c != "entered"}
        if not clocks <= {COHORT, AS_OF, AT, *self.entity.clocks}:
            raise ValueError(f"clocks must be among {COHORT}, {AS_OF}, {', '.join(self.entity.clocks)}")
        own = [figure for figure in self.figures if not figure.of and figure.aggregate != "ratio"]
        if self.kind == "facts" and any(figure.fact not in self.facts for figure in own):
            raise ValueError("each figure counts one of the facts")
        return self

    @property
    def offered(self) -> list[str]:
        """What answers can be split by: the dimensions, and with months the other pieces of the calendar."""
        others = [piece for piece in CALENDAR if piece not in self.dimensions] if "month" in self.dimensions else []
        return [*self.dimensions, *others]

    @property
    def bases(self) -> Mapping[str, "Definition"]:
        """The definitions of other metrics that this one names, by the name it uses (`bookings`, `bookings@1`)."""
        return self._bases

    def rule(self, name: str) -> tuple["Definition", Figure]:
        """The definition and the figure whose rule a figure of this metric follows: its own, or another metric's.

        Raises:
            LookupError: there is no figure of that name.
        """
        figure = next((figure for figure in self.figures if figure.name == name), None)
        if figure is None:
            raise LookupError(f"{self.name} has no figure {name}")
        base, _, there = figure.of.partition(".")
        return self._bases[base].rule(there) if base else (self, figure)

    @cached_property
    def measures(self) -> list[Figure]:
        """The figures whose facts can be listed: all but ratios."""
        ruled = [(figure, self.rule(figure.name)[1]) for figure in self.figures]
        return [
            figure.model_copy(update={"aggregate": rule.aggregate, "percentile": rule.percentile})
            for figure, rule in ruled
            if rule.aggregate != "ratio"
        ]

    def measure(self, name: str) -> Figure | None:
        """The listable figure of that name."""
        return next((measure for measure in self.measures if measure.name == name), None)

    @property
    def percentiles(self) -> tuple[float, ...]:
        """Which percentiles of days its figures speak of."""
        return tuple(sorted({measure.percentile for measure in self.measures if measure.is_timed}))

    @property
    def has_money(self) -> bool:
        """Whether any of its figures is a sum of amounts, whatever the asked unit."""
        return any(measure.aggregate == "amount" for measure in self.measures)

    @property
    def _speaks_of_an_instant(self) -> bool:
        return any(facts.clock == AT for facts in self.facts.values())

    @cached_property
    def definition(self) -> str:
        """Hash of the canonical definition: `sha256:…`, with what it uses of its entity and of other metrics.

        The changelog is history and no part of it.
        """
        meaning = self.model_dump(mode="json", exclude={"changelog", "entity"})
        meaning["entity"] = self.entity.meaning(
            clocks=sorted({*self.cohorts, *self.defaults.values(), *(facts.clock for facts in self.facts.values())}),
            dimensions=self.dimensions,
            has_steps=self.kind != "facts" or "entered" in self.cohorts or self._speaks_of_an_instant,
        )
        # an earlier version names the version that it follows, which was the present one when it was published
        for figure in meaning["figures"]:
            figure["of"] = re.sub(r"@\d+", "", figure["of"])
        meaning["bases"] = {name.partition("@")[0]: base.definition for name, base in self._bases.items()}
        canonical = json.dumps(meaning, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()


class MissingBaseError(ValueError):
    """A definition derives from one that there is not."""

    def __init__(self, definition: Definition, reference: str) -> None:
        self.definition = definition
        super().__init__(f"{definition.name}@{definition.version} derives from {reference}, which there is not")


class Registry:
    """Definitions of every metric and version."""

    def __init__(self, found: Iterable[Definition]) -> None:
        by_name: dict[str, dict[int, Definition]] = {}
        for definition in found:
            versions = by_name.setdefault(definition.name, {})
            if versions.setdefault(definition.version, definition) is not definition:
                raise ValueError(f"{definition.name} has two versions {definition.version}")
        self._versions = {name: dict(sorted(by_name[name].items())) for name in sorted(by_name)}
        for versions in self._versions.values():
            for definition in versions.values():
                self._find_bases(definition, is_present=definition is self.present[definition.name])

    @cached_property
    def present(self) -> Mapping[str, Definition]:
        """The present version of every metric, in the order of names."""
        return {name: list(versions.values())[-1] for name, versions in self._versions.items()}

    def versions(self, name: str) -> Mapping[int, Definition]:
        """All versions of a metric, the present one last.

        Raises:
            UnknownMetricError: there is none of that name.
        """
        try:
            return self._versions[name]
        except KeyError:
            raise UnknownMetricError(name) from None

    def get(self, name: str, version: int | None = None) -> Definition:
        """One metric's definition, the present one if no version is asked for.

        Raises:
            UnknownMetricError: there is none of that name.
            ParameterError: the metric has no such version.
        """
        versions = self.versions(name)
        if version is None:
            return self.present[name]
        if version not in versions:
            raise ParameterError("version", f"{name} has " + ", ".join(map(str, versions)))
        return versions[version]

    def _find_bases(self, definition: Definition, *, is_present: bool) -> None:
        for reference in sorted({figure.of.partition(".")[0] for figure in definition.figures if figure.of}):
            name, _, version = reference.partition("@")
            if not version and not is_present:
                raise ValueError(f"{definition.name}@{definition.version} must name the version of {name}")
            try:
                base = self.get(name, int(version) if version else None)
            except (UnknownMetricError, ParameterError) as error:
                raise MissingBaseError(definition, reference) from error
            if base.kind != "facts" or base.entity.name != definition.entity.name:
                raise ValueError(f"{definition.name} cannot derive from {name}")
            definition._bases[reference] = base  # the registry is what connects definitions


def load(folder: Path = _DEFINITIONS) -> Registry:
    """Read a folder of definitions.

    Raises:
        ValueError: a definition is wrong, or its file has another name than it.
    """
    return Registry(_read(path) for path in sorted(folder.glob("**/*.yml")))


def load_known(folder: Path = _DEFINITIONS) -> Registry:
    """The same without those that cannot be read, which the log names: newer than the code that runs, or half written.
    What derives from one of them is left out with it.
    """
    found: list[Definition] = []
    for path in sorted(folder.glob("**/*.yml")):
        try:
            found.append(_read(path))
        except (ValueError, TypeError, LookupError, UnknownEntityError, OSError, yaml.YAMLError) as error:
            _log.error("metric %s is left out: %s. Mend it, or ./sluice reload for newer code", path.stem, error)
    while True:
        try:
            return Registry(found)
        except MissingBaseError as error:
            _log.error("metric %s is left out: %s", error.definition.name, error)
            found = [one for one in found if one is not error.definition]


def _read(path: Path) -> Definition:
    definition = Definition.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    is_earlier = path.parent.name == "earlier"
    if path.stem != (f"{definition.name}@{definition.version}" if is_earlier else definition.name):
        raise ValueError(f"{path.name} defines {definition.name!r}, version {definition.version}")
    return definition


@cache
def registry() -> Registry:
    """The definitions of this package, as far as the code that runs knows them."""
    return load_known()


def definitions() -> Mapping[str, Definition]:
    """The present version of every metric by name, in the order of names."""
    return registry().present


def definition_of(name: str, version: int | None = None) -> Definition:
    """One metric's definition; raises as `Registry.get`."""
    return registry().get(name, version)
