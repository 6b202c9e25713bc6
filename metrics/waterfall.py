"""How a period changed the pipeline: what was open as it began, what came, went and was worth otherwise, what was open
as it ended. All parts add up, deal by deal.

A deal comes at most once (it was open, was created, or was reopened) and goes at most once (it was won, was lost, or is
open still). What it is worth is read at either moment, so that what lies between is a change of its amount, or of the
rate alone; where the two are of different groups, it was handed over.
"""

from datetime import datetime, timedelta
from typing import Any

from contracts.warehouse import Mart
from metrics.cells import Cells
from metrics.compile import Statement
from metrics.moments import add_credited, add_entries, add_subjects
from metrics.question import Question

_BOTH = "has_come = 1 and has_gone = 1 and is_as_priced"
#: What lies between: of which balances it is told, and how its amount goes by their difference.
_CHANGES = {
    "revalued": (f"{_BOTH} = 1 and difference <> 0", 1),
    "increased": (f"{_BOTH} = 0 and difference > 0", 1),
    "decreased": (f"{_BOTH} = 0 and difference < 0", -1),
    "handed_over": ("has_gone = 0", -1),
    "taken_over": ("has_come = 0", 1),
}

#: What a deal comes by and goes by, in the order of the parts.
_COMES = ("opening", "created", "reopened")
_GOES = ("won", "lost", "ending")


def build(statement: Statement, question: Question) -> None:
    """Add `facts`: each deal's coming and going, what changed in between, and what changed beside the amount."""
    add_subjects(statement, question)
    add_entries(statement, question)
    begins, ends = (statement.bind(instant, "timestamptz") for instant in _instants(question))
    _add_standings(statement, begins, ends)
    _add_comings(statement, begins, ends)
    _add_goings(statement, begins, ends)
    _add_others(statement, question, begins, ends)
    statement.step(
        "moments",
        "select p.subject_id, p.measure, p.at, cast(null as double precision) as days, cast(null as uuid) as stage_id\n"
        "from (select * from comings union all select * from goings union all select * from others) p",
    )
    add_credited(statement, question)
    _add_balances(statement)
    _add_facts(statement, question)


def shape(question: Question, cells: Cells) -> list[dict[str, Any]]:
    """Rows per group."""
    rows = []
    for group in cells.groups() or [None]:
        row: dict[str, Any] = {"group": group, "currency": question.currency}
        for figure in question.definition.figures:
            cell = cells.get(figure.fact, group)
            row[figure.name] = cell.amount_minor if figure.aggregate == "amount" else cell.facts
        rows.append(row)
    return rows


def _instants(question: Question) -> tuple[datetime, datetime]:
    """The last instant before the period, and its own last one, or that which is known."""
    begins, ends = question.begins_after, question.ends_at - timedelta(microseconds=1)
    return begins, max(begins, min(ends, question.as_of))


def _standing(instant: str) -> str:
    return f"e.entered_at <= {instant} and (e.left_at is null or e.left_at > {instant})"


def _add_standings(statement: Statement, begins: str, ends: str) -> None:
    """`opening` and `ending`: in which stage each deal stood at either instant."""
    for name, instant in (("opening", begins), ("ending", ends)):
        statement.step(
            name,
            "select e.subject_id, e.stage_id, e.status from entries e join subjects d on d.subject_id = e.subject_id\n"
            f"where {_standing(instant)}",
        )


def _add_comings(statement: Statement, begins: str, ends: str) -> None:
    """`comings`: what was open, was created, or was opened again."""
    statement.step(
        "reopenings",
        "select e.subject_id, min(e.entered_at) as at from entries e\n"
        "join subjects d on d.subject_id = e.subject_id\n"
        "join opening o on o.subject_id = e.subject_id and o.status <> 'open'\n"
        f"where e.status = 'open' and e.entered_at > {begins} and e.entered_at <= {ends} group by e.subject_id",
    )
    statement.step(
        "comings",
        f"select subject_id, 'opening' as measure, {begins} as at from opening where status = 'open'\n"
        "union all select subject_id, 'created', created_at from subjects\n"
        f"  where created_at > {begins} and created_at <= {ends}\n"
        "union all select r.subject_id, 'reopened', r.at from reopenings r",
    )


def _add_goings(statement: Statement, begins: str, ends: str) -> None:
    """`goings`: what was won or lost since it was last open, and what is open."""
    statement.step(
        "last_open",
        "select subject_id, max(case when status = 'open' then entry_number else 0 end) as entry_number\n"
        f"from entries where entered_at <= {ends} group by subject_id",
    )
    statement.step(
        "closings",
        "select e.subject_id, min(e.entered_at) as at from entries e\n"
        "join last_open l on l.subject_id = e.subject_id and e.entry_number > l.entry_number\n"
        f"where e.entered_at <= {ends} group by e.subject_id",
    )
    statement.step(
        "goings",
        "select c.subject_id, e.status as measure, c.at\n"
        "from closings c join ending e on e.subject_id = c.subject_id and e.status <> 'open'\n"
        f"where c.at > {begins}\n"
        f"union all select subject_id, 'ending', {ends} from ending where status = 'open'",
    )


def _add_others(statement: Statement, question: Question, begins: str, ends: str) -> None:
    """`others`: deals that were open at both instants, in another stage or with another close date."""
    statement.step(
        "stayed_open",
        "select o.subject_id, o.stage_id as from_stage_id, e.stage_id\n"
        "from opening o join ending e on e.subject_id = o.subject_id where o.status = 'open' and e.status = 'open'",
    )
    statement.mart(
        "planned",
        Mart.FCT_DEAL_VERSIONS,
        columns="deal_id as subject_id, close_date, valid_from, valid_to",
        known_at=question.as_of,
    )
    valid = "{0}.subject_id = s.subject_id and {0}.valid_from <= {1} and ({0}.valid_to is null or {0}.valid_to > {1})"
    statement.step(
        "others",
        f"select subject_id, 'moved' as measure, {ends} as at from stayed_open where from_stage_id <> stage_id\n"
        f"union all select s.subject_id, 'redated', {ends} from stayed_open s\n"
        f"  join planned b on {valid.format('b', begins)}\n"
        f"  join planned a on {valid.format('a', ends)}\n"
        "  where b.close_date is distinct from a.close_date",
    )


def _add_balances(statement: Statement) -> None:
    """`balances`: what a deal is worth more as it goes than as it came, in each group that it came by or goes by."""
    comes, goes = (", ".join(f"'{name}'" for name in names) for names in (_COMES, _GOES))
    worth = f"cast(coalesce(counted_minor, 0) as {statement.dialect.wide_integer})"
    statement.step(
        "balances",
        "select subject_id, group_key, max(currency) as currency,\n"
        f"  max(case when measure in ({comes}) then 1 else 0 end) as has_come,\n"
        f"  max(case when measure in ({goes}) then 1 else 0 end) as has_gone,\n"
        "  case when min(amount_minor) = max(amount_minor) and min(currency) = max(currency) then 1 else 0 end"
        " as is_as_priced,\n"
        f"  sum(case when measure in ({goes}) then {worth} else -{worth} end) as difference\n"
        f"from credited where measure in ({comes}, {goes}) group by subject_id, group_key",
    )


def _add_facts(statement: Statement, question: Question) -> None:
    asked = statement.bind(question.currency, "text")
    wide = statement.dialect.wide_integer
    parts = [_fact("credited", "measure", "amount_minor, currency, counted_minor")]
    for name, (condition, sign) in _CHANGES.items():
        worth = f"cast({sign} * difference as {wide})"
        parts.append(_fact("balances", f"'{name}'", f"{worth}, {asked}, {worth}") + f" where {condition}")
    statement.step("facts", "\nunion all ".join(parts))


def _fact(source: str, measure: str, amounts: str) -> str:
    return (
        f"select subject_id, group_key, cast(null as uuid) as stage_id, {measure} as measure,\n"
        f"  cast(null as uuid) as lost_reason_id, {amounts}, cast(null as double precision) as days from {source}"
    )
