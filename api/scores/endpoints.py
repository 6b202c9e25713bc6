"""`/v1/scores`: the scores of deals and leads one sees, and the models that give them."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Response
from uuid_utils.compat import uuid7

from api.db.values import JsonList
from api.edge.dependencies import Administrator, CurrentCaller, Unit
from api.edge.routing import problems, slice_router
from api.kernel.errors import NotFound, Unprocessable
from api.kernel.unit_of_work import Row, UnitOfWork
from api.kernel.visibility import owners_seen
from api.models.score import ScoreModel
from api.scores import records, rules
from api.scores.schemas import (
    ArtefactRead,
    ScoreGiven,
    ScoreList,
    ScoreModelCreate,
    ScoreModelList,
    ScoreModelRead,
    ScoreRead,
    ScoresCreate,
    ScoresWritten,
    State,
    Subject,
)
from contracts.events.scores import LeadScored

router = slice_router(prefix="/scores", tags=["scores"])

_Limit = Annotated[int, Query(ge=1, le=500)]


class TwoSubjects(Unprocessable):
    """Scores are asked for of one record."""

    code, detail = "one_subject", "Name either deal_id or contact_id."


@router.get("", responses=problems(TwoSubjects))
async def list_scores(
    caller: CurrentCaller,
    unit: Unit,
    subject: Subject = "deal",
    deal_id: UUID | None = None,
    contact_id: UUID | None = None,
    limit: _Limit = 100,
) -> ScoreList:
    """The newest score of each open deal (or lead) you see, the likeliest first; or of one deal or contact."""
    subject, subject_id = _asked(subject, deal_id, contact_id)
    owners = await owners_seen(unit, caller)
    rows = await records.latest(unit, subject, subject_id=subject_id, owners=owners, limit=limit)
    return ScoreList(items=[ScoreRead.model_validate(row) for row in rows])


@router.get("/history", responses=problems(TwoSubjects))
async def list_score_history(
    caller: CurrentCaller,
    unit: Unit,
    deal_id: UUID | None = None,
    contact_id: UUID | None = None,
    limit: _Limit = 100,
) -> ScoreList:
    """All scores that a deal or a contact had, the newest first."""
    subject, subject_id = _asked("deal", deal_id, contact_id)
    if subject_id is None:
        raise TwoSubjects
    owners = await owners_seen(unit, caller)
    rows = await records.history(unit, subject, subject_id, owners=owners, limit=limit)
    return ScoreList(items=[ScoreRead.model_validate(row) for row in rows])


def _asked(subject: Subject, deal_id: UUID | None, contact_id: UUID | None) -> tuple[Subject, UUID | None]:
    """Of what scores are asked for."""
    if deal_id is not None and contact_id is not None:
        raise TwoSubjects
    if contact_id is not None:
        return "contact", contact_id
    return ("deal", deal_id) if deal_id is not None else (subject, None)


@router.post("", responses=problems(NotFound, rules.NotTheScoringModel, rules.OfAnotherSubject))
async def write_scores(body: ScoresCreate, caller: Administrator, unit: Unit) -> ScoresWritten:
    """Write scores of the promoted model. Writing the same again changes nothing; some records never have a score."""
    model = next((model for model in await records.lock_models(unit) if model.id == body.model_id), None)
    if model is None:
        raise NotFound("model")
    if model.state != "promoted":
        raise rules.NotTheScoringModel
    if any((score.contact_id is None) is (model.subject == "contact") for score in body.scores):
        raise rules.OfAnotherSubject
    horizon = next(row.horizon_days for row in await records.list_models(unit) if row.id == model.id)
    given = {score.subject_id: score for score in body.scores if not rules.is_held_out(score.subject_id)}
    there, previous = await records.there_and_previous(unit, model.subject, list(given))
    new = [given[one] for one in given if one in there and not _is_same(given[one], previous.get(one), model.id)]
    _write(unit, model, new, previous, horizon_days=horizon)
    held_out = sum(rules.is_held_out(score.subject_id) for score in body.scores)
    unknown = len(given) - len(there)
    return ScoresWritten(
        written=len(new), unchanged=len(given) - unknown - len(new), held_out=held_out, unknown=unknown
    )


def _is_same(score: ScoreGiven, before: Row | None, model_id: UUID) -> bool:
    return before is not None and (before.model_id, before.score) == (model_id, score.score)


def _write(
    unit: UnitOfWork, model: rules.Model, new: list[ScoreGiven], previous: dict[UUID, Row], *, horizon_days: int
) -> None:
    rows = []
    for score in new:
        before = previous.get(score.subject_id)
        score_id = uuid7()
        row = {
            "id": score_id,
            "deal_id": score.deal_id,
            "contact_id": score.contact_id,
            "model_id": model.id,
            "score": score.score,
            "reasons": JsonList(reason.model_dump() for reason in score.reasons),
            "scored_at": score.scored_at,
        }
        rows.append(row)
        unit.emit(
            LeadScored(
                deal_id=score.deal_id,
                contact_id=score.contact_id,
                model_id=model.id,
                model_number=model.number,
                score=score.score,
                previous=before.score if before else None,
                horizon_days=horizon_days,
                scored_at=score.scored_at,
            ),
            aggregate_id=score_id,
            aggregate_version=1,
        )
    if rows:
        records.write_scores(unit, rows)


@router.get("/models")
async def list_score_models(
    caller: CurrentCaller, unit: Unit, subject: Subject | None = None, state: State | None = None
) -> ScoreModelList:
    """Models with their cards, the newest first."""
    rows = await records.list_models(unit, subject=subject, state=state)
    return ScoreModelList(items=[ScoreModelRead.model_validate(row) for row in rows])


@router.post("/models", status_code=201)
async def create_score_model(
    body: ScoreModelCreate, caller: Administrator, unit: Unit, response: Response
) -> ScoreModelRead:
    """Keep a trained model as a shadow: it scores nothing until it is promoted."""
    known = await records.lock_models(unit)
    row = {
        "id": uuid7(),
        "number": max((model.number for model in known), default=0) + 1,
        "state": "shadow",
        **body.model_dump(),
        "created_at": unit.now,
        "promoted_at": None,
    }
    unit.insert(ScoreModel, row)
    response.headers["Location"] = f"/v1/scores/models/{row['id']}"
    return ScoreModelRead.model_validate(row)


@router.get("/models/{model_id}/artefact", responses=problems(NotFound))
async def read_score_artefact(model_id: UUID, caller: Administrator, unit: Unit) -> ArtefactRead:
    """A model as it is stored, with its hash."""
    return ArtefactRead.model_validate(await records.read_artefact(unit, model_id))


@router.post("/models/{model_id}/promote", responses=problems(NotFound, rules.ModelAbstains))
async def promote_score_model(model_id: UUID, caller: Administrator, unit: Unit) -> ScoreModelList:
    """Make a model the one that scores; the one before of its subject is retired, and comes back by a rollback."""
    models = await records.lock_models(unit)
    records.change_models(unit, rules.promote(models, model_id, now=unit.now))
    return await list_score_models(caller, unit)


@router.post("/rollback", responses=problems(rules.NothingToRollBackTo))
async def roll_back_score_model(caller: Administrator, unit: Unit, subject: Subject = "deal") -> ScoreModelList:
    """Bring back the model of deals, or of contacts, that was promoted before the present one."""
    records.change_models(unit, rules.roll_back(await records.lock_models(unit), subject=subject))
    return await list_score_models(caller, unit)
