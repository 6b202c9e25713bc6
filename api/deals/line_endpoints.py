"""`/v1/deals/{id}/line-items`: what a deal sells. The list is read and replaced as a whole."""

from uuid import UUID

from api.deals import line_records, records
from api.deals.line_schemas import LineItemRead, LineItems, LineItemsRead
from api.deals.lines import Line, LineRefused, made, set_lines
from api.deals.records import DealTarget
from api.deals.rules import instant_of
from api.edge.dependencies import CurrentCaller, IfMatch, RecordWriter, Unit
from api.edge.routing import problems, slice_router
from api.kernel.errors import NotFound, PreconditionFailed, PreconditionRequired
from api.kernel.visibility import owners_seen

router = slice_router(prefix="/deals", tags=["deals"])


@router.get("/{deal_id}/line-items", responses=problems(NotFound))
async def read_line_items(deal_id: UUID, caller: CurrentCaller, unit: Unit) -> LineItemsRead:
    """Read the lines of a deal."""
    target = DealTarget(deal_id=deal_id, owner_ids=await owners_seen(unit, caller))
    deal = await records.read_deal(unit, target)
    [rows] = await unit.fetch_all(line_records.lines_of(deal_id))
    return _answer(deal_id, deal["version"], deal["currency"], line_records.as_lines(rows))


@router.put(
    "/{deal_id}/line-items",
    responses=problems(NotFound, PreconditionFailed, PreconditionRequired, LineRefused),
)
async def set_line_items(
    deal_id: UUID, body: LineItems, caller: RecordWriter, unit: Unit, if_match: IfMatch
) -> LineItemsRead:
    """Say what a deal sells: all its lines, in its currency. Their sum becomes its amount, which is read-only then."""
    target = DealTarget(deal_id=deal_id, owner_ids=await owners_seen(unit, caller), expected_version=if_match)
    named = line_records.products_named(one.product_id for one in body.items)
    locked, [rows, products] = await records.lock_deal(unit, target, line_records.lines_of(deal_id), named)
    deal, before = locked.deal, line_records.as_lines(rows)
    currency = deal.amounts.last.currency
    known = {line.id: line for line in before}
    lines = made(
        [one.model_dump() for one in body.items],
        currency=currency,
        products={row.id: row for row in products},
        known=known,
    )
    change = set_lines(deal, lines, before, at=instant_of(None, now=unit.now, latest=deal.last_occurred_at))
    if change.facts:
        line_records.replace_lines(unit, deal_id, lines)
        records.write(unit, known=[change])
    return _answer(deal_id, change.deal.version, currency, lines)


def _answer(deal_id: UUID, version: int, currency: str, lines: list[Line]) -> LineItemsRead:
    items = [LineItemRead(**vars(line), total_minor=line.total_minor) for line in lines]
    total = sum(line.total_minor for line in lines) if lines else None
    return LineItemsRead(id=deal_id, version=version, currency=currency, total_minor=total, items=items)
