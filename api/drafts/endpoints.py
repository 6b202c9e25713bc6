"""`/v1/drafts`: have one written, look at it, change, approve, reject and send it."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, NamedTuple
from uuid import UUID

from fastapi import Depends, Header, Request
from fastapi.responses import StreamingResponse
from pydantic_core import to_json
from uuid_utils.compat import uuid7

from api.conversations.sending import AccountIsGone, NobodyToWriteTo, Outgoing, queue_message
from api.drafts import records, rules
from api.drafts.model import AiOff, Model, ModelUnavailable
from api.drafts.policies import Policy, read_policy, settled, write_policy
from api.drafts.rules import AnotherText, Draft, DraftClosed, DraftState, NotApproved, NothingToSend
from api.drafts.schemas import Approval, DraftCreate, DraftingRead, DraftRead, DraftUpdate, PolicyBody
from api.drafts.service import BudgetSpent, Drafting, DraftInProgress, Wanted
from api.edge.dependencies import Administrator, CurrentCaller, IfMatch, OptionalIfMatch, RecordWriter, Unit
from api.edge.entitlements import PlanLimitReached
from api.edge.flags import Feature, FeatureOff, require_feature
from api.edge.idempotency import HEADER
from api.edge.outgoing import Breaker
from api.edge.pages import Page, PageOf, read_page
from api.edge.routing import OutsideRoute, problems, slice_router
from api.edge.services import services_of
from api.kernel.caller import Caller
from api.kernel.changes import Change, expect
from api.kernel.errors import CrmError, NotFound, PreconditionFailed, PreconditionRequired, Unprocessable
from api.kernel.states import as_state
from api.kernel.unit_of_work import UnitOfWork
from api.kernel.visibility import owners_seen
from contracts.channels import SendSource
from contracts.events.drafts import DraftKind
from contracts.settings import AiSettings

_here = slice_router(prefix="/drafts", tags=["drafts"])
_outside = slice_router(prefix="/drafts", tags=["drafts"], route_class=OutsideRoute)
routers = [_outside, _here]

#: What this process knows of the endpoint's health.
_BREAKER = Breaker()

_STREAM: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {}}}}
_WRITING_PROBLEMS = (
    AiOff,
    BudgetSpent,
    DraftInProgress,
    FeatureOff,
    ModelUnavailable,
    NotFound,
    PlanLimitReached,
    Unprocessable,
)

_STREAMED = _STREAM | problems(*_WRITING_PROBLEMS)


class BudgetTooLarge(Unprocessable):
    """An organization's budget is within its operator's."""

    code, pointer = "budget_too_large", "/monthly_budget"

    def __init__(self, most: int) -> None:
        super().__init__(f"The operator lets drafts cost at most ${most / 1e6:.2f} a month; choose that or less.")


class _Asking(NamedTuple):
    """A request for a draft, admitted."""

    settings: AiSettings
    drafting: Drafting
    wanted: Wanted


async def _asking(
    request: Request,
    body: DraftCreate,
    caller: RecordWriter,
    unit: Unit,
    idempotency_key: Annotated[str | None, Header(alias=HEADER, min_length=1, max_length=255)] = None,
) -> _Asking:
    services, settings = services_of(request), AiSettings()
    if not settings.is_ai_on:
        raise AiOff
    await require_feature(services.flags, caller, Feature.AI_DRAFTS)
    _require_subject(body)
    inputs = await records.read_inputs(
        unit,
        conversation_id=body.conversation_id,
        deal_id=body.deal_id,
        owners=await owners_seen(unit, caller),
    )
    settings = settled(settings, await read_policy(unit))
    key = f"{caller.user_id}:{idempotency_key or uuid7()}"
    wanted = Wanted(key, body.kind, caller.user_id, inputs, body.wish)
    return _Asking(settings, Drafting(services.database, caller.context, settings, services.billing), wanted)


def _require_subject(body: DraftCreate) -> None:
    if body.kind is DraftKind.REPLY:
        if body.conversation_id is None:
            raise Unprocessable("A reply needs a conversation.", pointer="/conversation_id")
    elif body.deal_id is None:
        raise Unprocessable(f"A draft of kind {body.kind} needs a deal.", pointer="/deal_id")


_Admitted = Annotated[_Asking, Depends(_asking)]


@_outside.post("", status_code=201, responses=problems(*_WRITING_PROBLEMS))
async def create_draft(asking: _Admitted) -> DraftRead:
    """Have a draft written. Repeated with the same key it is the same draft."""
    draft = await asking.drafting.begin(asking.wanted)
    if draft.state is DraftState.GENERATING:
        async with Model(asking.settings, _BREAKER) as model:
            async for part in asking.drafting.write(model, draft, asking.wanted):
                draft = part if isinstance(part, Draft) else draft
    return DraftRead.model_validate(draft)


@_outside.post(
    "/stream",
    response_class=StreamingResponse,
    responses=_STREAMED,
)
async def stream_draft(asking: _Admitted) -> StreamingResponse:
    """The same, as it is written: events `text` with what there is so far, then `draft`, or `problem`."""
    draft = await asking.drafting.begin(asking.wanted)
    return StreamingResponse(_events(asking, draft), media_type="text/event-stream")


async def _events(asking: _Asking, draft: Draft) -> AsyncIterator[bytes]:
    if draft.state is not DraftState.GENERATING:
        yield _event("draft", DraftRead.model_validate(draft))
        return
    try:
        async with Model(asking.settings, _BREAKER) as model:
            async for part in asking.drafting.write(model, draft, asking.wanted):
                if isinstance(part, Draft):
                    yield _event("draft", DraftRead.model_validate(part))
                else:
                    yield _event("text", {"text": part})
    except CrmError as error:
        yield _event("problem", error.problem())


def _event(name: str, data: object) -> bytes:
    return f"event: {name}\ndata: {to_json(data).decode()}\n\n".encode()


@_here.get("")
async def list_drafts(
    caller: CurrentCaller,
    page: Page,
    unit: Unit,
    state: DraftState | None = None,
    kind: DraftKind | None = None,
    conversation_id: UUID | None = None,
    deal_id: UUID | None = None,
) -> PageOf[DraftRead]:
    """Drafts about what you see, newest first."""
    owners = await owners_seen(unit, caller)
    given = {
        "state": state,
        "kind": kind,
        "conversation_id": conversation_id,
        "deal_id": deal_id,
        "owners": None if owners is None else sorted(owners),
    }
    rows, cursor = await read_page(unit, records.DRAFTS, given, page=page)
    return PageOf(items=[DraftRead.model_validate(as_state(Draft, row)) for row in rows], next_cursor=cursor)


@_here.get("/settings")
async def read_drafting(request: Request, caller: CurrentCaller, unit: Unit) -> DraftingRead:
    """Whether drafts are on here, and what those of this month have cost."""
    policy, off_because = await read_policy(unit), None
    settings = settled(AiSettings(), policy)
    try:
        await require_feature(services_of(request).flags, caller, Feature.AI_DRAFTS)
    except FeatureOff as off:
        off_because = off.detail
    return DraftingRead(
        is_on=settings.is_ai_on and off_because is None,
        off_because=off_because if settings.is_ai_on else AiOff.detail,
        model=settings.openai_model,
        hides_people=settings.ai_redacts,
        spent_micro=await records.spent_this_month(unit),
        budget_micro=settings.ai_monthly_budget,
        operator_budget_micro=AiSettings().ai_monthly_budget,
        policy=PolicyBody.model_validate(policy),
    )


@_here.put("/settings", responses=problems(BudgetTooLarge))
async def set_drafting_policy(body: PolicyBody, caller: Administrator, unit: Unit) -> PolicyBody:
    """Say how much drafts may cost in a month, whether the model sees people, and where links may lead."""
    await unit.begin()
    operators = AiSettings().ai_monthly_budget
    if body.monthly_budget is not None and body.monthly_budget > operators:
        raise BudgetTooLarge(operators)
    write_policy(unit, Policy(body.monthly_budget, body.hides_people, tuple(dict.fromkeys(body.link_hosts))))
    return body


@_here.get("/{draft_id}", responses=problems(NotFound))
async def read_draft(draft_id: UUID, caller: CurrentCaller, unit: Unit) -> DraftRead:
    """One draft."""
    owners = await owners_seen(unit, caller)
    return DraftRead.model_validate(await records.find_draft(unit, draft_id, owners=owners))


@_here.patch("/{draft_id}", responses=problems(NotFound, DraftClosed, PreconditionFailed, PreconditionRequired))
async def update_draft(
    draft_id: UUID, body: DraftUpdate, caller: RecordWriter, if_match: IfMatch, unit: Unit
) -> DraftRead:
    """Change its text; an approval of the one before is gone."""
    draft = await _locked(unit, draft_id, caller, if_match)
    return _answer(unit, draft, rules.edit(draft, unit.now, body.text, by=caller.user_id))


@_here.post(
    "/{draft_id}/approve", status_code=200, responses=problems(NotFound, DraftClosed, AnotherText, PreconditionFailed)
)
async def approve_draft(
    draft_id: UUID, body: Approval, caller: RecordWriter, unit: Unit, if_match: OptionalIfMatch
) -> DraftRead:
    """Approve exactly the text that you read, by its hash."""
    draft = await _locked(unit, draft_id, caller, if_match)
    return _answer(unit, draft, rules.approve(draft, unit.now, by=caller.user_id, text_hash=body.text_hash))


@_here.post("/{draft_id}/reject", status_code=200, responses=problems(NotFound, DraftClosed, PreconditionFailed))
async def reject_draft(draft_id: UUID, caller: RecordWriter, unit: Unit, if_match: OptionalIfMatch) -> DraftRead:
    """Want none of it."""
    draft = await _locked(unit, draft_id, caller, if_match)
    return _answer(unit, draft, rules.reject(draft, unit.now, by=caller.user_id))


@_here.post(
    "/{draft_id}/send",
    status_code=200,
    responses=problems(
        NotFound, DraftClosed, NotApproved, NothingToSend, AccountIsGone, NobodyToWriteTo, PreconditionFailed
    ),
)
async def send_draft(draft_id: UUID, caller: RecordWriter, unit: Unit, if_match: OptionalIfMatch) -> DraftRead:
    """Send an approved reply, word for word, in its conversation."""
    draft = await _locked(unit, draft_id, caller, if_match)
    rules.require_sendable(draft)
    queued = await queue_message(
        unit,
        Outgoing(
            text=draft.text,
            conversation_id=draft.conversation_id,
            source=SendSource.DRAFT,
            source_id=draft.id,
            author_id=caller.user_id,
        ),
        owners=await owners_seen(unit, caller),
    )
    return _answer(unit, draft, rules.sent(draft, unit.now, queued.message.id))


async def _locked(unit: UnitOfWork, draft_id: UUID, caller: Caller, version: int | None) -> Draft:
    draft = await records.lock_draft(unit, draft_id, owners=await owners_seen(unit, caller))
    return expect(draft, "draft", version=version)


def _answer(unit: UnitOfWork, draft: Draft, change: Change[Draft] | None) -> DraftRead:
    if change is not None:
        records.write_change(unit, change)
    return DraftRead.model_validate(change.after if change else draft)
