"""Rows of products files. A row is a known product's by its code, else by its name."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from api.imports.batch import Batch, Line, RowResult
from api.imports.directory import Directory
from api.imports.prepare import FILE, ROW
from api.imports.presets import Entity
from api.imports.price_cells import PriceRowError, checked, minor_of
from api.products import records, rules
from api.products.rules import Change, Product
from api.products.schemas import ProductCreate

Row = Mapping[str, Any]
_COLUMNS = {"unit_price_minor": "unit_price"}


async def write_products(batch: Batch, _directory: Directory, frame: pl.DataFrame) -> None:
    """Write a chunk of products. An empty cell leaves what is known."""
    rows: Sequence[Row] = frame.to_dicts()
    known = await records.lock_named(
        batch.unit, [row["name"] for row in rows], [row["code"] for row in rows if row["code"]]
    )
    changes: list[Change] = []
    for row in rows:
        try:
            product = _known(row, known)
            change = _decide(batch, row, product)
        except PriceRowError as refused:
            line = Line(row[FILE], row[ROW])
            batch.fail(line, refused.column, value=row.get(refused.column), problem=refused.problem, fix=refused.fix)
            continue
        if change is not None:
            changes.append(change)
        is_same = RowResult.UNCHANGED if change is None else RowResult.UPDATED
        batch.count(Entity.PRODUCTS, RowResult.CREATED if product is None else is_same)
    records.write_many(batch.unit, changes)


def _known(row: Row, known: Sequence[Product]) -> Product | None:
    """The product of this code, else the only one of this name that has no other code."""
    code = row["code"]
    if code is not None:
        of_code = [one for one in known if one.code is not None and one.code.lower() == code.lower()]
        if of_code:
            return of_code[0]
    named = [one for one in known if one.name.lower() == row["name"].lower() and (code is None or one.code is None)]
    if len(named) > 1:
        raise PriceRowError("name", "Several products have this name.", "Give the product's code.")
    return named[0] if named else None


def _decide(batch: Batch, row: Row, product: Product | None) -> Change | None:
    currency = row["currency"] or (product.currency if product is not None else batch.run.currency)
    given = {
        "name": row["name"],
        "code": row["code"],
        "unit_price_minor": minor_of(row["unit_price"], currency),
        "currency": currency,
        "is_active": row["is_active"],
    }
    said = {name: value for name, value in given.items() if value is not None}
    whole = checked(ProductCreate, said, _COLUMNS)
    if product is None:
        return rules.create(whole, now=batch.unit.now)
    if batch.options.on_duplicate == "skip":
        return None
    return rules.update(product, {name: whole[name] for name in said}, now=batch.unit.now)
