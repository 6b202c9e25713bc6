"""What the statements of exported lists share: ids as an import knows them, tags in one cell, amounts as text."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, Text, and_, bindparam, cast, func, literal, select
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import InstrumentedAttribute

from api.db.statements import is_one_of
from api.kernel.listing import Listing
from api.kernel.unit_of_work import Row
from api.models.company import Company
from api.models.contact import Contact
from api.models.deal import Deal
from api.models.tag import RecordTag, Tag
from contracts.money import MINOR_DIGITS

ORGANIZATION: Any = bindparam("organization_id")


@dataclass(frozen=True)
class ExportedList:
    """A list's statement, the columns of the file, and how those are made that its rows do not have as they are."""

    listing: Listing
    columns: Sequence[str]
    computed: Mapping[str, Callable[[Row], Any]] = field(default_factory=dict)
    #: Whether somebody sees rows of it that are none of their records.
    is_by_viewer: bool = False
    #: What custom fields call its records, where they can have some.
    noun: str | None = None


def cells_of(what: ExportedList, rows: Sequence[Row]) -> list[Sequence[Any]]:
    """The cells of some rows, column by column."""
    as_they_are = dict(zip(rows[0]._fields, zip(*rows, strict=True), strict=True))
    return [
        [what.computed[name](row) for row in rows] if name in what.computed else as_they_are[name]
        for name in what.columns
    ]


def own_id(model: Any) -> ColumnElement[str]:  # noqa: ANN401 # a table or its alias
    """A record's id in another system; one without has ours."""
    return func.coalesce(model.external_id, cast(model.id, Text))


def is_row(other: Any, model: Any, column: Any) -> ColumnElement[bool]:  # noqa: ANN401 # tables or their aliases
    """Whether a row of another table is the one that a column refers to."""
    return and_(other.organization_id == model.organization_id, other.id == column)


def tags_cell(noun: str, model: type[Company | Contact | Deal]) -> ScalarSelect[Any]:
    """A record's tags, in one cell."""
    return (
        select(func.string_agg(Tag.name, aggregate_order_by(literal("; "), func.lower(Tag.name))))
        .join(RecordTag, (RecordTag.organization_id == Tag.organization_id) & (RecordTag.tag_id == Tag.id))
        .where(
            RecordTag.organization_id == model.organization_id,
            RecordTag.record_kind == noun,
            RecordTag.record_id == model.id,
        )
        .correlate(model)
        .scalar_subquery()
    )


def listing_of(query: Any, *order: InstrumentedAttribute[Any], owner: Any = None) -> Listing:  # noqa: ANN401 # composed
    """A list in this order, to be narrowed to whose records the caller sees."""
    return Listing(query, filters={"owners": is_one_of(owner, "owners")} if owner is not None else {}, order=order)


def major_units(amount_minor: int | None, currency: str) -> str | None:
    """An amount with a decimal point that nobody can take for one of thousands."""
    if amount_minor is None:
        return None
    digits = MINOR_DIGITS.get(currency, 2)
    whole, rest = divmod(abs(amount_minor), 10**digits)
    decimals = f".{rest:0{digits}d}" if digits else ""
    return unmistakable(f"{'-' if amount_minor < 0 else ''}{whole}{decimals}")


def unmistakable(number: str) -> str:
    """A number whose decimals nobody takes for thousands: three of them alone would read so."""
    return f"{number}0" if len(number.partition(".")[2]) == 3 else number
