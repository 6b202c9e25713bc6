"""What accounts cost and how complete their days are, counted by hand: from events through the marts to the answer."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from contracts.channels import Channel
from contracts.events.bd_accounts import AccountDayCompared
from contracts.events.rentals import RentalCancelled, RentalHandedOver, RentalOrdered, RentalRenewed
from tests.event_history import BEGINNING, EventLog, days
from tests.metrics.conftest import Asker
from tests.metrics.stories import Told


def _tell(log: EventLog) -> UUID:
    ada, account = log.user(at=BEGINNING), log.new_id()
    rented, cancelled = log.new_id(), log.new_id()
    rent: dict[str, Any] = {"channel": Channel.TELEGRAM, "kind": "rent", "price_minor": 2_500, "currency": "EUR"}
    rent |= {"months": 3, "user_id": ada, "account_id": None}
    for one in (rented, cancelled):
        log.add(RentalOrdered(**rent), one, at=BEGINNING + days(1))
    log.add(RentalCancelled(**rent, reason="price_changed"), cancelled, at=BEGINNING + days(1.1))
    rent |= {"account_id": account}
    end = BEGINNING + days(92)
    log.add(RentalHandedOver(**rent, paid_minor=7_500, ends_at=end), rented, at=BEGINNING + days(2))
    longer = rent | {"months": 4}
    log.add(
        RentalRenewed(**longer, paid_minor=2_500, ends_at=end + timedelta(days=30)), rented, at=BEGINNING + days(40)
    )
    for number in range(3):
        day, began_at = log.new_id(), BEGINNING + days(10 + number)
        counts: dict[str, Any] = {"account_id": account, "channel": Channel.EMAIL, "began_at": began_at}
        counts |= {"provider": 100, "filtered": 0, "failed": 0}
        if number == 1:
            log.add(AccountDayCompared(**counts, stored=99, missing=1, healed=0), day, at=began_at + days(1))
            log.add(AccountDayCompared(**counts, stored=100, missing=0, healed=1), day, at=began_at + days(2))
        else:
            log.add(
                AccountDayCompared(**counts, stored=100 - number, missing=number, healed=0), day, at=began_at + days(1)
            )
    return ada


_STORY = Told(_tell)


def test_counts_what_was_paid_for_accounts(ask_built: Callable[[EventLog], Asker]) -> None:
    asker, ada = ask_built(_STORY.log), _STORY.by
    period: dict[str, Any] = {"start": BEGINNING.date(), "end": (BEGINNING + days(60)).date()}

    def costs(**given: Any) -> list[tuple[str | None, int, int]]:
        rows = asker.answer("account_costs", **period, **given).rows
        return [(row["group"], row["payments"], row["paid_minor"]) for row in rows]

    assert costs() == [(None, 2, 10_000)]
    assert costs(group_by="user") == [(str(ada), 2, 10_000)]
    assert costs(group_by="month") == [("2026-01", 1, 7_500), ("2026-02", 1, 2_500)]


def test_golden_13_counts_days_of_which_everything_is_there_as_it_was_known(
    ask_built_either: Callable[[EventLog], Asker],
) -> None:
    asker = ask_built_either(_STORY.log)
    period: dict[str, Any] = {"start": BEGINNING.date(), "end": (BEGINNING + days(60)).date()}

    def complete(**given: Any) -> list[tuple[int, int]]:
        return [(row["complete"], row["incomplete"]) for row in asker.answer("completeness", **period, **given).rows]

    assert complete() == [(2, 1)]
    assert complete(as_of=(BEGINNING + days(12.5)).isoformat()) == [(1, 1)]
