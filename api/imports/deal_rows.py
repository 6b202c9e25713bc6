"""Rows of deals with their histories: names become ids, rows become outlines, outlines become records and events."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

import polars as pl
from uuid_utils.compat import uuid7

from api.imports.batch import Batch, Line, RowResult
from api.imports.bulk import insert_rows, update_rows
from api.imports.deal_shapes import DealRow, DealState, Entry, History
from api.imports.directory import Directory, KnownPipeline, UnknownNameError
from api.imports.known_deals import KnownDeal, load_known_deals
from api.imports.prepare import FILE, ROW
from api.imports.presets import HISTORIES, Entity
from api.imports.relation_rows import company_ids, company_of, contact_ids
from api.imports.timeline import Outline, RefusedDealError, outline_known, outline_new
from api.kernel.event_log import NewEvent
from api.models.deal import Deal
from contracts.events.envelope import ActorKind

Row = Mapping[str, Any]
T = TypeVar("T")


@dataclass
class DealGroup:
    """All rows of one deal: its own, if any, and those of its histories."""

    external_id: str
    row: Row | None = None
    histories: dict[Entity, list[Row]] = field(default_factory=lambda: {entity: [] for entity in HISTORIES})

    def lines(self) -> list[tuple[Entity, Row]]:
        """Every row of the group."""
        own = [(Entity.DEALS, self.row)] if self.row is not None else []
        return own + [(entity, row) for entity, rows in self.histories.items() for row in rows]


class _RefusedRowError(ValueError):
    """A row of a deal that cannot be used; the whole deal waits for it to be mended."""

    def __init__(self, entity: Entity, row: Row, column: str, *, problem: str, fix: str) -> None:
        super().__init__(problem)
        self.entity, self.row, self.column, self.problem, self.fix = entity, row, column, problem, fix


async def write_deals(
    batch: Batch, directory: Directory, deals: pl.DataFrame | None, *, histories: Mapping[Entity, pl.DataFrame]
) -> None:
    """Write a chunk of deals with the history rows of the same deals. Without `deals`, only history of known ones."""
    groups = _groups(deals, histories)
    known = await load_known_deals(batch, directory, list(groups))
    relations = await _Relations.load(batch, [group.row for group in groups.values() if group.row is not None])
    inserts: list[dict[str, Any]] = []
    updates: list[dict[str, Any]] = []
    for external_id, group in groups.items():
        deal = known.get(external_id)
        try:
            outline = _outline(batch, directory, group, deal=deal, relations=relations)
        except _RefusedRowError as refused:
            _fail(batch, group, refused)
            continue
        _count(batch, group, outline, is_new=deal is None)
        if deal is None:
            inserts.append(_as_record(batch, outline, id_=uuid7(), external_id=external_id, version=0))
        elif outline.facts:
            updates.append(_as_record(batch, outline, id_=deal.id, external_id=external_id, version=deal.version))
    await insert_rows(batch.session, Deal, inserts)
    await update_rows(batch.session, Deal, updates)


def _groups(deals: pl.DataFrame | None, histories: Mapping[Entity, pl.DataFrame]) -> dict[str, DealGroup]:
    rows = deals.to_dicts() if deals is not None else []
    groups = {row["external_id"]: DealGroup(row["external_id"], row) for row in rows}
    for entity, frame in histories.items():
        for row in frame.sort(FILE, ROW).to_dicts():
            key = row["deal_external_id"]
            groups.setdefault(key, DealGroup(key)).histories[entity].append(row)
    return groups


@dataclass(frozen=True)
class _Relations:
    companies: Mapping[str, UUID]
    contacts: Mapping[str, UUID]

    @classmethod
    async def load(cls, batch: Batch, rows: Sequence[Row]) -> "_Relations":
        companies = await company_ids(batch, [row["company"] for row in rows])
        emails = {
            row["contact_email"]: companies.get((row["company"] or "").lower()) for row in rows if row["contact_email"]
        }
        return cls(companies, await contact_ids(batch, emails))

    def contact_id(self, email: str | None) -> UUID | None:
        if email is None:
            return None
        if email not in self.contacts:
            raise UnknownNameError(
                "There is no contact with this e-mail address.",
                fix="Import contacts first, or let the import create missing ones.",
            )
        return self.contacts[email]


def _outline(
    batch: Batch, directory: Directory, group: DealGroup, *, deal: KnownDeal | None, relations: _Relations
) -> Outline:
    pipeline = _pipeline(directory, group, deal)
    row = None
    if group.row is not None:
        row = _deal_row(directory, group.row, pipeline=pipeline, relations=relations)
    history = _history(batch, directory, group, pipeline=pipeline)
    learned_at = batch.run.learned_at
    try:
        if deal is not None:
            return outline_known(row, history, state=deal.state, tracks=deal.tracks, learned_at=learned_at)
        if row is None:
            entity, first = group.lines()[0]
            raise _RefusedRowError(
                entity,
                first,
                "deal_external_id",
                problem="There is no deal with this external id.",
                fix="Import the deal first, or together with its history.",
            )
        return outline_new(
            row,
            history,
            external_id=group.external_id,
            first_open=pipeline.first_open,
            currency=batch.run.currency,
            learned_at=learned_at,
        )
    except RefusedDealError as refused:
        entity, bad = _named_line(group, refused)
        raise _RefusedRowError(entity, bad, refused.column, problem=refused.problem, fix=refused.fix) from refused


def _named_line(group: DealGroup, refused: RefusedDealError) -> tuple[Entity, Row]:
    lines = group.lines()
    return lines[refused.line] if refused.line is not None else lines[0]


def _pipeline(directory: Directory, group: DealGroup, deal: KnownDeal | None) -> KnownPipeline:
    """A known deal stays in its pipeline; a row that names another one is refused."""
    named = group.row["pipeline"] if group.row is not None else None
    if deal is not None and named is None:
        of_deal = [one for one in directory.pipelines.values() if one.id == deal.state.pipeline_id]
        if of_deal:
            return of_deal[0]
    try:
        found = directory.pipeline(named)
    except UnknownNameError as error:
        entity, row = group.lines()[0]
        raise _RefusedRowError(entity, row, "pipeline", problem=error.problem, fix=error.fix) from error
    if deal is not None and found.id != deal.state.pipeline_id:
        entity, row = group.lines()[0]
        raise _RefusedRowError(
            entity,
            row,
            "pipeline",
            problem="The deal is in another pipeline.",
            fix="An import does not move deals between pipelines; give the new one another external id.",
        )
    return found


def _deal_row(directory: Directory, row: Row, *, pipeline: KnownPipeline, relations: _Relations) -> DealRow:
    def find(column: str, look_up: Callable[[Any], T]) -> T:
        try:
            return look_up(row[column])
        except UnknownNameError as error:
            raise _RefusedRowError(Entity.DEALS, row, column, problem=error.problem, fix=error.fix) from error

    return DealRow(
        title=row["title"],
        stage=find("stage", pipeline.stage),
        created_at=row["created_at"],
        closed_at=row["closed_at"] or row["close_date_starts_at"],
        close_date=row["close_date"],
        amount_minor=row["amount_minor"],
        currency=row["currency"],
        owner_id=find("owner_email", directory.user_id),
        company_id=find("company", partial(company_of, relations.companies)),
        contact_id=find("contact_email", relations.contact_id),
        source_id=find("source", partial(directory.value_id, "source")),
        lost_reason_id=find("lost_reason", partial(directory.value_id, "lost_reason")),
    )


def _history(batch: Batch, directory: Directory, group: DealGroup, *, pipeline: KnownPipeline) -> History:
    visits: list[Entry[Any]] = []
    handovers: list[Entry[UUID | None]] = []
    revaluations: list[Entry[Any]] = []
    for number, (entity, row) in enumerate(group.lines()):
        column = ""
        try:
            if entity is Entity.DEAL_STAGE_HISTORY:
                column = "stage"
                stage = pipeline.stage(row["stage"])
                column = "actor_email"
                actor_id = directory.user_id(row["actor_email"])
                visits.append(Entry(at=row["entered_at"], value=stage, actor_id=actor_id, line=number))
            elif entity is Entity.DEAL_OWNER_HISTORY:
                column = "owner_email"
                owner_id = directory.user_id(row["owner_email"])
                handovers.append(Entry(at=row["from"], value=owner_id, line=number))
            elif entity is Entity.DEAL_AMOUNT_HISTORY:
                money = (row["amount_minor"], row["currency"] or batch.run.currency)
                revaluations.append(Entry(at=row["from"], value=money, line=number))
        except UnknownNameError as error:
            raise _RefusedRowError(entity, row, column, problem=error.problem, fix=error.fix) from error
    return History(visits=visits, handovers=handovers, revaluations=revaluations)


def _fail(batch: Batch, group: DealGroup, refused: _RefusedRowError) -> None:
    for entity, row in group.lines():
        line = Line(row[FILE], row[ROW])
        if row is refused.row and entity is refused.entity:
            batch.fail(line, refused.column, value=row.get(refused.column), problem=refused.problem, fix=refused.fix)
        else:
            batch.fail(
                line,
                "",
                value=None,
                problem=f"The deal waits: row {refused.row[ROW]} of {refused.entity.value} has a problem.",
                fix="Mend that row, then import all rows of the deal together.",
            )


def _count(batch: Batch, group: DealGroup, outline: Outline, *, is_new: bool) -> None:
    for number, (entity, _) in enumerate(group.lines()):
        if is_new:
            result = RowResult.CREATED
        elif entity is Entity.DEALS:
            result = RowResult.UPDATED if outline.facts else RowResult.UNCHANGED
        else:
            result = RowResult.UNCHANGED if number in outline.repeated else RowResult.CREATED
        batch.count(entity, result)


def _as_record(batch: Batch, outline: Outline, *, id_: UUID, external_id: str, version: int) -> dict[str, Any]:
    """The deal's row after the outline; queues the outline's events."""
    for number, fact in enumerate(outline.facts, start=version + 1):
        batch.emit(
            NewEvent(
                event=fact.event,
                aggregate_id=id_,
                aggregate_version=number,
                occurred_at=fact.occurred_at,
                actor=ActorKind.USER.value if fact.actor_id else None,
                actor_id=fact.actor_id,
            )
        )
    state: DealState = outline.state
    return {
        "organization_id": batch.organization_id,
        "id": id_,
        "version": version + len(outline.facts),
        "created_at": state.created_at,
        "updated_at": batch.run.learned_at,
        "pipeline_id": state.pipeline_id,
        "stage_id": state.stage.id,
        "stage_entered_at": state.stage_entered_at,
        "status": state.stage.kind.value,
        "title": state.title,
        "amount_minor": state.money[0],
        "currency": state.money[1],
        "owner_id": state.owner_id,
        "company_id": state.company_id,
        "contact_id": state.contact_id,
        "source_id": state.source_id,
        "close_date": state.close_date,
        "lost_reason_id": state.lost_reason_id,
        "external_id": external_id,
        "last_occurred_at": state.last_occurred_at,
    }
