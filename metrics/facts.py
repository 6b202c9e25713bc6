"""The compiler of what a definition declares: counts, amounts, durations and ratios of any entity's facts.

A metric that derives from others looks at their facts and counts by their rules; facts that several of them count
are looked at once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from contracts.stages import StageKind
from metrics.cells import Cells, ratio
from metrics.compile import Statement
from metrics.moments import Looked, add_credited, add_moments, add_subjects
from metrics.question import Question, Stage
from metrics.registry import COHORT, Definition, Figure

#: The facts of another figure once more: at a weight, or those of them that have a score.
DERIVED = frozenset({"weighted", "score_weighted", "scored_deals"})


def build(statement: Statement, question: Question) -> None:
    """Add `facts`: what the metric counts, under the names that `key` tells."""
    add_looked_at(statement, question)
    # what stands in a stage tells of it, also where nobody asks by stage
    stage_id = "stage_id" if question.definition.per_stage else f"cast(null as {question.entity.key_type}) as stage_id"
    statement.step(
        "facts",
        f"select subject_id, group_key, {stage_id}, measure, cast(null as uuid) as lost_reason_id,\n"
        "  amount_minor, currency, counted_minor, days from credited",
    )


def add_looked_at(statement: Statement, question: Question) -> None:
    """Add `credited` with all facts that the metric's figures count."""
    add_subjects(statement, question)
    add_moments(statement, question, looked_at(question))
    add_credited(statement, question)


def key(question: Question, measure: Figure) -> str:
    """The name in the statement of the facts behind a figure."""
    return looked_at(question)[_facts_behind(question, *question.definition.rule(measure.name))]


def shape(question: Question, cells: Cells) -> list[dict[str, Any]]:
    """Rows per group, or per group and stage."""
    count = _Count(question, cells, looked_at(question))
    stages = _stages(question, cells, count.looked) if question.definition.per_stage else [None]
    return [
        _keys(question, group, stage) | _figures(count, group, stage)
        for group in cells.groups() or ([None] if question.definition.keys == "group" else [])
        for stage in stages
    ]


def looked_at(question: Question) -> dict[Looked, str]:
    """The distinct facts behind the metric's figures, and what the statement calls them."""
    looked: dict[Looked, str] = {}
    for figure in question.definition.figures:
        if figure.fact in DERIVED:
            continue
        for rule in _counted_by(question.definition, figure.name):
            looked.setdefault(_facts_behind(question, *rule), f"facts {len(looked)}")
    return looked


def _counted_by(definition: Definition, name: str) -> Iterator[tuple[Definition, Figure]]:
    """The rules by which a figure counts facts; a ratio has one for each of its parts."""
    owner, rule = definition.rule(name)
    if rule.aggregate != "ratio":
        yield owner, rule
    for part in (*rule.part, *rule.whole):
        yield from _counted_by(owner, part)


def _facts_behind(question: Question, definition: Definition, rule: Figure) -> Looked:
    """The facts that a rule of `definition` counts; an asked cohort goes before that definition's own."""
    facts = definition.facts[rule.fact]
    where = tuple((column, tuple(values)) for column, values in facts.where.items())
    if facts.clock != COHORT:
        return Looked(facts.clock, where=where)
    if COHORT in question.definition.parameters:
        cohort = question.parameters.cohort
        return Looked(cohort.kind, cohort.stage_id, where)
    return Looked(definition.defaults[COHORT], where=where)


@dataclass(frozen=True)
class _Count:
    """What a row's figures are read from."""

    question: Question
    cells: Cells
    looked: dict[Looked, str]

    def value(self, definition: Definition, name: str, group: str | None, stage_id: object) -> float | int | None:
        """A figure of a group (at a stage), by the rule that it follows."""
        owner, rule = definition.rule(name)
        if rule.aggregate == "ratio":
            part, whole = (
                sum(self.value(owner, each, group, stage_id) or 0 for each in names)
                for names in (rule.part, rule.whole)
            )
            return ratio(part, whole)
        cell = self.cells.get(self.looked[_facts_behind(self.question, owner, rule)], group, stage_id)
        match rule.aggregate:
            case "amount":
                return cell.amount_minor
            case "days":
                return cell.days.get(rule.percentile)
            case _:
                return cell.count(self.question.parameters.unit)


def _keys(question: Question, group: str | None, stage: Stage | None) -> dict[str, Any]:
    """What a row is about. An owner's `team_id` is the present team and tells nothing about the credit."""
    if question.definition.keys == "owner_and_team":
        if question.parameters.group_by != "owner":
            return {"owner_id": None, "team_id": group}
        return {"owner_id": group, "team_id": question.teams.of_user.get(group or "")}
    if stage is None:
        return {"group": group}
    return {
        "group": group,
        "pipeline_id": str(stage.pipeline_id),
        "stage_id": str(stage.stage_id),
        "position": stage.position,
    }


def _stages(question: Question, cells: Cells, looked: dict[Looked, str]) -> list[Stage | None]:
    """Open stages, pipeline by pipeline; another, and a retired one, only where a fact stands in it."""
    occupied = {stage for name in looked.values() for stage in cells.stages(name)}
    stages = [
        stage
        for stage in question.stages
        if str(stage.stage_id) in occupied or (stage.kind is StageKind.OPEN and not stage.is_retired)
    ]
    names = question.labels
    return [*sorted(stages, key=lambda s: (names.get(str(s.pipeline_id), ""), str(s.pipeline_id), s.rank))]


def _figures(count: _Count, group: str | None, stage: Stage | None) -> dict[str, Any]:
    """The figures as declared; the currency follows the first sum of money."""
    definition, found = count.question.definition, dict[str, Any]()
    for figure in definition.figures:
        if figure.fact in DERIVED:
            continue
        found[figure.name] = count.value(definition, figure.name, group, stage and stage.stage_id)
        if definition.rule(figure.name)[1].aggregate == "amount":
            found.setdefault("currency", count.question.currency)
    return found
