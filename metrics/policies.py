"""What a journey counts as: the declared policies over its steps, whoever went it.

A journey is a sequence of entries into stages: of one fact, or of all facts that went the same way. `order` and
`regress` decide `entered` alone. Visits are facts whatever the policy: still here, lost from here, moved back.
"""

from contracts.stages import StageKind
from metrics.compile import Statement
from metrics.parameters import Order, Regress
from metrics.question import Question, Stage

OPEN, WON, LOST = (f"'{kind.value}'" for kind in (StageKind.OPEN, StageKind.WON, StageKind.LOST))


def add_policies(statement: Statement, question: Question, *, is_read_then: bool = True) -> None:
    """Add `visits(journey, rank)` and `marks(journey, rank, measure, lost_reason_id)`: all that journeys count as.

    They read `steps(journey, entry_number, rank, kind, is_last, lost_reason_id, is_moved_back)`; `is_last` says
    where a journey stands.
    """
    # two visits are one
    statement.step(
        "visits",
        "select journey, rank, max(kind) as kind, max(is_moved_back) as is_moved_back from steps\n"
        "group by journey, rank",
    )
    _add_standing(statement, question)
    _add_counted(statement, question)
    _add_marks(statement, is_read_then=is_read_then)


def _add_standing(statement: Statement, question: Question) -> None:
    """`standing`: furthest stage of each journey, the one last entered before any loss, and the last one of all.

    The last stage is read from the greatest entry number in one pass: it is carried in the number's low digits.
    """
    base = statement.bind(len(question.stages) + 1, "bigint")
    last = f"entry_number * {base} + rank"
    statement.step(
        "standing",
        f"select journey, max(case when kind <> {LOST} then rank end) as furthest,\n"
        f"  mod(max(case when kind <> {LOST} then {last} end), {base}) as present,\n"
        f"  mod(max({last}), {base}) as last\n"
        "from steps group by journey",
    )


def _add_counted(statement: Statement, question: Question) -> None:
    """`counted(journey, rank)`: the stages at which a journey counts as entered."""
    is_current = question.parameters.regress is Regress.CURRENT
    if question.parameters.order is Order.REACHED:
        reach = "present" if is_current else "furthest"
        passed = (
            f"select t.journey, s.rank, s.kind from standing t\n"
            f"join stages s on s.rank <= t.{reach} and s.kind = {OPEN}\n"
            f"union all select journey, rank, kind from visits where kind <> {OPEN}"
        )
    elif question.parameters.order is Order.VISITED:
        passed = "select journey, rank, kind from visits"
    else:
        passed = _strict(statement, question)
    if is_current:
        passed = (
            "select p.journey, p.rank, p.kind\n"
            f"from (\n{passed}\n) p join standing t on t.journey = p.journey\n"
            f"where case p.kind when {OPEN} then p.rank <= t.present when {WON} then p.rank = t.present\n"
            "  else p.rank = t.last end"
        )
    statement.step("counted", f"select journey, rank from (\n{passed}\n) passed")


def _strict(statement: Statement, question: Question) -> str:
    """Visits in pipeline order: each open stage after the one before it. A retired stage is no link of the chain."""
    parts, previous = [f"select journey, rank, kind from visits where kind = {LOST}"], None
    for stage in question.stages:
        if stage.kind is StageKind.LOST:
            continue
        _add_link(statement, stage, previous)
        rank, kind = stage.rank, f"'{stage.kind.value}'"
        parts.append(f"select journey, {rank} as rank, {kind} as kind from chain_{rank}")
        if stage.kind is StageKind.OPEN and not stage.is_retired:
            previous = stage
    return "\nunion all ".join(parts)


def _add_link(statement: Statement, stage: Stage, previous: Stage | None) -> None:
    rank = statement.bind(stage.rank, "bigint")
    after = (
        ""
        if previous is None
        else f"join chain_{previous.rank} c on c.journey = e.journey and e.entry_number > c.entry_number\n"
    )
    statement.step(
        f"chain_{stage.rank}",
        "select e.journey, min(e.entry_number) as entry_number from steps e\n"
        f"{after}where e.rank = {rank} group by e.journey",
    )


def _add_marks(statement: Statement, *, is_read_then: bool) -> None:
    """`marks(journey, rank, measure, lost_reason_id)`: everything the funnel says about a journey but its visits."""
    mark, nothing = "select journey, rank", "cast(null as uuid) as lost_reason_id"
    # what was lost without ever standing elsewhere is lost from where it is
    lost_from = "coalesce(t.present, t.last)" if is_read_then else "t.present"
    statement.step(
        "marks",
        f"{mark}, 'entered' as measure, {nothing} from counted\n"
        f"union all {mark}, 'still_here', {nothing} from steps where is_last and kind = {OPEN}\n"
        f"union all {mark}, 'won', {nothing} from steps where is_last and kind = {WON}\n"
        f"union all select e.journey, {lost_from}, 'lost', e.lost_reason_id\n"
        "  from steps e join standing t on t.journey = e.journey\n"
        f"  where e.is_last and e.kind = {LOST} and {lost_from} is not null\n"
        f"union all {mark}, 'moved_back', {nothing} from visits where is_moved_back = 1",
    )
