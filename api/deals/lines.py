"""Lines of a deal: what it sells, how much, for what. Each is rounded, their sum is the deal's amount. No I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from api.deals.rules import Change, Fact, with_facts
from api.deals.state import Deal, Money
from api.deals.timeline import Entry
from api.kernel.errors import Unprocessable
from contracts.events.deals import DealAmountChanged, DealLineItemsChanged, LineFacts
from contracts.money import LARGEST_AMOUNT_MINOR


class LineRefused(Unprocessable):
    """A line cannot be so."""

    code = "line_refused"

    def __init__(self, number: int, field: str, problem: str) -> None:
        self.number, self.field, self.why = number, field, problem
        super().__init__(f"Line {number + 1}: {problem}", pointer=f"/items/{number}/{field}")


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line, in the deal's currency."""

    id: UUID
    product_id: UUID | None
    name: str
    quantity: Decimal
    unit_price_minor: int
    discount_percent: Decimal

    @property
    def total_minor(self) -> int:
        """What it comes to, halves rounded away from zero."""
        exact = self.quantity * self.unit_price_minor * (100 - self.discount_percent) / 100
        return int(exact.quantize(Decimal(1), rounding=ROUND_HALF_UP))


def plain(number: Decimal) -> Decimal:
    """The same number as people write it, without zeros at its end."""
    return Decimal(f"{number.normalize():f}")


def made(
    given: Sequence[Mapping[str, Any]], *, currency: str, products: Mapping[UUID, Any], known: Mapping[UUID, Line]
) -> list[Line]:
    """The lines of a body. A product gives its name, and its price where it has one in the deal's currency.

    `known` are the deal's lines so far: one that is named again keeps its id, and a product that is no longer active.

    Raises:
        LineRefused: says which line, and why.
    """
    lines: list[Line] = []
    for number, one in enumerate(given):
        before = known.get(one["id"]) if one["id"] else None
        if one["id"] and (before is None or any(line.id == one["id"] for line in lines)):
            raise LineRefused(number, "id", "The deal has no such line, or it is named twice. Leave the id out.")
        product = _product(number, one["product_id"], products, before)
        name = one["name"] or (product.name if product else None)
        if name is None:
            raise LineRefused(number, "name", "Give a name or a product.")
        lines.append(
            Line(
                id=one["id"] or uuid7(),
                product_id=one["product_id"],
                name=name,
                quantity=plain(one["quantity"]),
                unit_price_minor=_price(number, one["unit_price_minor"], product, currency),
                discount_percent=plain(one["discount_percent"]),
            )
        )
    return lines


def set_lines(deal: Deal, lines: Sequence[Line], before: Sequence[Line], *, at: datetime) -> Change:
    """The deal with these lines: its amount is their sum. Without lines it keeps the amount that it has, to be changed.

    Raises:
        LineRefused: their sum is more than an amount can be.
    """
    if list(lines) == list(before):
        return Change(deal)
    money = deal.amounts.last
    total = sum(line.total_minor for line in lines)
    if any(abs(line.total_minor) > LARGEST_AMOUNT_MINOR for line in lines) or abs(total) > LARGEST_AMOUNT_MINOR:
        raise LineRefused(0, "quantity", f"The lines come to more than {LARGEST_AMOUNT_MINOR} minor units.")
    after = replace(deal, has_lines=bool(lines))
    event = DealLineItemsChanged(
        currency=money.currency,
        total_minor=total if lines else None,
        lines={line.id: _facts(line) for line in lines},
    )
    facts = [Fact(event, at)]
    if lines and total != money.amount_minor:
        wanted = Money(total, money.currency)
        after = replace(after, amounts=deal.amounts.learn([Entry(at, wanted)])[0])
        facts.append(Fact(DealAmountChanged(**wanted._asdict()), at))
    return with_facts(after, facts)


def _facts(line: Line) -> LineFacts:
    return LineFacts(
        product_id=line.product_id,
        quantity=line.quantity,
        unit_price_minor=line.unit_price_minor,
        discount_percent=line.discount_percent,
        total_minor=line.total_minor,
    )


def _product(number: int, product_id: UUID | None, products: Mapping[UUID, Any], before: Line | None) -> Any:  # noqa: ANN401 # a product
    if product_id is None:
        return None
    product = products.get(product_id)
    if product is None:
        raise LineRefused(number, "product_id", "There is no such product.")
    if not product.is_active and (before is None or before.product_id != product_id):
        raise LineRefused(number, "product_id", "This product is no longer sold.")
    return product


def _price(number: int, given: int | None, product: Any, currency: str) -> int:  # noqa: ANN401 # a product
    if given is not None:
        return given
    if product is None or product.unit_price_minor is None:
        raise LineRefused(number, "unit_price_minor", "Give a price: there is none to take.")
    if product.currency != currency:
        problem = f"The product's price is in {product.currency}, the deal in {currency}. Give a price in {currency}."
        raise LineRefused(number, "unit_price_minor", problem)
    return int(product.unit_price_minor)
