"""Histories of an organization as lists of events, for tests that need a warehouse or its marts.

    log = EventLog(organization_id)
    pipeline = log.pipeline(stages=[("New", "open"), ("Won", "won"), ("Lost", "lost")], at=instant)
    deal = log.deal(pipeline, at=instant, owner_id=owner)
    log.move(deal, pipeline.stages[1], at=later)

`EventLog` writes events through their contract classes, counts aggregate versions and takes both clocks as arguments:
`at` is occurred_at, `recorded` is recorded_at (the same instant unless given). Every history of the tests is told
through it, also the random ones (`tests/random_history.py`); millions of events: `benchmarks/deal_histories.py`.
"""

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid5

from contracts.access import RecordScope, Role
from contracts.events.custom_fields import ComputedValuesChanged, DealCustomChanged
from contracts.events.deals import (
    DealAmountChanged,
    DealClosed,
    DealCloseDateChanged,
    DealCreated,
    DealDeleted,
    DealOwnerChanged,
    DealReopened,
    DealRestored,
    DealStageChanged,
    DealUpdated,
)
from contracts.events.envelope import ActorKind, Envelope, Event
from contracts.events.exchange_rates import ExchangeRatesSet
from contracts.events.goals import GoalDeleted, GoalSet
from contracts.events.identity import (
    OrganizationCreated,
    OrganizationUpdated,
    TeamCreated,
    TeamMemberAdded,
    TeamMemberRemoved,
    UserCreated,
    UserLoggedIn,
)
from contracts.events.pipelines import PipelineCreated, StageCreated, StageDeleted, StageRestored, StageUpdated
from contracts.events.scores import LeadScored
from contracts.stages import Outcome, StageKind
from tests.event_records import Deal as Deal
from tests.event_records import Pipeline as Pipeline
from tests.event_records import Stage as Stage

ORGANIZATION = UUID("00000000-0000-7000-8000-00000000000a")
BEGINNING = datetime(2026, 1, 5, 9, tzinfo=UTC)

AnyEvent = Envelope[Event]


@dataclass
class EventLog:
    """The events of one organization, in the order in which they were recorded. Ids come from a seed."""

    organization_id: UUID = ORGANIZATION
    seed: int = 1
    events: list[AnyEvent] = field(default_factory=list)
    _versions: dict[UUID, int] = field(default_factory=lambda: defaultdict(int))
    _rate_days: dict[date, UUID] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._random = random.Random(f"{self.organization_id}:{self.seed}")

    def new_id(self) -> UUID:
        """An id that the seed determines."""
        return UUID(int=self._random.getrandbits(128), version=4)

    def add(
        self,
        data: Event,
        aggregate_id: UUID,
        *,
        at: datetime,
        recorded: datetime | None = None,
        actor: ActorKind = ActorKind.USER,
        actor_id: UUID | None = None,
    ) -> AnyEvent:
        """Append any event; the others go through here."""
        self._versions[aggregate_id] += 1
        envelope: AnyEvent = Envelope(
            id=self.new_id(),
            type=data.type,
            version=data.version,
            organization_id=self.organization_id,
            aggregate_type=data.aggregate_type,
            aggregate_id=aggregate_id,
            aggregate_version=self._versions[aggregate_id],
            occurred_at=at,
            recorded_at=recorded or at,
            actor=actor,
            actor_id=actor_id,
            correlation_id=self.organization_id,
            data=data,
        )
        self.events.append(envelope)
        return envelope

    def organization(
        self,
        *,
        at: datetime = BEGINNING,
        recorded: datetime | None = None,
        time_zone: str = "Europe/Berlin",
        currency: str = "EUR",
        week_start: int = 1,
        fiscal_year_start_month: int = 1,
    ) -> None:
        """The organization signs up, or changes its calendar."""
        kind = OrganizationUpdated if self._versions[self.organization_id] else OrganizationCreated
        data = kind(
            time_zone=time_zone,
            currency=currency,
            week_start=week_start,
            fiscal_year_start_month=fiscal_year_start_month,
        )
        self.add(data, self.organization_id, at=at, recorded=recorded)

    def user(
        self, *, at: datetime = BEGINNING, role: Role = Role.REP, record_scope: RecordScope = RecordScope.OWN
    ) -> UUID:
        """A user joins; answers the id."""
        user_id = self.new_id()
        self.add(UserCreated(role=role, record_scope=record_scope, is_active=True), user_id, at=at)
        return user_id

    def sign_in(self, user_id: UUID, *, at: datetime, recorded: datetime | None = None) -> UUID:
        """A user signs in; answers the id of the sign-in."""
        return self.add(UserLoggedIn(), user_id, at=at, recorded=recorded).id

    def team(
        self, *, at: datetime = BEGINNING, parent_team_id: UUID | None = None, manager_id: UUID | None = None
    ) -> UUID:
        """A team is founded; answers the id."""
        team_id = self.new_id()
        self.add(TeamCreated(parent_team_id=parent_team_id, manager_id=manager_id), team_id, at=at)
        return team_id

    def join(self, team_id: UUID, user_id: UUID, *, at: datetime, recorded: datetime | None = None) -> None:
        """A user enters a team."""
        self.add(TeamMemberAdded(user_id=user_id), team_id, at=at, recorded=recorded)

    def leave(self, team_id: UUID, user_id: UUID, *, at: datetime, recorded: datetime | None = None) -> None:
        """A user leaves a team."""
        self.add(TeamMemberRemoved(user_id=user_id), team_id, at=at, recorded=recorded)

    def pipeline(
        self,
        *,
        stages: Sequence[tuple[str, str]] = (("New", "open"), ("Offer", "open"), ("Won", "won"), ("Lost", "lost")),
        at: datetime = BEGINNING,
        name: str = "Sales",
    ) -> Pipeline:
        """A pipeline with its stages (name, kind), at positions 10, 20, …"""
        pipeline = Pipeline(id=self.new_id(), stages=[])
        self.add(PipelineCreated(name=name), pipeline.id, at=at)
        for number, (stage_name, kind) in enumerate(stages, start=1):
            stage = Stage(id=self.new_id(), kind=StageKind(kind), name=stage_name, position=10 * number)
            pipeline.stages.append(stage)
            self.add(StageCreated(**_stage_state(pipeline, stage)), stage.id, at=at)
        return pipeline

    def change_stage(
        self,
        pipeline: Pipeline,
        stage: Stage,
        *,
        at: datetime,
        recorded: datetime | None = None,
        name: str | None = None,
        position: int | None = None,
    ) -> None:
        """A stage is renamed or moved within its pipeline."""
        stage.name = stage.name if name is None else name
        stage.position = stage.position if position is None else position
        self.add(StageUpdated(**_stage_state(pipeline, stage)), stage.id, at=at, recorded=recorded)

    def retire_stage(self, pipeline: Pipeline, stage: Stage, *, at: datetime) -> None:
        """A stage is retired."""
        self.add(StageDeleted(pipeline_id=pipeline.id), stage.id, at=at)

    def restore_stage(self, pipeline: Pipeline, stage: Stage, *, at: datetime) -> None:
        """A retired stage takes deals again."""
        self.add(StageRestored(**_stage_state(pipeline, stage)), stage.id, at=at)

    def deal(
        self,
        pipeline: Pipeline,
        *,
        at: datetime,
        recorded: datetime | None = None,
        stage: Stage | None = None,
        owner_id: UUID | None = None,
        amount_minor: int | None = 100_00,
        currency: str = "EUR",
        source_id: UUID | None = None,
        company_id: UUID | None = None,
        contact_id: UUID | None = None,
        close_date: date | None = None,
    ) -> Deal:
        """A deal begins, in the pipeline's first stage unless another is given."""
        deal = Deal(id=self.new_id(), pipeline=pipeline, stage=stage or pipeline.stages[0])
        data = DealCreated(
            pipeline_id=pipeline.id,
            to_stage_id=deal.stage.id,
            amount_minor=amount_minor,
            currency=currency,
            owner_id=owner_id,
            company_id=company_id,
            contact_id=contact_id,
            source_id=source_id,
            close_date=close_date,
        )
        self.add(data, deal.id, at=at, recorded=recorded, actor_id=owner_id)
        return deal

    def move(self, deal: Deal, stage: Stage, *, at: datetime, recorded: datetime | None = None) -> None:
        """A deal enters another open stage."""
        data = DealStageChanged(pipeline_id=deal.pipeline.id, from_stage_id=deal.stage.id, to_stage_id=stage.id)
        self.add(data, deal.id, at=at, recorded=recorded)
        deal.stage = stage

    def close(
        self,
        deal: Deal,
        outcome: Outcome,
        *,
        at: datetime,
        recorded: datetime | None = None,
        stage: Stage | None = None,
        lost_reason_id: UUID | None = None,
    ) -> None:
        """A deal is won or lost, in the pipeline's first stage of that kind unless another is given."""
        stage = stage or deal.pipeline.of_kind(StageKind(outcome.value))[0]
        data = DealClosed(
            pipeline_id=deal.pipeline.id,
            from_stage_id=deal.stage.id,
            to_stage_id=stage.id,
            outcome=outcome,
            lost_reason_id=lost_reason_id,
        )
        self.add(data, deal.id, at=at, recorded=recorded)
        deal.stage = stage

    def win(self, deal: Deal, *, at: datetime, recorded: datetime | None = None) -> None:
        """A deal is won."""
        self.close(deal, Outcome.WON, at=at, recorded=recorded)

    def lose(
        self, deal: Deal, *, at: datetime, recorded: datetime | None = None, lost_reason_id: UUID | None = None
    ) -> None:
        """A deal is lost."""
        self.close(deal, Outcome.LOST, at=at, recorded=recorded, lost_reason_id=lost_reason_id)

    def reopen(self, deal: Deal, stage: Stage, *, at: datetime, recorded: datetime | None = None) -> None:
        """A closed deal is open again."""
        data = DealReopened(pipeline_id=deal.pipeline.id, from_stage_id=deal.stage.id, to_stage_id=stage.id)
        self.add(data, deal.id, at=at, recorded=recorded)
        deal.stage = stage

    def set_amount(
        self,
        deal: Deal,
        amount_minor: int | None,
        *,
        at: datetime,
        recorded: datetime | None = None,
        currency: str = "EUR",
    ) -> None:
        """A deal is worth something else."""
        self.add(DealAmountChanged(amount_minor=amount_minor, currency=currency), deal.id, at=at, recorded=recorded)

    def set_owner(self, deal: Deal, owner_id: UUID | None, *, at: datetime, recorded: datetime | None = None) -> None:
        """A deal is handed over."""
        self.add(DealOwnerChanged(owner_id=owner_id), deal.id, at=at, recorded=recorded)

    def set_close_date(
        self, deal: Deal, close_date: date | None, *, at: datetime, recorded: datetime | None = None
    ) -> None:
        """A deal is expected to close on another day."""
        self.add(DealCloseDateChanged(close_date=close_date), deal.id, at=at, recorded=recorded)

    def set_source(self, deal: Deal, source_id: UUID | None, *, at: datetime, recorded: datetime | None = None) -> None:
        """A deal came from somewhere else."""
        data = DealUpdated(company_id=None, contact_id=None, source_id=source_id, changed_fields=["source"])
        self.add(data, deal.id, at=at, recorded=recorded)

    def score(
        self,
        deal: Deal | UUID,
        score: float,
        *,
        at: datetime,
        recorded: datetime | None = None,
        horizon_days: int = 90,
    ) -> UUID:
        """A deal, or the contact of an id, is scored; answers the id of the score."""
        score_id = self.new_id()
        data = LeadScored(
            deal_id=deal.id if isinstance(deal, Deal) else None,
            contact_id=None if isinstance(deal, Deal) else deal,
            model_id=UUID(int=1),
            model_number=1,
            score=score,
            previous=None,
            horizon_days=horizon_days,
            scored_at=at,
        )
        self.add(data, score_id, at=at, recorded=recorded)
        return score_id

    def set_goal(
        self,
        target: int,
        currency: str | None,
        *,
        starts_on: date,
        months: int,
        at: datetime,
        user_id: UUID | None = None,
        team_id: UUID | None = None,
    ) -> UUID:
        """A goal is set, an amount or (without a currency) a number of deals; answers its id."""
        goal_id, end = self.new_id(), starts_on.year * 12 + starts_on.month - 1 + months
        data = GoalSet(
            user_id=user_id,
            team_id=team_id,
            measure="won_amount" if currency else "deals_won",
            starts_on=starts_on,
            ends_on=date(end // 12, end % 12 + 1, 1),
            target=target,
            currency=currency,
        )
        self.add(data, goal_id, at=at)
        return goal_id

    def drop_goal(self, goal_id: UUID, *, at: datetime) -> None:
        """A goal is none any more."""
        self.add(GoalDeleted(), goal_id, at=at)

    def set_custom(
        self, deal: Deal, values: dict[UUID, str], *, at: datetime, recorded: datetime | None = None
    ) -> None:
        """A deal's custom fields have these values."""
        custom = {str(field): value for field, value in values.items()}
        data = DealCustomChanged(custom=custom, changed_fields=sorted(custom))
        self.add(data, deal.id, at=at, recorded=recorded)

    def compute(self, deal: Deal, values: dict[UUID, str], *, at: datetime) -> None:
        """What is computed of a deal and not personal is this."""
        custom = {str(field): value for field, value in values.items()}
        data = ComputedValuesChanged(record_kind="deal", record_id=deal.id, custom=custom)
        self.add(data, uuid5(deal.id, "computed_values"), at=at)

    def set_rates(self, day: date, rates: dict[str, str], *, at: datetime, base: str = "EUR") -> None:
        """The exchange rates of a day are these, learned at an instant."""
        rates_id = self._rate_days.setdefault(day, self.new_id())
        self.add(ExchangeRatesSet(day=day, base=base, rates=rates), rates_id, at=at)

    def delete(self, deal: Deal, *, at: datetime, recorded: datetime | None = None) -> None:
        """A deal is deleted."""
        self.add(DealDeleted(), deal.id, at=at, recorded=recorded)

    def restore(self, deal: Deal, *, at: datetime) -> None:
        """A deleted deal is there again."""
        self.add(DealRestored(), deal.id, at=at)


def is_gone(history: Iterable[AnyEvent]) -> bool:
    """Whether a deal of this history is deleted, and was not restored since."""
    turns = [event for event in history if event.type in {"deal.deleted", "deal.restored"}]
    return bool(turns) and max(turns, key=lambda event: event.aggregate_version).type == "deal.deleted"


def days(count: float) -> timedelta:
    """A span in days, for arithmetic on BEGINNING."""
    return timedelta(days=count)


def _stage_state(pipeline: Pipeline, stage: Stage) -> dict[str, object]:
    return {
        "pipeline_id": pipeline.id,
        "name": stage.name,
        "kind": stage.kind,
        "position": stage.position,
        "target_days": None,
    }
