"""Conditions of steps, in CEL as those of rules, over `contact`, `company`, `deal` and `recipient`.

    !recipient.has_replied && deal.amount > 10000.0

What somebody lacks is null, and a comparison with it is no reason to write.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from api.campaigns.state import Recipient
from api.kernel import conditions
from api.kernel.unit_of_work import Row
from contracts.money import MINOR_DIGITS

#: What may be named, with a value of each for trying a condition.
ROOTS: Mapping[str, Mapping[str, Any]] = {
    "contact": {"id": "", "name": "", "email": "", "phone": "", "source": "", "custom": {}},
    "company": {"id": "", "name": "", "domain": ""},
    "deal": {"id": "", "title": "", "amount": 1.5, "currency": "EUR", "stage": ""},
    "recipient": {"step": 1, "has_replied": True, "days_enrolled": 1.5},
}


def check(text: str, *, pointer: str, now: datetime) -> None:
    """Refuse a condition that cannot be read, or names what there is not.

    Raises:
        BadCondition: it says what and where.
    """
    conditions.check(text, ROOTS, pointer=pointer, now=now)


def holds(text: str, roots: Mapping[str, Mapping[str, Any]], now: datetime) -> bool:
    """Whether it is so; an empty one always is."""
    condition = conditions.compiled_condition(text)
    return condition is None or condition.holds(conditions.context_of([condition], roots, now))


def roots_of(person: Row, recipient: Recipient, now: datetime) -> dict[str, dict[str, Any]]:
    """What a condition is asked about."""
    minor = person.deal_amount_minor
    return {
        "contact": {
            "id": str(person.id),
            "name": person.name,
            "email": person.email,
            "phone": person.phone,
            "source": person.source,
            "custom": person.custom,
        },
        "company": {
            "id": None if person.company_id is None else str(person.company_id),
            "name": person.company_name,
            "domain": person.company_domain,
        },
        "deal": {
            "id": None if person.deal_id is None else str(person.deal_id),
            "title": person.deal_title,
            "amount": None if minor is None else minor / 10 ** MINOR_DIGITS.get(person.deal_currency, 2),
            "currency": person.deal_currency,
            "stage": person.deal_stage,
        },
        "recipient": {
            "step": recipient.step,
            "has_replied": recipient.replied_at is not None,
            "days_enrolled": (now - recipient.created_at).total_seconds() / 86_400,
        },
    }
