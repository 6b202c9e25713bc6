"""Statements about models and scores."""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, select, text

from api.db.statements import compiled, is_one_of
from api.kernel.errors import NotFound
from api.kernel.unit_of_work import Row, UnitOfWork
from api.models.deal import Deal
from api.models.score import Score, ScoreModel
from api.scores.rules import Changes, Model

_SHOWN = (
    ScoreModel.id,
    ScoreModel.number,
    ScoreModel.state,
    ScoreModel.sha256,
    ScoreModel.card,
    ScoreModel.data_version,
    ScoreModel.code_version,
    ScoreModel.horizon_days,
    ScoreModel.created_at,
    ScoreModel.promoted_at,
)
_of_here = ScoreModel.organization_id == bindparam("organization_id")
_MODELS = compiled(select(*_SHOWN).where(_of_here).order_by(ScoreModel.number.desc()).limit(100))
_LOCKED = compiled(
    select(
        ScoreModel.id,
        ScoreModel.number,
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
#: The newest score of each open deal that is seen, the likeliest first.
_LATEST = """
select s.id, s.deal_id, s.model_id, s.score, s.reasons, s.scored_at, m.number as model_number, m.horizon_days,
    d.title, d.owner_id, d.stage_id, d.amount_minor, d.currency
from deals as d
cross join lateral (
    select * from scores as x
    where x.organization_id = d.organization_id and x.deal_id = d.id order by x.id desc limit 1
) as s
join score_models as m on m.organization_id = s.organization_id and m.id = s.model_id
where d.organization_id = :organization_id and d.deleted_at is null {only}
order by s.score desc, d.id limit :limit
"""
_OPEN = compiled(text(_LATEST.format(only="and d.status = 'open' and (:everybody or d.owner_id = any(:owners))")))
_OF_DEAL = compiled(text(_LATEST.format(only="and d.id = :deal_id and (:everybody or d.owner_id = any(:owners))")))
_HISTORY = compiled(
    text("""
select s.id, s.deal_id, s.model_id, s.score, s.reasons, s.scored_at, m.number as model_number, m.horizon_days,
    d.title, d.owner_id, d.stage_id, d.amount_minor, d.currency
from scores as s
join deals as d on d.organization_id = s.organization_id and d.id = s.deal_id
join score_models as m on m.organization_id = s.organization_id and m.id = s.model_id
where s.organization_id = :organization_id and s.deal_id = :deal_id
    and (:everybody or d.owner_id = any(:owners))
order by s.id desc limit :limit
""")
)
_DEALS = compiled(
    select(Deal.id)
    .where(
        Deal.organization_id == bindparam("organization_id"),
        is_one_of(Deal.id, "deal_ids"),
        Deal.deleted_at.is_(None),
    )
    .order_by(Deal.id)
    .with_for_update(key_share=True),
    is_prepared=False,
)
_PREVIOUS = compiled(
    text("""
select distinct on (deal_id) deal_id, score, model_id, scored_at from scores
where organization_id = :organization_id and deal_id = any(:deal_ids) order by deal_id, id desc
"""),
    is_prepared=False,
)


async def list_models(unit: UnitOfWork) -> list[Row]:
    """All models, the newest first, without their artefacts."""
    return await unit.fetch(_MODELS)


async def lock_models(unit: UnitOfWork) -> list[Model]:
    """All models, locked."""
    return [Model(row.id, row.number, row.state, row.verdict, row.promoted_at) for row in await unit.fetch(_LOCKED)]


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


async def latest(unit: UnitOfWork, *, deal_id: UUID | None, owners: Collection[UUID] | None, limit: int) -> list[Row]:
    """The newest score of each open deal seen, or of one deal."""
    seen = {"everybody": owners is None, "owners": list(owners or ()), "limit": limit}
    if deal_id is None:
        return await unit.fetch(_OPEN, **seen)
    return await unit.fetch(_OF_DEAL, deal_id=deal_id, **seen)


async def history(unit: UnitOfWork, deal_id: UUID, *, owners: Collection[UUID] | None, limit: int) -> list[Row]:
    """All scores of a deal, the newest first."""
    seen = {"everybody": owners is None, "owners": list(owners or ()), "limit": limit}
    return await unit.fetch(_HISTORY, deal_id=deal_id, **seen)


async def deals_and_previous(unit: UnitOfWork, deal_ids: Sequence[UUID]) -> tuple[set[UUID], dict[UUID, Row]]:
    """Which of these deals there are, locked against deletion and each other, and their newest scores."""
    there, previous = await unit.fetch_all(
        _DEALS.bind(deal_ids=list(deal_ids)), _PREVIOUS.bind(deal_ids=list(deal_ids))
    )
    return {row.id for row in there}, {row.deal_id: row for row in previous}


def write_scores(unit: UnitOfWork, rows: Sequence[dict[str, Any]]) -> None:
    """Queue new scores."""
    unit.insert(Score, *rows)
