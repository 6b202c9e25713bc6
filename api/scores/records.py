"""Statements about models and scores."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

from sqlalchemy import ColumnElement, Text, bindparam, cast, select, text

from api.db.statements import Statement, compiled
from api.kernel.errors import NotFound
from api.kernel.unit_of_work import Row, UnitOfWork
from api.models.score import Score, ScoreModel
from api.scores.rules import Changes, Model

_SHOWN = (
    ScoreModel.id,
    ScoreModel.number,
    ScoreModel.subject,
    ScoreModel.state,
    ScoreModel.sha256,
    ScoreModel.card,
    ScoreModel.data_version,
    ScoreModel.code_version,
    ScoreModel.horizon_days,
    ScoreModel.created_at,
    ScoreModel.promoted_at,
)


def _is_any(name: str) -> ColumnElement[bool]:
    return cast(bindparam(name), Text).is_(None)


_of_here = ScoreModel.organization_id == bindparam("organization_id")
_MODELS = compiled(
    select(*_SHOWN)
    .where(
        _of_here,
        _is_any("subject") | (ScoreModel.subject == cast(bindparam("subject"), Text)),
        _is_any("state") | (ScoreModel.state == cast(bindparam("state"), Text)),
    )
    .order_by(ScoreModel.number.desc())
    .limit(100)
)
_LOCKED = compiled(
    select(
        ScoreModel.id,
        ScoreModel.number,
        ScoreModel.subject,
        ScoreModel.state,
        ScoreModel.card["verdict"].astext.label("verdict"),
        ScoreModel.promoted_at,
    )
    .where(_of_here)
    .order_by(ScoreModel.number)
    .with_for_update()
)
_ARTEFACT = compiled(
    select(ScoreModel.artefact, ScoreModel.sha256).where(_of_here, ScoreModel.id == bindparam("model_id"))
)
_COLUMNS = """
select s.id, s.deal_id, s.contact_id, s.model_id, s.score, s.reasons, s.scored_at, m.number as model_number,
    m.horizon_days, {shown}"""
_MODEL = "join score_models as m on m.organization_id = s.organization_id and m.id = s.model_id"
#: The newest score of each record, the likeliest first.
_LATEST = (
    _COLUMNS
    + """
from {table} as r
cross join lateral (
    select * from scores as x
    where x.organization_id = r.organization_id and x.{subject}_id = r.id order by x.id desc limit 1
) as s
"""
    + _MODEL
    + """
where r.organization_id = :organization_id and {only} and (:everybody or r.owner_id = any(:owners))
order by s.score desc, r.id limit :limit
"""
)
_HISTORY = (
    _COLUMNS
    + """
from scores as s
join {table} as r on r.organization_id = s.organization_id and r.id = s.{subject}_id
"""
    + _MODEL
    + """
where s.organization_id = :organization_id and s.{subject}_id = :subject_id
    and (:everybody or r.owner_id = any(:owners))
order by s.id desc limit :limit
"""
)
_THERE = """
select r.id from {table} as r
where r.organization_id = :organization_id and r.id = any(:ids) and r.deleted_at is null
order by r.id for no key update
"""
_PREVIOUS = """
select distinct on ({subject}_id) {subject}_id as subject_id, score, model_id, scored_at from scores
where organization_id = :organization_id and {subject}_id = any(:ids) order by {subject}_id, id desc
"""
_DEAL = {
    "subject": "deal",
    "table": "deals",
    "shown": "r.title, r.owner_id, r.stage_id, r.amount_minor, r.currency",
}
_CONTACT = {
    "subject": "contact",
    "table": "contacts",
    "shown": "r.name as title, r.owner_id, cast(null as uuid) as stage_id, cast(null as bigint) as amount_minor,"
    " cast(null as text) as currency",
}
#: A contact is a lead until a deal names it.
_OPEN = {
    "deal": "r.deleted_at is null and r.status = 'open'",
    "contact": "r.deleted_at is null and not exists (select from deals as d"
    " where d.organization_id = r.organization_id and d.contact_id = r.id and d.deleted_at is null)",
}


@dataclass(frozen=True)
class _Statements:
    open: Statement
    one: Statement
    history: Statement
    there: Statement
    previous: Statement

    @classmethod
    def of(cls, names: Mapping[str, str]) -> Self:
        """Those about deals, or about contacts."""
        return cls(
            compiled(text(_LATEST.format(**names, only=_OPEN[names["subject"]]))),
            compiled(text(_LATEST.format(**names, only="r.deleted_at is null and r.id = :subject_id"))),
            compiled(text(_HISTORY.format(**names))),
            compiled(text(_THERE.format(**names)), is_prepared=False),
            compiled(text(_PREVIOUS.format(**names)), is_prepared=False),
        )


_OF: Mapping[str, _Statements] = {"deal": _Statements.of(_DEAL), "contact": _Statements.of(_CONTACT)}


async def list_models(unit: UnitOfWork, *, subject: str | None = None, state: str | None = None) -> list[Row]:
    """All models, or those of a subject or in a state, the newest first, without their artefacts."""
    return await unit.fetch(_MODELS, subject=subject, state=state)


async def lock_models(unit: UnitOfWork) -> list[Model]:
    """All models, locked."""
    return [Model(*row) for row in await unit.fetch(_LOCKED)]


async def read_artefact(unit: UnitOfWork, model_id: UUID) -> Row:
    """A model's artefact and hash.

    Raises:
        NotFound: there is no such model.
    """
    rows = await unit.fetch(_ARTEFACT, model_id=model_id)
    if not rows:
        raise NotFound("model")
    return rows[0]


def change_models(unit: UnitOfWork, changes: Changes) -> None:
    """Write changed states, those that retire first: one is promoted at a time."""
    for change in changes:
        unit.update(ScoreModel, change)


async def latest(
    unit: UnitOfWork, subject: str, *, subject_id: UUID | None, owners: Collection[UUID] | None, limit: int
) -> list[Row]:
    """The newest score of each open deal, or lead, that is seen; or of one record."""
    seen = {"everybody": owners is None, "owners": list(owners or ()), "limit": limit}
    if subject_id is None:
        return await unit.fetch(_OF[subject].open, **seen)
    return await unit.fetch(_OF[subject].one, subject_id=subject_id, **seen)


async def history(
    unit: UnitOfWork, subject: str, subject_id: UUID, *, owners: Collection[UUID] | None, limit: int
) -> list[Row]:
    """All scores of a record, the newest first."""
    seen = {"everybody": owners is None, "owners": list(owners or ()), "limit": limit}
    return await unit.fetch(_OF[subject].history, subject_id=subject_id, **seen)


async def there_and_previous(unit: UnitOfWork, subject: str, ids: Sequence[UUID]) -> tuple[set[UUID], dict[UUID, Row]]:
    """Which of these records there are, locked against deletion and each other, and their newest scores."""
    statements = _OF[subject]
    there, previous = await unit.fetch_all(
        statements.there.bind(ids=list(ids)), statements.previous.bind(ids=list(ids))
    )
    return {row.id for row in there}, {row.subject_id: row for row in previous}


def write_scores(unit: UnitOfWork, rows: Sequence[dict[str, Any]]) -> None:
    """Queue new scores."""
    unit.insert(Score, *rows)
