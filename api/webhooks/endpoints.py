"""`/v1/webhooks`: where events are sent, what became of each, and sending one again."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Request, Response
from pydantic_core import to_json
from uuid_utils.compat import uuid7

from api.edge.dependencies import Administrator, IfMatch, Unit
from api.edge.flags import Feature, FeatureOff, require_feature
from api.edge.pages import Page, PageOf, read_page
from api.edge.routing import problems, slice_router
from api.edge.services import services_of
from api.kernel import auditing
from api.kernel.changes import expect
from api.kernel.errors import NotFound, PreconditionFailed, PreconditionRequired
from api.webhooks import records, rules
from api.webhooks.rules import BadAddress, TooManyWebhooks, UnknownEventType, Webhook, WebhookDisabled
from api.webhooks.schemas import DeliveryRead, WebhookCreate, WebhookMade, WebhookRead, WebhookUpdate
from api.webhooks.sealing import seal
from contracts.settings import OutgoingSettings

router = slice_router(prefix="/webhooks", tags=["webhooks"])

_CHANGING = (NotFound, PreconditionFailed, PreconditionRequired)


@router.get("")
async def list_webhooks(caller: Administrator, unit: Unit, page: Page) -> PageOf[WebhookRead]:
    """List webhooks, oldest first."""
    rows, cursor = await read_page(unit, records.WEBHOOKS, {}, page=page)
    return PageOf(items=[WebhookRead.model_validate(row) for row in rows], next_cursor=cursor)


@router.get("/event-types")
async def list_webhook_event_types(caller: Administrator) -> PageOf[str]:
    """List the types of events that a webhook may ask for."""
    return PageOf(items=list(rules.EVENT_TYPES), next_cursor=None)


@router.post("", status_code=201, responses=problems(BadAddress, UnknownEventType, TooManyWebhooks, FeatureOff))
async def create_webhook(
    body: WebhookCreate, caller: Administrator, unit: Unit, request: Request, response: Response
) -> WebhookMade:
    """Send events to an address. The answer is the only one with the secret, so it is kept for no Idempotency-Key."""
    request.state.idempotency_key = None
    await require_feature(services_of(request).flags, caller, Feature.WEBHOOKS)
    rules.check_address(body.url, allow=OutgoingSettings().outgoing_allow)
    await records.require_room(unit, rules.MOST_WEBHOOKS)
    webhook_id, secret = uuid7(), rules.draw_secret()
    sealed = seal(services_of(request).vault, caller.organization_id, webhook_id, secret)
    change = rules.create(webhook_id, body.model_dump(), sealed=sealed, now=unit.now)
    records.write_webhook(unit, change, now=unit.now)
    response.headers["Location"] = f"/v1/webhooks/{webhook_id}"
    return _made(change.after, secret)


@router.get("/{webhook_id}", responses=problems(NotFound))
async def read_webhook(webhook_id: UUID, caller: Administrator, unit: Unit) -> WebhookRead:
    """Read a webhook."""
    return WebhookRead.model_validate(await records.find(unit, webhook_id))


@router.patch("/{webhook_id}", responses=problems(*_CHANGING, BadAddress, UnknownEventType))
async def update_webhook(
    webhook_id: UUID, body: WebhookUpdate, caller: Administrator, unit: Unit, if_match: IfMatch
) -> WebhookRead:
    """Change where events are sent, or which; disable a webhook, or make it active again."""
    given = body.model_dump(exclude_unset=True)
    if "url" in given:
        rules.check_address(given["url"], allow=OutgoingSettings().outgoing_allow)
    webhook = expect(await records.lock(unit, webhook_id), "webhook", version=if_match)
    change = rules.update(webhook, given, now=unit.now)
    if change is not None:
        records.write_webhook(unit, change, now=unit.now)
    return WebhookRead.model_validate(change.after if change else webhook)


@router.delete("/{webhook_id}", status_code=204, responses=problems(*_CHANGING))
async def delete_webhook(webhook_id: UUID, caller: Administrator, unit: Unit, if_match: IfMatch) -> None:
    """Delete a webhook and its deliveries: what waits is not sent any more."""
    webhook = expect(await records.lock(unit, webhook_id), "webhook", version=if_match)
    records.remove(unit, webhook)
    auditing.note(unit, "webhook.deleted", resource="webhook", resource_id=webhook.id, before={"url": webhook.url})


@router.post("/{webhook_id}/secret", responses=problems(NotFound))
async def rotate_webhook_secret(webhook_id: UUID, caller: Administrator, unit: Unit, request: Request) -> WebhookMade:
    """Draw a new secret, shown once. For 24 hours deliveries carry signatures of both, the new and the one before."""
    request.state.idempotency_key = None
    webhook = expect(await records.lock(unit, webhook_id), "webhook")
    secret = rules.draw_secret()
    change = rules.rotate(
        webhook, seal(services_of(request).vault, caller.organization_id, webhook_id, secret), now=unit.now
    )
    records.write_webhook(unit, change, now=unit.now)
    auditing.note(unit, "webhook.secret_rotated", resource="webhook", resource_id=webhook_id)
    return _made(change.after, secret)


@router.get("/{webhook_id}/deliveries", responses=problems(NotFound))
async def list_webhook_deliveries(
    webhook_id: UUID,
    caller: Administrator,
    unit: Unit,
    page: Page,
    status: Annotated[rules.DeliveryStatus | None, Query(description="Only those that are so far.")] = None,
) -> PageOf[DeliveryRead]:
    """List what was sent by a webhook and what waits, newest first, for 30 days."""
    await records.find(unit, webhook_id)
    given = {"webhook_id": webhook_id, "status": status}
    rows, cursor = await read_page(unit, records.DELIVERIES, given, page=page)
    return PageOf(items=[DeliveryRead.model_validate(row) for row in rows], next_cursor=cursor)


@router.post("/{webhook_id}/deliveries/{delivery_id}/replay", responses=problems(NotFound, WebhookDisabled))
async def replay_webhook_delivery(
    webhook_id: UUID, delivery_id: UUID, caller: Administrator, unit: Unit
) -> DeliveryRead:
    """Send a delivery again, under the same id."""
    webhook = expect(await records.lock(unit, webhook_id), "webhook")
    delivery = expect(await records.lock_delivery(unit, webhook_id, delivery_id), "delivery")
    again = rules.replayed(webhook, delivery, now=unit.now)
    records.write_delivery(unit, delivery, again)
    return DeliveryRead.model_validate(again)


@router.post("/{webhook_id}/test", status_code=201, responses=problems(NotFound, WebhookDisabled))
async def test_webhook(webhook_id: UUID, caller: Administrator, unit: Unit) -> DeliveryRead:
    """Send an event of type `webhook.test`, which tells nothing. What becomes of it is among the deliveries."""
    webhook = expect(await records.lock(unit, webhook_id), "webhook")
    if webhook.state is rules.WebhookState.DISABLED:
        raise WebhookDisabled
    event_id = uuid7()
    body = {
        "id": event_id,
        "type": rules.TEST_TYPE,
        "version": 1,
        "organization_id": caller.organization_id,
        "occurred_at": unit.now,
        "recorded_at": unit.now,
        "data": {"webhook_id": webhook_id},
    }
    delivery = rules.queued(webhook_id, event_id, rules.TEST_TYPE, to_json(body).decode(), now=unit.now)
    records.write_delivery(unit, None, delivery)
    return DeliveryRead.model_validate(delivery)


def _made(webhook: Webhook, secret: str) -> WebhookMade:
    return WebhookMade(**WebhookRead.model_validate(webhook).model_dump(), secret=secret)
