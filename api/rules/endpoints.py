"""`/v1/rules`: rules, their log and their replay; `/v1/notifications`: what rules tell a person."""

from datetime import datetime
from uuid import UUID

from fastapi import Response

from api.edge.dependencies import Administrator, CurrentCaller, IfMatch, Unit
from api.edge.pages import Page, PageOf, read_page
from api.edge.routing import problems, slice_router
from api.kernel.actions import action_kinds
from api.kernel.conditions import BadCondition
from api.kernel.errors import NotFound, PreconditionFailed, PreconditionRequired, Unprocessable
from api.rules import conditions, records, rules, service
from api.rules.document import EVENT_TYPES, Document, Mode
from api.rules.schemas import (
    ActionKindRead,
    BacktestAsk,
    BacktestRead,
    NotificationRead,
    RuleCreate,
    RuleRead,
    RuleUpdate,
    RunRead,
    TemplateRead,
    UndoItem,
    Vocabulary,
)
from api.rules.templates import TEMPLATES

router = slice_router(prefix="/rules", tags=["rules"])
notifications = slice_router(prefix="/notifications", tags=["notifications"])
routers = (router, notifications)


class NothingToReplay(Unprocessable):
    """A backtest needs a rule."""

    code, detail, pointer = "nothing_to_replay", "Say which document to replay.", "/document"


class EmptyPeriod(Unprocessable):
    """A period ends after it begins."""

    code, detail, pointer = "empty_period", "The period must end after it begins.", "/ends"


class ExampleLeft(Unprocessable):
    """A rule from a template cannot act on what is an example."""

    code, pointer = "example_left", "/document/actions"
    detail = (
        "An action still names the template's example: choose a stage, a person or a campaign before turning it on."
    )


@router.get("/templates")
async def list_rule_templates(caller: CurrentCaller) -> list[TemplateRead]:
    """List rules to begin with."""
    return [
        TemplateRead(
            key=one.key, name=one.name, about=one.about, document=dict(one.document), fill_in=list(one.fill_in)
        )
        for one in TEMPLATES
    ]


@router.get("/vocabulary")
async def read_rule_vocabulary(caller: CurrentCaller) -> Vocabulary:
    """Read what rules can be made of: events, actions, fields of conditions."""
    return Vocabulary(
        events=sorted(one for one in EVENT_TYPES if not one.startswith(("automation.", "trigger."))),
        actions=[
            ActionKindRead(
                name=kind.name,
                title=kind.title,
                subjects=list(kind.subjects),
                parameters=kind.parameters.model_json_schema(),
            )
            for kind in action_kinds().values()
        ],
        deal_fields=sorted(conditions.DEAL_FIELDS),
    )


@router.get("/runs")
async def list_all_rule_runs(
    caller: Administrator, unit: Unit, page: Page, subject_id: UUID | None = None
) -> PageOf[RunRead]:
    """List the firings of all rules, newest first."""
    rows, cursor = await read_page(unit, records.RUNS, {"subject_id": subject_id}, page=page)
    return PageOf(items=[RunRead.model_validate(row) for row in rows], next_cursor=cursor)


@router.post("/lint", responses=problems(BadCondition))
async def lint_rule(document: Document, caller: Administrator, unit: Unit) -> Document:
    """Check a document without keeping it; the answer is how it would be kept."""
    await _check(unit, document, now=unit.now)
    return document


@router.post("/backtest", responses=problems(BadCondition, NothingToReplay, EmptyPeriod))
async def replay_rule(body: BacktestAsk, caller: Administrator, unit: Unit) -> BacktestRead:
    """Replay a document that is not saved over a past period. Nothing is written."""
    if body.document is None:
        raise NothingToReplay
    return await _backtest(unit, body, body.document)


@router.post("", status_code=201, responses=problems(BadCondition, ExampleLeft))
async def create_rule(body: RuleCreate, caller: Administrator, unit: Unit, response: Response) -> RuleRead:
    """Create a rule; you own it, and hear when it is turned off."""
    await _check(unit, body.document, now=unit.now)
    if body.mode is not Mode.OFF and body.document.has_examples:
        raise ExampleLeft
    change = rules.create(body.name, body.mode, body.document, owner_id=caller.user_id, now=unit.now)
    records.write(unit, [change])
    response.headers["Location"] = f"/v1/rules/{change.after.id}"
    return RuleRead.model_validate(change.after)


@router.get("")
async def list_rules(caller: CurrentCaller, unit: Unit, page: Page, mode: Mode | None = None) -> PageOf[RuleRead]:
    """List rules, newest first."""
    rows, cursor = await read_page(unit, records.RULES, {"mode": mode}, page=page)
    return PageOf(items=[RuleRead.model_validate(row) for row in rows], next_cursor=cursor)


@router.get("/{rule_id}", responses=problems(NotFound))
async def read_rule(rule_id: UUID, caller: CurrentCaller, unit: Unit) -> RuleRead:
    """Read a rule."""
    return RuleRead.model_validate(await records.read_rule(unit, rule_id))


@router.patch(
    "/{rule_id}", responses=problems(NotFound, PreconditionFailed, PreconditionRequired, BadCondition, ExampleLeft)
)
async def update_rule(
    rule_id: UUID, body: RuleUpdate, caller: Administrator, unit: Unit, if_match: IfMatch
) -> RuleRead:
    """Change a rule. What occurred before is judged by the version before, however late it is learned."""
    rule = await records.lock_rule(unit, rule_id, version=if_match)
    given = {name: value for name, value in body if value is not None}
    if body.document is not None:
        await _check(unit, body.document, now=unit.now)
        given["document"] = rules.written(body.document)
    change = rules.update(rule, given, now=unit.now)
    if change is None:
        return RuleRead.model_validate(rule)
    if change.after.mode is not Mode.OFF and Document.model_validate(change.after.document).has_examples:
        raise ExampleLeft
    records.write(unit, [change])
    return RuleRead.model_validate(change.after)


@router.delete("/{rule_id}", status_code=204, responses=problems(NotFound, PreconditionFailed, PreconditionRequired))
async def delete_rule(rule_id: UUID, caller: Administrator, unit: Unit, if_match: IfMatch) -> None:
    """Delete a rule. What it did stays in the log."""
    rule = await records.lock_rule(unit, rule_id, version=if_match)
    records.write(unit, [rules.delete(rule, now=unit.now)])


@router.get("/{rule_id}/runs", responses=problems(NotFound))
async def list_rule_runs(
    rule_id: UUID,
    caller: Administrator,
    unit: Unit,
    page: Page,
    outcome: str | None = None,
    subject_id: UUID | None = None,
) -> PageOf[RunRead]:
    """List a rule's firings and what came of them, newest first."""
    await records.read_rule(unit, rule_id)
    given = {"rule_id": rule_id, "outcome": outcome, "subject_id": subject_id}
    rows, cursor = await read_page(unit, records.RUNS, given, page=page)
    return PageOf(items=[RunRead.model_validate(row) for row in rows], next_cursor=cursor)


@router.post("/{rule_id}/backtest", responses=problems(NotFound, BadCondition, EmptyPeriod))
async def backtest_rule(rule_id: UUID, body: BacktestAsk, caller: Administrator, unit: Unit) -> BacktestRead:
    """Replay a rule, or another document in its place, over a past period. Nothing is written."""
    rule = await records.read_rule(unit, rule_id)
    return await _backtest(unit, body, body.document or Document.model_validate(rule.document))


@router.get("/{rule_id}/undo", responses=problems(NotFound))
async def read_undo_report(rule_id: UUID, caller: Administrator, unit: Unit) -> list[UndoItem]:
    """Read what a rule changed, newest first, and whether each change still stands as it left it."""
    await records.read_rule(unit, rule_id)
    return await service.undo_report(unit, rule_id)


@notifications.get("")
async def list_notifications(caller: CurrentCaller, unit: Unit, page: Page) -> PageOf[NotificationRead]:
    """List what you were told, newest first."""
    rows, cursor = await read_page(unit, records.NOTIFICATIONS, {"user_id": caller.user_id}, page=page)
    return PageOf(items=[NotificationRead.model_validate(row) for row in rows], next_cursor=cursor)


@notifications.post("/{notification_id}/read", responses=problems(NotFound))
async def read_notification(notification_id: UUID, caller: CurrentCaller, unit: Unit) -> NotificationRead:
    """Say that you have read it."""
    rows = await unit.fetch(records.READ, id=notification_id, user_id=caller.user_id)
    if not rows:
        raise NotFound("notification")
    return NotificationRead.model_validate(rows[0])


async def _check(unit: Unit, document: Document, *, now: datetime) -> None:
    custom = await records.custom_samples(unit) if conditions.names_custom_fields(document) else None
    conditions.check(document, now=now, custom=custom)


async def _backtest(unit: Unit, body: BacktestAsk, document: Document) -> BacktestRead:
    if body.begins >= body.ends:
        raise EmptyPeriod
    await _check(unit, document, now=body.ends)
    return await service.backtest(unit, document, begins=body.begins, ends=body.ends, above=body.above)
