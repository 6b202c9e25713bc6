"""Contacts on their way to a first deal, at random."""

import random
from typing import Any
from uuid import UUID

from contracts.events.activities import ActivityKind, ActivityLogged
from contracts.events.relations import ContactCreated, ContactUpdated
from tests.event_history import BEGINNING, AnyEvent, EventLog, days


def lead_history() -> list[AnyEvent]:
    """Contacts who are called, written to and changed at random; half of them become a deal."""
    log, chance = EventLog(UUID(int=7)), random.Random(7)
    log.organization()
    pipeline = log.pipeline()
    for _ in range(12):
        contact, at = log.new_id(), BEGINNING + days(chance.random() * 20)
        state: dict[str, Any] = {"company_id": None, "owner_id": None, "source_id": None}
        log.add(ContactCreated(**state), contact, at=at)
        for _ in range(6):
            at += days(chance.random() * 5)
            facts: dict[str, Any] = {"author_id": None, "deal_id": None, "company_id": None, "duration_seconds": None}
            what = chance.randrange(3)
            if what == 0:
                state = {**state, "source_id": log.new_id()}
                log.add(ContactUpdated(**state, changed_fields=["source"]), contact, at=at)
            elif what == 1:
                call = {
                    **facts,
                    "kind": ActivityKind.CALL,
                    "contact_id": contact,
                    "took_place_at": at,
                    "direction": "in",
                }
                log.add(ActivityLogged(**call), log.new_id(), at=at)
            elif chance.random() < 0.5:
                log.deal(pipeline, at=at, contact_id=contact)
    return log.events
