"""Scores of deals and leads held against what became of them, and a period's forecast in which scores weigh.

A score is a sum of money nowhere: it travels through `facts` as whole millionths, so that both engines add up the same.
"""

from functools import partial
from typing import Any

from contracts.stages import StageKind
from contracts.warehouse import Mart
from metrics import outlook
from metrics.cells import Cells, ratio
from metrics.change import Share, wilson
from metrics.compile import Statement
from metrics.dialect import DAY
from metrics.money import quotient
from metrics.question import Question

_ONE = 1_000_000
_SCORE = f"cast(round(score * {_ONE}) as bigint) as score_millionths"

#: Facts behind no figure: the squares of settled scores.
_SQUARES = "squares"


def build_calibration(
    statement: Statement, question: Question, *, since_then: str = "e.entered_at > s.scored_at"
) -> None:
    """Add `facts`: each deal's first score of the period; those that are settled, and those that came true.

    The horizon begins when the score was given: a deal that had stood still for longer could not have come true.
    """
    _add_first_scores(statement, question, subject="deal_id", mart=Mart.FCT_DEALS)
    _add_first_closings(statement, question, since_then)
    as_of = statement.bind(question.as_of, "timestamptz")
    elapsed = statement.dialect.microseconds_between
    statement.step(
        "subjects",
        "select s.score_id as subject_id, s.deal_id, s.owner_id, s.tenth, s.score, s.score_millionths, s.scored_at,\n"
        "  c.entered_at as closed_at, case\n"
        f"    when c.status = '{StageKind.WON}'"
        f" and {elapsed('s.given_at', 'c.entered_at')} <= s.horizon_days * {DAY} then 'won'\n"
        "    when c.entered_at is not null"
        f" or {elapsed('s.given_at', as_of)} > s.horizon_days * {DAY} then 'not won'\n"
        "    else 'open' end as outcome\n"
        "from first_scores s left join first_closings c on c.score_id = s.score_id",
    )
    _add_facts(statement, question, "won")


def build_outcomes(statement: Statement, question: Question) -> None:
    """The same, where a closing counts that was backdated to before the score: nobody knew of it when it was given."""
    build_calibration(statement, question, since_then="(e.left_at is null or e.left_at > s.scored_at)")


def build_conversions(statement: Statement, question: Question) -> None:
    """The same of leads: a score came true if a deal named the contact within the horizon."""
    _add_first_scores(statement, question, subject="contact_id", mart=Mart.FCT_LEADS, more="converted_at")
    as_of = statement.bind(question.as_of, "timestamptz")
    elapsed = statement.dialect.microseconds_between
    statement.step(
        "subjects",
        "select s.score_id as subject_id, s.contact_id, s.owner_id, s.tenth, s.score, s.score_millionths,\n"
        "  s.scored_at, s.converted_at, case\n"
        f"    when {elapsed('s.given_at', 's.converted_at')} <= s.horizon_days * {DAY} then 'converted'\n"
        "    when s.converted_at is not null"
        f" or {elapsed('s.given_at', as_of)} > s.horizon_days * {DAY} then 'not converted'\n"
        "    else 'open' end as outcome\n"
        "from first_scores s",
    )
    _add_facts(statement, question, "converted")


def _add_facts(statement: Statement, question: Question, success: str) -> None:
    group = "tenth" if question.parameters.group_by == "tenth" else "cast(null as text)"
    squared = f"cast(score_millionths as {statement.dialect.wide_integer}) * score_millionths"
    parts = [
        _facts("scored", group),
        _facts("settled", group, where="outcome <> 'open'"),
        _facts("won", group, where=f"outcome = '{success}'"),
        _facts(_SQUARES, group, where="outcome <> 'open'", counted=squared),
    ]
    statement.step("facts", "\nunion all ".join(parts))


def _add_first_scores(statement: Statement, question: Question, *, subject: str, mart: Mart, more: str = "") -> None:
    """Add `first_scores`, of what the viewer sees."""
    conditions, owners = [], question.viewer.owner_ids
    if owners is not None:
        conditions.append(statement.any_of("owner_id", sorted(owners)))
    columns = f"{subject}, owner_id" + (f", {more}" if more else "")
    statement.mart("seen", mart, columns=columns, known_at=question.as_of, conditions=conditions)
    start, end = statement.bind(question.starts_at, "timestamptz"), statement.bind(question.ends_at, "timestamptz")
    statement.mart(
        "given",
        Mart.FCT_SCORES,
        columns=f"score_id, {subject}, score, {_SCORE}, horizon_days, scored_at, known_from as given_at",
        known_at=question.as_of,
        conditions=[f"scored_at >= {start} and scored_at < {end}"],
    )
    number = f"row_number() over (partition by g.{subject} order by g.scored_at, g.score_id)"
    tenths = " ".join(
        f"when g.score_millionths < {place * _ONE // 10} then 'tenth_{place:02}'" for place in range(1, 10)
    )
    shown = "d.owner_id" + (f", d.{more}" if more else "")
    statement.step(
        "numbered_scores",
        f"select g.*, {shown}, {number} as place, case {tenths} else 'tenth_10' end as tenth\n"
        f"from given g join seen d on d.{subject} = g.{subject}",
    )
    statement.step("first_scores", "select * from numbered_scores where place = 1")


def _add_first_closings(statement: Statement, question: Question, since_then: str) -> None:
    """Add the `first_closings` after each score."""
    statement.mart(
        "closed_entries",
        Mart.FCT_STAGE_ENTRIES,
        columns="deal_id, entry_number, status, entered_at, left_at",
        known_at=question.as_of,
        conditions=[f"status in ('{StageKind.WON}', '{StageKind.LOST}')"],
    )
    statement.step(
        "numbered_closings",
        "select s.score_id, e.status, e.entered_at,\n"
        "  row_number() over (partition by s.score_id order by e.entered_at, e.entry_number) as place\n"
        f"from first_scores s join closed_entries e on e.deal_id = s.deal_id and {since_then}",
    )
    statement.step("first_closings", "select * from numbered_closings where place = 1")


def _facts(measure: str, group: str, *, where: str = "true", counted: str = "score_millionths") -> str:
    return (
        f"select subject_id, {group} as group_key, cast(null as uuid) as stage_id, '{measure}' as measure,\n"
        "  cast(null as uuid) as lost_reason_id, cast(null as bigint) as amount_minor,\n"
        "  cast(null as text) as currency,\n"
        f"  {counted} as counted_minor, cast(null as double precision) as days from subjects where {where}"
    )


def shape_calibration(question: Question, cells: Cells) -> list[dict[str, Any]]:
    """Rows per tenth of the scale: what was said on average, how many came true, and within which bounds by chance."""
    del question  # a group says all
    return [_calibration(cells, [group]) | {"group": group} for group in cells.groups()]


def total_calibration(question: Question, cells: Cells) -> list[dict[str, Any]]:
    """All tenths together."""
    del question
    return [_calibration(cells, cells.groups()) | {"group": None}]


def _calibration(cells: Cells, groups: list[str | None]) -> dict[str, Any]:
    def count(measure: str) -> int:
        return sum(cells.get(measure, group).facts for group in groups)

    def total(measure: str, scale: int = _ONE) -> float:
        return sum(cells.get(measure, group).amount_minor for group in groups) / scale

    scored, settled, won = (count(measure) for measure in ("scored", "settled", "won"))
    rate = ratio(won, settled)
    bounds = wilson(Share(won, settled)) if settled else (None, None)
    # the sum of (score - outcome)², an outcome being 0 or 1
    missed = total(_SQUARES, _ONE**2) - 2 * total("won") + won
    return {
        "scored": scored,
        "settled": settled,
        "open": scored - settled,
        "won": won,
        "forecast": ratio(total("settled"), settled),
        "won_rate": rate,
        "low": bounds[0],
        "high": bounds[1],
        "brier": ratio(missed, settled),
        "brier_reference": None if rate is None else rate * (1 - rate),
    }


def build_forecast(statement: Statement, question: Question) -> None:
    """Add the facts of a forecast in which an open deal weighs its newest score, and without one its stage's share."""
    outlook.build_forecast(statement, question, weigh=partial(_weigh, question))


def build_accuracy(statement: Statement, question: Question) -> None:
    """Add the facts of a forecast as it weighs stages, and beside them as it weighs scores."""

    def weigh(statement: Statement, source: str) -> str:
        by_stage, by_score = outlook.weighted(statement, source), _weigh(question, statement, source, "score_weighted")
        return f"{by_stage}\nunion all {by_score}"

    outlook.build_forecast(statement, question, weigh=weigh)


def _weigh(question: Question, statement: Statement, source: str, measure: str = "weighted") -> str:
    at = statement.bind(question.at, "timestamptz")
    statement.mart(
        "known_scores",
        Mart.FCT_SCORES,
        columns=f"deal_id as subject_id, {_SCORE},\n"
        "  row_number() over (partition by deal_id order by scored_at desc, known_from desc, score_id desc) as place",
        known_at=question.as_of,
        conditions=[f"scored_at <= {at}"],
    )
    statement.step(
        "weights",
        f"select c.subject_id, coalesce(s.score_millionths, o.won) as part, s.subject_id is not null as is_scored,\n"
        f"  case when s.subject_id is not null then {_ONE} else o.closed end as whole\n"
        f"from {source} c left join known_scores s on s.subject_id = c.subject_id and s.place = 1\n"
        "left join odds o on o.stage_id = c.stage_id",
    )
    amount = f"cast(c.counted_minor as {statement.dialect.wide_integer})"
    counted = quotient(statement, f"{amount} * w.part", "w.whole", halves_go_up=True)
    joined = f"from {source} c join weights w on w.subject_id = c.subject_id"
    weighted = outlook.COLUMNS.format(measure=f"'{measure}'", counted=counted)
    scored = outlook.COLUMNS.format(measure="'scored_deals'", counted="c.counted_minor")
    return f"select {weighted} {joined} where w.whole is not null\nunion all select {scored} {joined} where w.is_scored"


def shape_forecast(question: Question, cells: Cells) -> list[dict[str, Any]]:
    """Rows as of a forecast, with how many of the deals due have a score, and what those are worth."""
    rows = outlook.shape_forecast(question, cells)
    for row in rows:
        scored = cells.get("scored_deals", row["group"])
        row |= {"scored_deals": scored.facts, "scored_amount_minor": scored.amount_minor}
    return rows
