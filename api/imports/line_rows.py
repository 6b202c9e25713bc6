"""Rows of line items: all rows of a deal are all its lines. What a line may be is said by the rules of deals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import polars as pl

from api.deals import line_records
from api.deals.line_schemas import LineItem
from api.deals.lines import Line, LineRefused, made, set_lines
from api.deals.records import lock_known, write
from api.deals.rules import Change
from api.deals.state import Deal
from api.imports import batch as batches
from api.imports.batch import Batch, RowResult
from api.imports.directory import Directory
from api.imports.options import Creatable
from api.imports.prepare import FILE, ROW
from api.imports.presets import Entity
from api.imports.price_cells import PriceRowError, checked, minor_of
from api.products import records as products
from api.products import rules as product_rules
from api.products.rules import Product

Row = Mapping[str, Any]
_COLUMNS = {"unit_price_minor": "unit_price", "product_id": "product"}


class _LineError(ValueError):
    """A row, by its number among those of its deal, because of which none of them can be used."""

    def __init__(self, number: int, refused: PriceRowError) -> None:
        super().__init__(refused.problem)
        self.number, self.refused = number, refused


async def write_lines(batch: Batch, _directory: Directory, frame: pl.DataFrame) -> None:
    """Write the lines of a chunk of deals."""
    groups: dict[str, list[Row]] = {}
    for row in frame.to_dicts():
        groups.setdefault(row["deal_external_id"], []).append(row)
    deals = await lock_known(batch.unit, list(groups))
    known = await line_records.lines_of_many(batch.unit, [deal.id for deal in deals.values()])
    sold = await _Products.load(batch, [row for rows in groups.values() for row in rows])
    changes: list[Change] = []
    for external_id, rows in groups.items():
        deal = deals.get(external_id)
        try:
            if deal is None:
                raise _LineError(0, _no_deal())
            before = known.get(deal.id, [])
            if before and batch.options.on_duplicate == "skip":
                batch.count(Entity.DEAL_LINE_ITEMS, RowResult.UNCHANGED, rows=len(rows))
                continue
            lines = _lines(deal, rows, before=before, sold=sold)
            change = _change(batch, deal, lines, before)
        except _LineError as error:
            _fail(batch, rows, error)
            continue
        _count(batch, lines, before)
        if change.facts:
            line_records.replace_lines(batch.unit, deal.id, lines)
            changes.append(change)
    write(batch.unit, known=changes)


def _no_deal() -> PriceRowError:
    return PriceRowError("deal_external_id", "There is no such deal.", "Import the deal first, or correct its id.")


def _change(batch: Batch, deal: Deal, lines: Sequence[Line], before: Sequence[Line]) -> Change:
    """A closed deal has sold its lines when it was closed, an open one sells them from now on."""
    at = deal.closed_at or max(batch.run.learned_at, deal.last_occurred_at)
    at = max(at, deal.amounts.entries[-1].at)
    try:
        return set_lines(deal, lines, before, at=at)
    except LineRefused as refused:
        raise _LineError(refused.number, PriceRowError(refused.field, refused.why, "Correct it.")) from refused


def _lines(deal: Deal, rows: Sequence[Row], *, before: Sequence[Line], sold: "_Products") -> Sequence[Line]:
    currency = deal.amounts.last.currency
    items = []
    for number, row in enumerate(rows):
        try:
            items.append(_item(row, currency, sold))
        except PriceRowError as refused:
            raise _LineError(number, refused) from refused
    try:
        lines = made(items, currency=currency, products=sold.to(deal, before), known=_as_known(before))
    except LineRefused as refused:
        column = _COLUMNS.get(refused.field, refused.field)
        raise _LineError(refused.number, PriceRowError(column, refused.why, "Correct it.")) from refused
    return _recognised(lines, before)


def _item(row: Row, currency: str, sold: "_Products") -> dict[str, Any]:
    if row["currency"] not in (None, currency):
        raise PriceRowError(
            "currency",
            f"The deal is in {currency}.",
            "Give the price in the deal's currency, or import the deal in it.",
        )
    product = sold.find(row)
    given = {
        "product_id": product.id if product is not None else None,
        "name": row["name"],
        "quantity": row["quantity"],
        "unit_price_minor": minor_of(row["unit_price"], currency),
        "discount_percent": row["discount_percent"],
    }
    return checked(LineItem, {name: value for name, value in given.items() if value is not None}, _COLUMNS)


def _as_known(before: Sequence[Line]) -> dict[UUID, Line]:
    return {line.id: line for line in before}


def _recognised(lines: Sequence[Line], before: Sequence[Line]) -> list[Line]:
    """Lines that the deal has already keep their ids: those that are the same, then those of the same thing."""
    left = list(before)
    found: dict[int, Line] = {}
    for is_alike in (_is_same, _is_of_same):
        for number, line in enumerate(lines):
            alike = next((one for one in left if is_alike(line, one)), None) if number not in found else None
            if alike is not None:
                left.remove(alike)
                found[number] = replace(line, id=alike.id)
    return [found.get(number, line) for number, line in enumerate(lines)]


def _is_same(line: Line, known: Line) -> bool:
    return replace(line, id=known.id) == known


def _is_of_same(line: Line, known: Line) -> bool:
    return (line.product_id, line.name.lower()) == (known.product_id, known.name.lower())


def _count(batch: Batch, lines: Sequence[Line], before: Sequence[Line]) -> None:
    known = _as_known(before)
    for line in lines:
        same = RowResult.UNCHANGED if known.get(line.id) == line else RowResult.UPDATED
        batch.count(Entity.DEAL_LINE_ITEMS, same if line.id in known else RowResult.CREATED)


def _fail(batch: Batch, rows: Sequence[Row], error: _LineError) -> None:
    bad, refused = rows[error.number], error.refused
    for row in rows:
        line = batches.Line(row[FILE], row[ROW])
        if row is bad:
            batch.fail(line, refused.column, value=row.get(refused.column), problem=refused.problem, fix=refused.fix)
        else:
            batch.fail(
                line,
                "",
                value=None,
                problem=f"The deal's lines wait: row {bad[ROW]} has a problem.",
                fix="Mend that row, then import all lines of the deal together.",
            )


@dataclass
class _Products:
    """Products that rows name by code or by name."""

    by_id: dict[UUID, Product] = field(default_factory=dict)
    by_code: dict[str, Product] = field(default_factory=dict)
    by_name: dict[str, list[Product]] = field(default_factory=dict)

    @classmethod
    async def load(cls, batch: Batch, rows: Sequence[Row]) -> "_Products":
        """Those that there are; missing ones are made if the options allow."""
        names = [row["product"] for row in rows if row["product"]]
        codes = [row["product_code"] for row in rows if row["product_code"]]
        found = cls()
        for one in await products.lock_named(batch.unit, names, codes) if names or codes else []:
            found.enter(one)
        if batch.options.may_create(Creatable.PRODUCTS):
            found.make_missing(batch, rows)
        return found

    def enter(self, product: Product) -> None:
        """Know a product."""
        self.by_id[product.id] = product
        self.by_name.setdefault(product.name.lower(), []).append(product)
        if product.code is not None:
            self.by_code[product.code.lower()] = product

    def make_missing(self, batch: Batch, rows: Sequence[Row]) -> None:
        """Make what rows name and there is not; each line says its own price."""
        new: list[product_rules.Change] = []
        for row in rows:
            code, name = row["product_code"], row["product"] or row["name"] or row["product_code"]
            is_known = code.lower() in self.by_code if code else (row["product"] or "").lower() in self.by_name
            if (code or row["product"]) and not is_known:
                given = {"name": name, "code": code, "currency": batch.run.currency}
                new.append(product_rules.create(given, now=batch.unit.now))
                self.enter(new[-1].after)
        products.write_many(batch.unit, new)
        batch.note_created("products", [change.after.name for change in new])

    def to(self, deal: Deal, before: Sequence[Line]) -> dict[UUID, Product]:
        """Products as a deal sells them: what it has already, or sold before it was closed, may be sold no more."""
        sold = {line.product_id for line in before}
        return {
            id_: replace(one, is_active=True) if id_ in sold or deal.closed_at is not None else one
            for id_, one in self.by_id.items()
        }

    def find(self, row: Row) -> Product | None:
        """The product of a row; None where it names none.

        Raises:
            PriceRowError: there is none, or several have the name.
        """
        code, name = row["product_code"], row["product"]
        if code is None and name is None:
            return None
        column = "product_code" if code is not None else "product"
        found = self.by_name.get((name or "").lower(), []) if code is None else []
        found = [self.by_code[code.lower()]] if code is not None and code.lower() in self.by_code else found
        if len(found) > 1:
            raise PriceRowError(column, "Several products have this name.", "Give the product's code in product_code.")
        if not found:
            raise PriceRowError(
                column,
                "There is no such product.",
                "Import products first, let the import create missing ones, or give the line's name alone.",
            )
        return found[0]
