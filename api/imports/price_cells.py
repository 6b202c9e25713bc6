"""Prices of products and lines: read as digits, in whose currency shows only beside the product or the deal."""

from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from pydantic import BaseModel, ValidationError

from contracts.money import MINOR_DIGITS


class PriceRowError(ValueError):
    """A row of products or lines that cannot be used: the column, what is wrong, what to do."""

    def __init__(self, column: str, problem: str, fix: str) -> None:
        super().__init__(problem)
        self.column, self.problem, self.fix = column, problem, fix


def minor_of(digits: str | None, currency: str) -> int | None:
    """Whole minor units of an amount that was read as digits, halves away from zero."""
    if digits is None:
        return None
    exact = Decimal(digits).scaleb(MINOR_DIGITS.get(currency, 2))
    return int(exact.quantize(Decimal(1), rounding=ROUND_HALF_UP))


def checked(body: type[BaseModel], given: Mapping[str, Any], columns: Mapping[str, str]) -> dict[str, Any]:
    """A row as the API would take it; `columns` names fields otherwise than the body does.

    Raises:
        PriceRowError: says which cell it does not take.
    """
    try:
        return body.model_validate(given).model_dump()
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0]) if first["loc"] else ""
        raise PriceRowError(columns.get(field, field), f"{first['msg']}.", "Correct it.") from error
