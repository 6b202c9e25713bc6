"""Statements about webhooks and deliveries."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import bindparam, delete, func, select, text
from uuid_utils.compat import uuid7

from api.db.statements import compiled
from api.kernel.changes import Change
from api.kernel.errors import NotFound
from api.kernel.hints import hint
from api.kernel.listing import Listing
from api.kernel.states import as_state, as_states, rows_of
from api.kernel.unit_of_work import UnitOfWork
from api.kernel.writing import write
from api.models.rule import Notification
from api.models.user import User
from api.models.webhook import Webhook as WebhookRow
from api.models.webhook import WebhookDelivery as DeliveryRow
from api.webhooks.rules import Delivery, TooManyWebhooks, Webhook, WebhookState
from contracts.access import Role

#: What is hinted at where a delivery may go at once.
WORK = "webhooks"

_conditions = {"id": WebhookRow.id == bindparam("id")}
#: Webhooks, oldest first.
WEBHOOKS = Listing(rows_of(Webhook, WebhookRow), filters=_conditions, order=(WebhookRow.id,))
#: Deliveries of one webhook, newest first.
DELIVERIES = Listing(
    rows_of(Delivery, DeliveryRow),
    filters={
        "webhook_id": DeliveryRow.webhook_id == bindparam("webhook_id"),
        "status": DeliveryRow.status == bindparam("status"),
    },
    order=(DeliveryRow.id,),
    newest_first=True,
)
_LOCK = compiled(rows_of(Webhook, WebhookRow).where(WebhookRow.id == bindparam("id")).with_for_update())
_LOCK_DELIVERY = compiled(
    rows_of(Delivery, DeliveryRow)
    .where(DeliveryRow.id == bindparam("id"), DeliveryRow.webhook_id == bindparam("webhook_id"))
    .with_for_update()
)
_COUNT = compiled(select(func.count().label("n")).where(WebhookRow.organization_id == bindparam("organization_id")))
_DELETE = compiled(
    delete(WebhookRow).where(
        WebhookRow.organization_id == bindparam("organization_id"), WebhookRow.id == bindparam("id")
    )
)
_ADMINISTRATORS = compiled(
    select(User.id).where(
        User.organization_id == bindparam("organization_id"),
        User.role.in_([Role.OWNER, Role.ADMIN]),
        User.is_active,
    )
)
# locked, as one that is being disabled or deleted is to be looked at afterwards
_WANTING = compiled(
    text("""
select w.id from webhooks w
where w.organization_id = :organization_id and w.state = 'active'
  and (w.event_types = '{}' or :event_type = any(w.event_types))
  and not exists (
    select from webhook_deliveries d
    where d.organization_id = w.organization_id and d.webhook_id = w.id and d.event_id = :event_id)
for key share
""")
)
_HALT = compiled(
    text("""
update webhook_deliveries set next_attempt_at = null
where organization_id = :organization_id and webhook_id = :webhook_id and status = 'pending'
""")
)
_RESUME = compiled(
    text("""
update webhook_deliveries set next_attempt_at = :now
where organization_id = :organization_id and webhook_id = :webhook_id and status = 'pending'
  and next_attempt_at is null
""")
)


async def find(unit: UnitOfWork, webhook_id: UUID) -> Webhook:
    """One webhook.

    Raises:
        NotFound: there is none.
    """
    [rows] = await unit.fetch_all(WEBHOOKS.bind({"id": webhook_id}, after=None, limit=1))
    if not rows:
        raise NotFound("webhook")
    return as_state(Webhook, rows[0])


async def lock(unit: UnitOfWork, webhook_id: UUID) -> Webhook | None:
    """One webhook, locked."""
    found = as_states(Webhook, await unit.fetch(_LOCK, id=webhook_id))
    return found[0] if found else None


async def lock_delivery(unit: UnitOfWork, webhook_id: UUID, delivery_id: UUID) -> Delivery | None:
    """One delivery of a webhook, locked."""
    found = as_states(Delivery, await unit.fetch(_LOCK_DELIVERY, id=delivery_id, webhook_id=webhook_id))
    return found[0] if found else None


async def require_room(unit: UnitOfWork, most: int) -> None:
    """Refuse one webhook more.

    Raises:
        TooManyWebhooks: as it says.
    """
    [row] = await unit.fetch(_COUNT)
    if row.n >= most:
        raise TooManyWebhooks


async def wanting(unit: UnitOfWork, event_id: UUID, event_type: str) -> Sequence[UUID]:
    """The webhooks of the organization that want an event, and have no delivery of it."""
    return [row.id for row in await unit.fetch(_WANTING, event_id=event_id, event_type=event_type)]


def write_webhook(unit: UnitOfWork, change: Change[Webhook], *, now: datetime) -> None:
    """Queue what was decided of a webhook; what waits stands still with it, and goes on with it."""
    write(unit, [change], {Webhook: WebhookRow})
    if change.before is not None and change.before.state is not change.after.state:
        if change.after.state is WebhookState.ACTIVE:
            unit.execute(_RESUME, webhook_id=change.after.id, now=now)
            hint(unit, WORK)
        else:
            unit.execute(_HALT, webhook_id=change.after.id)


def write_delivery(unit: UnitOfWork, before: Delivery | None, after: Delivery) -> None:
    """Queue what was decided of a delivery, and let it be sent at once where its time has come."""
    write(unit, [Change(before, after)], {Delivery: DeliveryRow})
    if after.next_attempt_at is not None and after.attempts == 0:
        hint(unit, WORK)


def remove(unit: UnitOfWork, webhook: Webhook) -> None:
    """Queue that a webhook is gone, and its deliveries with it."""
    unit.execute(_DELETE, id=webhook.id)


async def tell_administrators(unit: UnitOfWork, webhook: Webhook) -> None:
    """Queue a notification to whoever can mend a webhook that was disabled."""
    message = f"The webhook to {webhook.url} is disabled. {webhook.reason}"
    for row in await unit.fetch(_ADMINISTRATORS):
        unit.insert(
            Notification,
            {
                "id": uuid7(),
                "user_id": row.id,
                "text": message,
                "subject_type": "webhook",
                "subject_id": webhook.id,
            },
        )
