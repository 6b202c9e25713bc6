"""Rules of products. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from uuid_utils.compat import uuid7

from api.kernel import changes
from api.kernel.changes import Versioned, revised
from api.kernel.errors import Conflict


class ProductCodeTaken(Conflict):
    """Another product has this code."""

    code = "product_code_taken"

    def __init__(self, code: str | None) -> None:
        self.product_code = code
        super().__init__(f"Another product has the code {code!r}.")


@dataclass(frozen=True, kw_only=True)
class Product(Versioned):
    """One product."""

    name: str
    code: str | None = None
    unit_price_minor: int | None = None
    currency: str
    is_active: bool = True


Change = changes.Change[Product]


def create(given: Mapping[str, Any], *, now: datetime) -> Change:
    """A new product."""
    return Change(None, Product(id=uuid7(), version=1, created_at=now, updated_at=now, **given))


def update(product: Product, given: Mapping[str, Any], *, now: datetime) -> Change | None:
    """The product otherwise; None where nothing differs. Lines that sell it stay as they are."""
    wanted = {name: value for name, value in given.items() if getattr(product, name) != value}
    return Change(product, revised(product, now, **wanted)) if wanted else None
