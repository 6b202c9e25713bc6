"""Rules of models and scores. No I/O.

A model begins as a shadow. One whose card abstains is never promoted. Of deals and of contacts one model each is
promoted at a time, and the one before it comes back by a rollback. A random slice is never scored, so that what scores
do can be measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from uuid import UUID

from api.kernel.errors import Conflict, NotFound, Unprocessable

#: One deal or contact in so many has no score, for ever, whatever the model.
HELD_OUT_ONE_IN = 20


class ModelAbstains(Conflict):
    """The model's card says that its scores may not be used."""

    code, detail = "model_abstains", "The model abstains; its card says why."


class NotTheScoringModel(Conflict):
    """Scores come from another model than the promoted one."""

    code, detail = "model_not_promoted", "Only the promoted model writes scores."


class OfAnotherSubject(Unprocessable):
    """A model of deals cannot score a contact, nor the other way round."""

    code, detail, pointer = "other_subject", "This model scores something else.", "/scores"


class NothingToRollBackTo(Conflict):
    """No model was promoted before the present one."""

    code, detail = "no_earlier_model", "No model was promoted before this one."


@dataclass(frozen=True)
class Model:
    """What is asked of a model when its state is to change."""

    id: UUID
    number: int
    subject: str
    state: str
    verdict: str
    promoted_at: datetime | None


Changes = list[dict[str, object]]


def promote(models: Sequence[Model], model_id: UUID, *, now: datetime) -> Changes:
    """Changes of rows that make this model the one that scores.

    Raises:
        NotFound, ModelAbstains: there is no such model, or it may not be used.
    """
    chosen = next((model for model in models if model.id == model_id), None)
    if chosen is None:
        raise NotFound("model")
    if chosen.verdict != "published":
        raise ModelAbstains
    if chosen.state == "promoted":
        return []
    others = [model for model in models if model.subject == chosen.subject]
    return [*_retire(others), {"id": chosen.id, "state": "promoted", "promoted_at": now}]


def roll_back(models: Sequence[Model], *, subject: str) -> Changes:
    """Changes of rows that bring back the model of a subject that was promoted before the present one.

    Raises:
        NothingToRollBackTo: there was none.
    """
    models = [model for model in models if model.subject == subject]
    present = next((model for model in models if model.state == "promoted"), None)
    earlier = [
        model
        for model in models
        if model.state == "retired"
        and model.promoted_at
        and (present is None or present.promoted_at is None or model.promoted_at < present.promoted_at)
    ]
    if not earlier:
        raise NothingToRollBackTo
    former = max(earlier, key=lambda model: (model.promoted_at, model.number))
    # it keeps its first date: rolling back again goes further back, not to and fro
    return [*_retire(models), {"id": former.id, "state": "promoted", "promoted_at": former.promoted_at}]


def _retire(models: Sequence[Model]) -> Changes:
    return [
        {"id": model.id, "state": "retired", "promoted_at": model.promoted_at}
        for model in models
        if model.state == "promoted"
    ]


def is_held_out(subject_id: UUID) -> bool:
    """Whether a deal or a contact belongs to the random slice without scores."""
    return int.from_bytes(sha256(subject_id.bytes).digest()[:4]) % HELD_OUT_ONE_IN == 0
