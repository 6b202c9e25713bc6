"""What Stripe delivers by webhook: its signature is checked, and it is kept for the worker."""

import logging
import time
from typing import Any

import stripe
from pydantic_core import from_json
from sqlalchemy import text

from api.billing.provider import API_VERSION
from api.db.statements import compiled
from api.kernel.errors import CrmError, InvalidRequest
from api.kernel.unit_of_work import UnitOfWork
from contracts.settings import BillingSettings

_log = logging.getLogger(__name__)

#: How far a delivery's clock may be from ours, in seconds, either way.
TOLERANCE = 300

_KEEP = compiled(
    text("""
insert into stripe_events (event_id, type, object_id, customer_id, body, signature, api_version)
values (:event_id, :type, :object_id, :customer_id, :body, :signature, :api_version) on conflict do nothing
""")
)


class SignatureInvalid(CrmError):
    """The delivery is not signed as Stripe would."""

    status, code, title = 400, "signature_invalid", "Signature invalid"


def check_signature(settings: BillingSettings, body: bytes, header: str | None) -> None:
    """Make sure that one of the secrets signed exactly these bytes, just now.

    Raises:
        SignatureInvalid: says which of these does not hold; the log says so too, and nothing of body or secrets.
    """
    try:
        _check(settings, body, header)
    except SignatureInvalid as error:
        _log.warning("a delivery to Stripe's address is refused: %s (%d bytes)", error.detail, len(body))
        raise


def _check(settings: BillingSettings, body: bytes, header: str | None) -> None:
    secrets = settings.stripe_webhook_secrets
    kept = [one.strip() for one in secrets.get_secret_value().split(",")] if secrets else []
    signed_at = _signed_at(header)
    age = time.time() - signed_at
    if age > TOLERANCE:
        raise SignatureInvalid(f"It was signed more than {TOLERANCE} seconds ago.")
    if age < -TOLERANCE:
        raise SignatureInvalid(f"It was signed more than {TOLERANCE} seconds ahead of the clock here.")
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


def keep(unit: UnitOfWork, body: bytes, signature: str | None) -> None:
    """Queue the delivery; a repeated one changes nothing.

    Raises:
        InvalidRequest: it is no event.
    """
    try:
        event: dict[str, Any] = from_json(body)
        found = event["data"]["object"]
        about = found["invoice"] if found.get("object") == "credit_note" else found.get("id", "")
        row = {"event_id": str(event["id"]), "type": str(event["type"]), "object_id": str(about)}
        version = event.get("api_version")
        customer = found["id"] if found.get("object") == "customer" else found.get("customer")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidRequest("This is no event of Stripe's.") from error
    customer_id = customer.get("id") if isinstance(customer, dict) else customer
    if version != API_VERSION:  # it is believed for its object's id alone, which no version writes otherwise
        _log.warning("Stripe delivers events of version %r, this is written for %s", version, API_VERSION)
    unit.execute(_KEEP, **row, customer_id=customer_id, body=body, signature=signature, api_version=version)
