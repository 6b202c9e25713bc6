"""Random histories, from a seed: several organizations and zones, with everything that makes figures go wrong."""

import json
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import contracts
from contracts.events.deals import DealLineItemsChanged, LineFacts
from contracts.events.registry import EVENTS, parse
from contracts.stages import Outcome, StageKind
from tests.event_history import BEGINNING, AnyEvent, Deal, EventLog, Pipeline, days

_ZONES = ("Europe/Berlin", "America/Havana", "Asia/Kathmandu")
_SPAN_DAYS = 90.0  # from January over the change to summer time


def random_history(seed: int, *, deals: int = 25) -> list[AnyEvent]:
    """Events of one organization per zone, in the order of their recording."""
    events: list[AnyEvent] = []
    for number, zone in enumerate(_ZONES):
        events += _Organization(random.Random(f"{seed}:{zone}"), number=number, zone=zone).live(deals)
    return sorted(events, key=lambda event: (event.recorded_at, event.organization_id, event.aggregate_version))


def _examples() -> Iterator[AnyEvent]:
    """The newest version of each: all are read as that."""
    folder = Path(contracts.__file__).with_name("examples")
    found = (json.loads(path.read_text()) for path in sorted(folder.glob("*.json")))
    return (parse(one) for one in found if (one["type"], one["version"] + 1) not in EVENTS)


class _Organization:
    def __init__(self, rng: random.Random, *, number: int, zone: str) -> None:
        self.rng, self.more = rng, random.Random(number)
        self.log = EventLog(UUID(int=0x70000000000080000000000000000000 + number), seed=rng.randrange(1000))
        self.log.organization(
            time_zone=zone, week_start=rng.choice([1, 7]), fiscal_year_start_month=rng.choice([1, 4, 10])
        )
        self.users = [self.log.user() for _ in range(4)]
        self.teams = [self.log.team() for _ in range(2)]
        self.pipelines = [self._pipeline("New business"), self._pipeline("Renewals")]
        self.members = {user: rng.choice(self.teams) for user in self.users}
        for user, team in self.members.items():
            self.log.join(team, user, at=datetime.fromisoformat("1970-01-01T00:00:00+00:00"), recorded=BEGINNING)

    def live(self, deals: int) -> Sequence[AnyEvent]:
        for _ in range(deals):
            self._deal_life()
        for _ in range(6):
            self._configure()
        for user in self.users:
            for at in sorted(self._instant() for _ in range(3)):
                self.log.sign_in(user, at=at)
        self._add_examples()
        return self.log.events

    def _add_examples(self) -> None:
        """The golden examples of aggregates that the history has none of: enough to fill the marts of a new one."""
        here = {event.aggregate_type for event in self.log.events}
        found: dict[str, list[AnyEvent]] = defaultdict(list)
        for example in sorted(_examples(), key=lambda event: (event.aggregate_type, event.aggregate_version)):
            if example.aggregate_type not in here:
                found[example.aggregate_type].append(example)
        for examples in found.values():
            # nobody records a version of a thing before the one that it follows
            instants, aggregate_id = sorted(self._instant() for _ in examples), self.log.new_id()
            if examples[0].aggregate_type == "usage_report":  # told before anybody is charged for it
                instants = [BEGINNING for _ in examples]
            for example, instant in zip(examples, instants, strict=True):
                self.log.add(example.data, aggregate_id, at=instant)

    def _pipeline(self, name: str) -> Pipeline:
        kinds = [("New", "open"), ("Talk", "open"), ("Offer", "open"), ("Won", "won"), ("Lost", "lost")]
        kinds += [("Paid", "won"), ("Gone", "lost")]
        return self.log.pipeline(name=name, stages=kinds)

    def _instant(self) -> datetime:
        instant = BEGINNING + days(self.rng.uniform(0.0, _SPAN_DAYS))
        # often at a full hour, so that several facts fall on one instant and some on local midnight
        return instant.replace(minute=0, second=0, microsecond=0) if self.rng.random() < 0.5 else instant

    def _deal_life(self) -> None:
        rng, log = self.rng, self.log
        start = self._instant()
        imported = rng.random() < 0.2
        recorded = start + days(30) if imported else start
        deal = log.deal(
            rng.choice(self.pipelines),
            at=start,
            recorded=recorded,
            owner_id=rng.choice([*self.users, None]),
            amount_minor=rng.choice([None, 5, rng.randrange(10**9)]),
            source_id=log.organization_id if rng.random() < 0.5 else None,
        )
        at = start
        for _ in range(rng.randrange(8)):
            at += timedelta(seconds=rng.choice([0, 3600, rng.uniform(0, 6 * 86400)]))
            if not imported:
                recorded = max(recorded, at)
            if rng.random() < 0.25:  # learned late, or true before what is known already
                recorded += days(rng.uniform(0, 3))
                at = max(start, at - days(rng.uniform(0, 5)))
            self._deal_event(deal, at=at, recorded=recorded)
        if self.more.random() < 0.4:
            self._sell(deal, at=recorded)
        if rng.random() < 0.15:
            gone_at = recorded + rng.choice([days(0), days(1)])
            log.delete(deal, at=recorded, recorded=gone_at)
            if self.more.random() < 0.6:
                self._come_back(deal, start=start, at=gone_at + days(self.more.uniform(0.1, 3)))

    def _sell(self, deal: Deal, *, at: datetime) -> None:
        totals = [self.more.randrange(1000) for _ in range(self.more.randrange(1, 4))]
        facts = {
            self.log.new_id(): LineFacts(
                product_id=None, quantity=Decimal(2), unit_price_minor=total, discount_percent=Decimal(50),
                total_minor=total,
            )
            for total in totals
        }  # fmt: skip
        self.log.add(DealLineItemsChanged(currency="EUR", total_minor=sum(totals), lines=facts), deal.id, at=at)

    def _come_back(self, deal: Deal, *, start: datetime, at: datetime) -> None:
        self.log.restore(deal, at=at)
        if self.more.random() < 0.5:
            self.log.set_amount(deal, 7, at=start, recorded=at + days(1))

    def _deal_event(self, deal: Deal, *, at: datetime, recorded: datetime) -> None:
        rng, log = self.rng, self.log
        choice = rng.random()
        if choice < 0.15:
            log.set_amount(deal, rng.choice([None, 5, 1000]), at=at, recorded=recorded)
        elif choice < 0.3:
            log.set_owner(deal, rng.choice([*self.users, None]), at=at, recorded=recorded)
        elif choice < 0.36:
            log.set_close_date(deal, (at + days(30)).date(), at=at, recorded=recorded)
        elif choice < 0.42:
            log.set_source(deal, rng.choice([None, log.organization_id]), at=at, recorded=recorded)
        elif deal.stage.kind is not StageKind.OPEN and choice < 0.7:
            outcome = Outcome(deal.stage.kind)  # it moves on, which is told as another closing
            log.close(deal, outcome, stage=rng.choice(deal.pipeline.of_kind(deal.stage.kind)), at=at, recorded=recorded)
        elif deal.stage.kind is not StageKind.OPEN:
            log.reopen(deal, rng.choice(deal.pipeline.of_kind(StageKind.OPEN)), at=at, recorded=recorded)
        elif choice < 0.55:
            log.win(deal, at=at, recorded=recorded)
        elif choice < 0.68:
            log.lose(deal, at=at, recorded=recorded, lost_reason_id=deal.id if rng.random() < 0.5 else None)
        else:
            log.move(deal, rng.choice(deal.pipeline.of_kind(StageKind.OPEN)), at=at, recorded=recorded)

    def _configure(self) -> None:
        rng, log = self.rng, self.log
        at = self._instant()
        recorded = at + days(rng.choice([0.0, 2.0]))
        pipeline = rng.choice(self.pipelines)
        stage = rng.choice(pipeline.stages)
        choice = rng.random()
        if choice < 0.4:
            log.change_stage(pipeline, stage, at=at, recorded=recorded, name=f"Renamed {rng.random():.3f}")
        elif choice < 0.6:
            log.change_stage(pipeline, stage, at=at, recorded=recorded, position=rng.randrange(60))
        else:
            user = rng.choice(self.users)
            team = next(team for team in self.teams if team != self.members[user])
            log.leave(self.members[user], user, at=at, recorded=recorded)
            log.join(team, user, at=at, recorded=recorded)
            self.members[user] = team
