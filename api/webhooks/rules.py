"""Rules of webhooks: what may be one, what it signs with, and what becomes of a delivery. No I/O."""

import secrets
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from standardwebhooks import Webhook as Signer
from uuid_utils.compat import uuid7

from api.edge.outgoing import Answer
from api.kernel import changes
from api.kernel.changes import Versioned, revised
from api.kernel.errors import Conflict, Unprocessable
from contracts.events.registry import EVENTS
from contracts.networks import is_public

#: The types of events that a webhook may ask for.
EVENT_TYPES: Sequence[str] = sorted({kind for kind, _ in EVENTS})
#: The type of what `…/test` sends.
TEST_TYPE = "webhook.test"

MOST_WEBHOOKS = 50
#: Seconds to the next attempt; after the last the delivery has failed.
AGAIN = (5, 300, 1_800, 7_200, 18_000, 36_000, 36_000)
#: A webhook that failed all this time is disabled.
PATIENCE = timedelta(days=5)
#: After a rotation the secret before signs too, for as long as receivers may take to change it.
OVERLAP = timedelta(hours=24)

_SECRET_BYTES = 32
_ANSWER_LENGTH = 500
_GONE = 410


class BadAddress(Unprocessable):
    """The address is none that a webhook may have."""

    code, pointer = "bad_address", "/url"


class UnknownEventType(Unprocessable):
    """There are no events of this type."""

    code, pointer = "unknown_event_type", "/event_types"


class TooManyWebhooks(Conflict):
    """The organization has as many as it may."""

    code, detail = "too_many_webhooks", f"There are {MOST_WEBHOOKS} webhooks already. Delete one that is not needed."


class WebhookDisabled(Conflict):
    """Nothing is sent by a webhook that is disabled."""

    code, detail = "webhook_disabled", 'The webhook is disabled. Make it active first (PATCH with state "active").'


class WebhookState(StrEnum):
    """Whether a webhook sends."""

    ACTIVE = "active"
    DISABLED = "disabled"


class DeliveryStatus(StrEnum):
    """How far a delivery is."""

    PENDING = "pending"
    SENT = "sent"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Webhook(Versioned):
    """A webhook as it is kept."""

    url: str
    event_types: list[str]
    sealed: bytes
    sealed_before: bytes | None = None
    before_until: datetime | None = None
    state: WebhookState = WebhookState.ACTIVE
    reason: str | None = None
    first_failed_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """A delivery as it is kept."""

    id: UUID
    webhook_id: UUID
    event_id: UUID
    event_type: str
    body: str
    created_at: datetime
    status: DeliveryStatus = DeliveryStatus.PENDING
    attempts: int = 0
    next_attempt_at: datetime | None = None
    sent_at: datetime | None = None
    answer_status: int | None = None
    answer: str | None = None
    error: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What one attempt came to: an answer, or why there was none."""

    answer: Answer | None = None
    error: str | None = None
    #: Trying again does not help.
    is_final: bool = False


Change = changes.Change[Webhook]


def draw_secret() -> str:
    """A new secret, as Standard Webhooks writes it."""
    return "whsec_" + b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def signed(body: str, event_id: UUID, now: datetime, used: Iterable[str]) -> dict[str, str]:
    """The headers of a delivery, signed with each of the secrets."""
    return {
        "content-type": "application/json",
        "webhook-id": str(event_id),
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(Signer(secret).sign(str(event_id), now, body) for secret in used),
    }


def check_address(url: str, *, allow: Iterable[str]) -> None:
    """Refuse an address that could never be called. Names are looked at each time they are called.

    Raises:
        BadAddress: as it says.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise BadAddress(f"This is no address: {error}.") from error
    if parts.scheme not in {"http", "https"} or not host or "@" in parts.netloc or parts.fragment:
        raise BadAddress("The address must be http(s)://host/…, without a user or a fragment in it.")
    try:
        address = ip_address(host)
    except ValueError:
        return
    if not is_public(address, allow=[ip_network(one) for one in allow]):
        raise BadAddress(f"{host} is not a public address.")


def check_types(event_types: Iterable[str]) -> list[str]:
    """The types, sorted.

    Raises:
        UnknownEventType: there are no such events.
    """
    if unknown := sorted(set(event_types) - set(EVENT_TYPES)):
        raise UnknownEventType(f"There are no events {unknown[0]!r}. GET /v1/webhooks/event-types lists all types.")
    return sorted(set(event_types))


def create(webhook_id: UUID, given: Mapping[str, Any], *, sealed: bytes, now: datetime) -> Change:
    """A new webhook.

    Raises:
        UnknownEventType: as it says.
    """
    made = Webhook(
        id=webhook_id,
        version=1,
        created_at=now,
        updated_at=now,
        url=given["url"],
        event_types=check_types(given["event_types"]),
        sealed=sealed,
    )
    return Change(None, made)


def update(webhook: Webhook, given: Mapping[str, Any], *, now: datetime) -> Change | None:
    """The same webhook otherwise; None where nothing differs. Made active, it has failed nothing yet.

    Raises:
        UnknownEventType: as it says.
    """
    wanted = dict(given)
    if "event_types" in wanted:
        wanted["event_types"] = check_types(wanted["event_types"])
    wanted = {name: value for name, value in wanted.items() if getattr(webhook, name) != value}
    if "state" in wanted:
        is_active = wanted["state"] is WebhookState.ACTIVE
        wanted |= {"reason": None if is_active else "Disabled by hand.", "first_failed_at": None}
    return Change(webhook, revised(webhook, now, **wanted)) if wanted else None


def rotate(webhook: Webhook, sealed: bytes, *, now: datetime) -> Change:
    """The webhook with a new secret; the one before signs for a while too."""
    after = revised(webhook, now, sealed=sealed, sealed_before=webhook.sealed, before_until=now + OVERLAP)
    return Change(webhook, after)


def queued(webhook_id: UUID, event_id: UUID, event_type: str, body: str, *, now: datetime) -> Delivery:
    """A delivery that is due."""
    return Delivery(
        id=uuid7(),
        webhook_id=webhook_id,
        event_id=event_id,
        event_type=event_type,
        body=body,
        created_at=now,
        next_attempt_at=now,
    )


def replayed(webhook: Webhook, delivery: Delivery, *, now: datetime) -> Delivery:
    """A delivery that is due again, from its first attempt.

    Raises:
        WebhookDisabled: as it says.
    """
    if webhook.state is WebhookState.DISABLED:
        raise WebhookDisabled
    return replace(delivery, status=DeliveryStatus.PENDING, attempts=0, next_attempt_at=now, error=None)


def after_attempt(webhook: Webhook, delivery: Delivery, outcome: Outcome, *, now: datetime) -> Delivery:
    """The delivery after an attempt, of which `attempts` already tells. It waits where its webhook is disabled."""
    answer = outcome.answer
    tried = replace(
        delivery,
        answer_status=answer.status if answer else None,
        answer=_beginning(answer.body) if answer else None,
        error=outcome.error,
        next_attempt_at=None,
    )
    if answer is not None and answer.is_success:
        return replace(tried, status=DeliveryStatus.SENT, sent_at=now)
    tried = replace(tried, error=outcome.error or f"It answered {answer.status if answer else 'nothing'}.")
    if outcome.is_final or _is_gone(outcome) or delivery.attempts > len(AGAIN):
        return replace(tried, status=DeliveryStatus.FAILED)
    if webhook.state is WebhookState.DISABLED:
        return tried
    return replace(tried, next_attempt_at=now + timedelta(seconds=AGAIN[max(delivery.attempts, 1) - 1]))


def judged(webhook: Webhook, outcome: Outcome, *, now: datetime) -> Webhook:
    """The webhook after an attempt: one that is gone, or fails for days, is disabled."""
    if outcome.answer is not None and outcome.answer.is_success:
        return replace(webhook, first_failed_at=None)
    since = webhook.first_failed_at or now
    if webhook.state is WebhookState.ACTIVE and _is_gone(outcome):
        return _disabled(webhook, "The receiver answered 410 Gone.", since, now)
    if webhook.state is WebhookState.ACTIVE and now - since >= PATIENCE:
        return _disabled(webhook, f"Every delivery failed for {PATIENCE.days} days.", since, now)
    return replace(webhook, first_failed_at=since)


def _disabled(webhook: Webhook, reason: str, since: datetime, now: datetime) -> Webhook:
    return revised(webhook, now, state=WebhookState.DISABLED, reason=reason, first_failed_at=since)


def _is_gone(outcome: Outcome) -> bool:
    return outcome.answer is not None and outcome.answer.status == _GONE


def _beginning(body: bytes) -> str:
    return body[:_ANSWER_LENGTH].decode(errors="replace").replace("\x00", "\ufffd")
