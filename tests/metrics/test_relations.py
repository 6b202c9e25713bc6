"""The duplicate rate, counted by hand: from events of contacts and companies to the answer."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from contracts.events.relations import (
    CompanyCreated,
    CompanyMerged,
    ContactCreated,
    ContactDeleted,
    ContactMerged,
    ContactUnmerged,
    ContactUpdated,
)
from tests.event_history import BEGINNING, EventLog, days
from tests.metrics.conftest import Asker
from tests.metrics.stories import Told

_COMPANY: dict[str, Any] = {"industry_id": None, "employee_count": None, "country": None}


def _tell(log: EventLog) -> tuple[UUID, UUID]:
    ada, ben = log.user(), log.user()

    def contact(owner: UUID, day: float) -> UUID:
        made = log.new_id()
        log.add(ContactCreated(company_id=None, owner_id=owner, source_id=None), made, at=BEGINNING + days(day))
        return made

    kept, same, apart, gone, handed, _late = (
        contact(owner, day) for owner, day in ((ada, 1), (ada, 2), (ben, 3), (ben, 4), (ben, 5), (ben, 60))
    )
    log.add(ContactMerged(survivor_id=kept), same, at=BEGINNING + days(10))
    log.add(ContactMerged(survivor_id=kept), apart, at=BEGINNING + days(10))
    log.add(ContactUnmerged(survivor_id=kept), apart, at=BEGINNING + days(20))
    log.add(ContactDeleted(company_id=None, owner_id=ben, source_id=None), gone, at=BEGINNING + days(11))
    log.add(
        ContactUpdated(company_id=None, owner_id=ada, source_id=None, changed_fields=["owner_id"]),
        handed,
        at=BEGINNING + days(12),
    )
    log.add(ContactMerged(survivor_id=kept), handed, at=BEGINNING + days(13))
    one, other = log.new_id(), log.new_id()
    for company in (one, other):
        log.add(CompanyCreated(owner_id=ben, **_COMPANY), company, at=BEGINNING + days(6))
    log.add(CompanyMerged(survivor_id=one), other, at=BEGINNING + days(7))
    return ada, ben


_STORY = Told(_tell)


def test_what_was_merged_is_a_duplicate_of_when_it_was_made(ask_built: Callable[[EventLog], Asker]) -> None:
    asker, (ada, ben) = ask_built(_STORY.log), _STORY.by
    period: dict[str, Any] = {"start": BEGINNING.date(), "end": (BEGINNING + days(35)).date()}

    def counts(**asked: Any) -> dict[str | None, tuple[int, int]]:
        rows = asker.answer("duplicate_rate", **period, **asked).rows
        return {row["group"]: (row["merged"], row["single"]) for row in rows}

    # of five contacts that are not deleted two are part of another one, of two companies one
    assert counts(group_by="kind") == {"contact": (2, 2), "company": (1, 1)}
    # a merged record is its last owner's
    assert counts(group_by="user") == {str(ada): (2, 1), str(ben): (1, 2)}
    [whole] = asker.answer("duplicate_rate", **period).rows
    assert (whole["merged"], whole["single"], round(whole["duplicate_rate"], 3)) == (3, 3, 0.5)
    # before the merge was taken back it counted
    earlier = counts(group_by="kind", as_of=(BEGINNING + days(15)).isoformat())
    assert earlier["contact"] == (3, 1)
