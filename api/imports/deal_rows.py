"""Rows of deals with their histories: names become ids, then `api.deals.backfill` says what they make of each deal."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

import polars as pl
from uuid_utils.compat import uuid7

from api.deals.backfill import Backfill, DealRow, History, RowsRefusedError, backfill_known, backfill_new
from api.deals.records import lock_known, write
from api.deals.rules import Change, fill_in, update
from api.deals.state import Deal, Money, StageRef
from api.deals.timeline import Entry
from api.imports.batch import Batch, Line, RowResult
from api.imports.channel_cells import BadCellError, read_tags, with_tags
from api.imports.custom_cells import CustomCells
from api.imports.directory import Directory, KnownPipeline, UnknownNameError
from api.imports.prepare import FILE, ROW
from api.imports.presets import HISTORIES, Entity
from api.imports.relations import Companies, Contacts, load_companies, load_contacts
from api.kernel import custom, tags
from api.kernel.custom import Custom
from contracts.stages import StageKind

Row = Mapping[str, Any]
T = TypeVar("T")


@dataclass
class DealRows:
    """All rows of one deal: its own, if any, and those of its histories. A line is a row's place among them."""

    external_id: str
    row: Row | None = None
    histories: dict[Entity, list[Row]] = field(default_factory=lambda: {entity: [] for entity in HISTORIES})

    def lines(self) -> list[tuple[Entity, Row]]:
        """Every row."""
        own = [(Entity.DEALS, self.row)] if self.row is not None else []
        return own + [(entity, row) for entity, rows in self.histories.items() for row in rows]


@dataclass(frozen=True)
class DealFrames:
    """A chunk of deals with the history rows of the same deals; without `deals`, only history of known ones."""

    deals: pl.DataFrame | None
    histories: Mapping[Entity, pl.DataFrame]
    #: Ids of those of which the import brings lines too.
    lined: frozenset[str] = frozenset()


class _RefusedRowError(ValueError):
    """A row of a deal that cannot be used; the whole deal waits for it to be mended."""

    def __init__(self, line: int, column: str, *, problem: str, fix: str) -> None:
        super().__init__(problem)
        self.line, self.column, self.problem, self.fix = line, column, problem, fix


async def write_deals(batch: Batch, directory: Directory, frames: DealFrames) -> None:
    """Write a chunk of deals."""
    groups = _groups(frames)
    known = await lock_known(batch.unit, list(groups))
    _leave_amounts_to_lines(groups, known, frames.lined)
    tagging = await _Tagging.load(batch, groups.values(), known.values())
    own_rows = [group.row for group in groups.values() if group.row is not None]
    cells = await CustomCells.load(batch, directory, "deal", rows=own_rows)
    filled: list[tuple[UUID, Custom]] = []
    relations = await _Relations.load(batch, own_rows)
    new: list[Change] = []
    changed: list[Change] = []
    for external_id, group in groups.items():
        deal = known.get(external_id)
        try:
            names = _tags(group)
            told = _backfill(batch, directory, group, deal=deal, relations=relations)
            told = tagging.tag(told, names, is_new=deal is None)
            told, custom_values = _fill_in(batch, cells, group, told, deal=deal)
        except _RefusedRowError as refused:
            _fail(batch, group, refused)
            continue
        _count(batch, group, told, is_new=deal is None)
        (new if deal is None else changed).append(told.change)
        filled += [(told.change.deal.id, custom_values)] if custom_values is not None else []
    write(batch.unit, new=new, known=changed)
    tagging.write()
    for deal_id, custom_values in filled:
        custom.claim(batch.unit, "deal", deal_id, custom_values)


def _fill_in(
    batch: Batch, cells: CustomCells, group: DealRows, told: Backfill, *, deal: Deal | None
) -> tuple[Backfill, Custom | None]:
    """A deal with what its row says of custom fields: of a new one from its beginning."""
    after = told.change.deal
    try:
        made = cells.values(group.row, after.id, before=None if deal is None else deal.custom) if group.row else None
    except BadCellError as bad:
        raise _RefusedRowError(0, bad.column, problem=bad.problem, fix="Correct it, or leave it out.") from bad
    if made is None:
        return told, None
    at = after.created_at if deal is None else max(batch.run.learned_at, after.last_occurred_at)
    return replace(told, change=told.change.and_then(fill_in(after, made, at=at))), made


def _leave_amounts_to_lines(groups: Mapping[str, DealRows], known: Mapping[str, Deal], lined: Collection[str]) -> None:
    """A known deal whose lines come too is worth what they say."""
    for external_id, deal in known.items():
        group = groups[external_id]
        if deal.has_lines and group.row is not None and external_id in lined:
            group.row = {**group.row, "amount_minor": None}


def _tags(group: DealRows) -> list[str]:
    try:
        return read_tags(group.row) if group.row is not None else []
    except BadCellError as bad:
        raise _RefusedRowError(0, bad.column, problem=bad.problem, fix="Correct it, or leave it out.") from bad


@dataclass(frozen=True)
class _Tagging:
    """Tags that rows add to deals; a row takes none off."""

    batch: Batch
    before: Mapping[UUID, Sequence[str]]
    wanted: dict[UUID, Sequence[str]] = field(default_factory=dict)

    @classmethod
    async def load(cls, batch: Batch, groups: Iterable[DealRows], known: Iterable[Deal]) -> "_Tagging":
        names_some = any(group.row is not None and group.row["tags"] for group in groups)
        ids = [deal.id for deal in known] if names_some else []
        return cls(batch, await tags.tags_of_many(batch.unit, "deal", ids))

    def tag(self, told: Backfill, names: Sequence[str], *, is_new: bool) -> Backfill:
        """What rows make of a deal, with its tags."""
        deal = told.change.deal
        added = with_tags(self.before.get(deal.id, ()), names)
        if not added:
            return told
        self.wanted[deal.id] = added["tags"]
        if is_new:
            return told
        at = max(self.batch.run.learned_at, deal.last_occurred_at)
        return replace(told, change=told.change.and_then(update(deal, {}, at=at, is_retagged=True)))

    def write(self) -> None:
        """Queue them; goes after the deals."""
        for deal_id, names in self.wanted.items():
            tags.put_on(self.batch.unit, "deal", deal_id, names)


def _groups(frames: DealFrames) -> dict[str, DealRows]:
    rows = frames.deals.to_dicts() if frames.deals is not None else []
    groups = {row["external_id"]: DealRows(row["external_id"], row) for row in rows}
    for entity, frame in frames.histories.items():
        for row in frame.sort(FILE, ROW).to_dicts():
            key = row["deal_external_id"]
            groups.setdefault(key, DealRows(key)).histories[entity].append(row)
    return groups


@dataclass(frozen=True)
class _Relations:
    companies: Companies
    contacts: Contacts

    @classmethod
    async def load(cls, batch: Batch, rows: Sequence[Row]) -> "_Relations":
        companies = await load_companies(batch, rows)
        return cls(companies, await load_contacts(batch, rows, companies))


def _backfill(
    batch: Batch, directory: Directory, group: DealRows, *, deal: Deal | None, relations: _Relations
) -> Backfill:
    pipeline = _pipeline(directory, group, deal)
    row = _deal_row(directory, group.row, pipeline=pipeline, relations=relations) if group.row is not None else None
    history = _history(batch, directory, group, pipeline=pipeline, stands_in=row.stage if row else None)
    learned_at = batch.run.learned_at
    if deal is None and row is not None and row.stage.is_retired and row.stage.kind is StageKind.OPEN:
        raise _RefusedRowError(0, "stage", problem="This stage is retired.", fix="Give a stage that is in use.")
    try:
        if deal is not None:
            return backfill_known(deal, row, history, learned_at=learned_at)
        if row is None:
            raise RowsRefusedError(
                "deal_external_id",
                "There is no deal with this external id.",
                fix="Import the deal first, or together with its history.",
            )
        return backfill_new(
            row,
            history,
            id=uuid7(),
            external_id=group.external_id,
            first_open=pipeline.first_open,
            currency=batch.run.currency,
            learned_at=learned_at,
        )
    except RowsRefusedError as refused:
        raise _RefusedRowError(refused.line or 0, refused.column, problem=refused.problem, fix=refused.fix) from refused


def _pipeline(directory: Directory, group: DealRows, deal: Deal | None) -> KnownPipeline:
    """A known deal stays in its pipeline; a row that names another one is refused."""
    named = group.row["pipeline"] if group.row is not None else None
    if deal is not None and named is None:
        of_deal = [one for one in directory.pipelines.values() if one.id == deal.stage.pipeline_id]
        if of_deal:
            return of_deal[0]
    found = _find(0, "pipeline", partial(directory.pipeline, named))
    if deal is not None and found.id != deal.stage.pipeline_id:
        raise _RefusedRowError(
            0,
            "pipeline",
            problem="The deal is in another pipeline.",
            fix="An import does not move deals between pipelines; give the new one another external id.",
        )
    return found


def _deal_row(directory: Directory, row: Row, *, pipeline: KnownPipeline, relations: _Relations) -> DealRow:
    def find(column: str, look_up: Callable[[Any], T]) -> T:
        return _find(0, column, partial(look_up, row[column]))

    named = find("stage", pipeline.stage)
    stage = _closed_stage(row, pipeline, named)
    closed_at = _closed_at(row, stage)
    return DealRow(
        title=row["title"],
        stage=stage,
        closed_from=named if stage is not named else None,
        created_at=row["created_at"],
        closed_at=closed_at or row["close_date_starts_at"],
        is_closing_said=closed_at is not None,
        close_date=row["close_date"],
        amount_minor=row["amount_minor"],
        currency=row["currency"],
        owner_id=find("owner_email", directory.user_id),
        company_id=_find(0, "company", partial(relations.companies.find, row)),
        contact_id=_find(0, "contact_email", partial(relations.contacts.find, row)),
        source_id=find("source", partial(directory.value_id, "source")),
        lost_reason_id=find("lost_reason", partial(directory.value_id, "lost_reason")),
    )


def _closed_at(row: Row, stage: StageRef) -> datetime | None:
    """When the deal came to be what it is: of two moments, won and lost, that of its stage."""
    said: datetime | None = row["closed_at_said"]
    if said is not None or stage.kind is StageKind.OPEN:
        return said or row["closed_at"]
    of_stage: dict[str, datetime | None] = {kind: row[f"{kind}_at"] for kind in (StageKind.WON, StageKind.LOST)}
    own = of_stage.pop(stage.kind)
    [(other, at)] = of_stage.items()
    if own is None and at is not None:
        raise _RefusedRowError(
            0,
            f"{other}_at",
            problem=f"{other}_at says when the deal was {other}, the stage is one of {stage.kind.value} deals.",
            fix="Correct one of them.",
        )
    return own


def _closed_stage(row: Row, pipeline: KnownPipeline, named: StageRef) -> StageRef:
    """The stage where a deal of this status stands: systems that keep a status leave the stage where it was closed."""
    status = StageKind(row["status"]) if row["status"] else named.kind
    if status is named.kind:
        return named
    if named.kind is not StageKind.OPEN:
        raise _RefusedRowError(
            0,
            "status",
            problem=f"The status is {status.value}, the stage is one of {named.kind.value} deals.",
            fix="Correct one of them.",
        )
    stage = pipeline.first_of(status)
    if stage is None:
        raise _RefusedRowError(
            0,
            "status",
            problem=f"The pipeline has no stage for {status.value} deals.",
            fix=f"Add one of the kind {status.value} to the pipeline first.",
        )
    return stage


def _history(
    batch: Batch, directory: Directory, group: DealRows, *, pipeline: KnownPipeline, stands_in: StageRef | None
) -> History:
    """History as told. What is told of one instant is in the pipeline's order; where the deal stands comes last."""
    stages: list[Entry[StageRef]] = []
    owners: list[Entry[UUID | None]] = []
    amounts: list[Entry[Money]] = []
    for line, (entity, row) in enumerate(group.lines()):
        if entity is Entity.DEAL_STAGE_HISTORY:
            stage = _find(line, "stage", partial(pipeline.stage, row["stage"]))
            actor_id = _find(line, "actor_email", partial(directory.user_id, row["actor_email"]))
            stages.append(Entry(row["entered_at"], stage, actor_id, line))
        elif entity is Entity.DEAL_OWNER_HISTORY:
            owner_id = _find(line, "owner_email", partial(directory.user_id, row["owner_email"]))
            owners.append(Entry(row["from"], owner_id, line=line))
        elif entity is Entity.DEAL_AMOUNT_HISTORY:
            money = Money(row["amount_minor"], row["currency"] or batch.run.currency)
            amounts.append(Entry(row["from"], money, line=line))
    latest = max((entry.at for entry in stages), default=None)

    def order(entry: Entry[StageRef]) -> tuple[Any, ...]:
        return entry.at, entry.at == latest and entry.value == stands_in, *pipeline.rank(entry.value)

    return History(stages=sorted(stages, key=order), owners=owners, amounts=amounts)


def _find(line: int, column: str, look_up: Callable[[], T]) -> T:
    try:
        return look_up()
    except UnknownNameError as error:
        raise _RefusedRowError(line, column, problem=error.problem, fix=error.fix) from error


def _fail(batch: Batch, group: DealRows, refused: _RefusedRowError) -> None:
    lines = group.lines()
    entity, bad = lines[refused.line]
    for number, (_, row) in enumerate(lines):
        line = Line(row[FILE], row[ROW])
        if number == refused.line:
            batch.fail(line, refused.column, value=row.get(refused.column), problem=refused.problem, fix=refused.fix)
        else:
            batch.fail(
                line,
                "",
                value=None,
                problem=f"The deal waits: row {bad[ROW]} of {entity.value} has a problem.",
                fix="Mend that row, then import all rows of the deal together.",
            )


def _count(batch: Batch, group: DealRows, told: Backfill, *, is_new: bool) -> None:
    for number, (entity, _) in enumerate(group.lines()):
        if is_new:
            result = RowResult.CREATED
        elif entity is Entity.DEALS:
            result = RowResult.UPDATED if told.change.facts else RowResult.UNCHANGED
        else:
            result = RowResult.UNCHANGED if number in told.repeated else RowResult.CREATED
        batch.count(entity, result)
