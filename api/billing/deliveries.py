"""What Stripe delivers by webhook: its signature is checked, and it is kept for the worker."""

import time
from typing import Any

import stripe
from pydantic_core import from_json
from sqlalchemy import text

from api.db.statements import compiled
from api.kernel.errors import CrmError, InvalidRequest
from api.kernel.unit_of_work import UnitOfWork
from contracts.settings import BillingSettings

#: How far a delivery's clock may be from ours, in seconds, either way.
TOLERANCE = 300

_KEEP = compiled(
    text("""
insert into stripe_events (event_id, type, object_id, customer_id, body)
values (:event_id, :type, :object_id, :customer_id, :body) on conflict do nothing
""")
)


class SignatureInvalid(CrmError):
    """The delivery is not signed as Stripe would."""

    status, code, title = 400, "signature_invalid", "Signature invalid"


def check_signature(settings: BillingSettings, body: bytes, header: str | None) -> None:
    """Make sure that one of the secrets signed exactly these bytes, just now.

    Raises:
        SignatureInvalid: says which of these does not hold.
    """
    secrets = settings.stripe_webhook_secrets
    kept = [one.strip() for one in secrets.get_secret_value().split(",")] if secrets else []
    signed_at = _signed_at(header)
    if abs(time.time() - signed_at) > TOLERANCE:
        raise SignatureInvalid(f"It was signed more than {TOLERANCE} seconds from now.")
    for secret in filter(None, kept):
        try:
            stripe.WebhookSignature.verify_header(body, header, secret)
        except (stripe.SignatureVerificationError, UnicodeDecodeError):
            continue
        return
    raise SignatureInvalid("No secret of ours made this signature of these bytes.")


def _signed_at(header: str | None) -> int:
    parts = dict(part.partition("=")[::2] for part in (header or "").split(","))
    stamp = parts.get("t", "")
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12):
        raise SignatureInvalid("There is no Stripe-Signature header with a time.")
    return int(stamp)


def keep(unit: UnitOfWork, body: bytes) -> None:
    """Queue the delivery; a repeated one changes nothing.

    Raises:
        InvalidRequest: it is no event.
    """
    try:
        event: dict[str, Any] = from_json(body)
        found = event["data"]["object"]
        row = {"event_id": str(event["id"]), "type": str(event["type"]), "object_id": str(found.get("id", ""))}
        customer = found["id"] if found.get("object") == "customer" else found.get("customer")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidRequest("This is no event of Stripe's.") from error
    customer_id = customer.get("id") if isinstance(customer, dict) else customer
    unit.execute(_KEEP, **row, customer_id=customer_id, body=body)
