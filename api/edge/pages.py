"""Pages of lists: keyset, never offset, so a row that stays is seen exactly once while others come and go.

A cursor is opaque and signed, and belongs to one list, its filters and one organization; elsewhere it is a 400.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

from fastapi import Depends, Query, Request
from pydantic import BaseModel
from pydantic_core import from_json, to_json
from sqlalchemy.orm import InstrumentedAttribute

from api.edge.dependencies import Claims
from api.edge.security import AccessClaims, decode_base64, encode_base64
from api.edge.services import services_of
from api.kernel.custom import defining, definitions
from api.kernel.errors import InvalidCursor
from api.kernel.filters import Ask, Fields, Wish, read, resolve
from api.kernel.listing import Listing
from api.kernel.unit_of_work import Row, UnitOfWork
from api.models.base import Base

DEFAULT_LIMIT, LARGEST_LIMIT = 50, 200
_SIGNATURE_BYTES = 16
_PURPOSE = "cursor"

T = TypeVar("T")
R = TypeVar("R")


class PageOf(BaseModel, Generic[T]):
    """One page of a list. Ask again with `cursor=next_cursor`; the last page has none."""

    items: list[T]
    next_cursor: str | None


class Pagination:
    """Which page the caller wants."""

    def __init__(self, request: Request, claims: AccessClaims, *, limit: int, cursor: str | None) -> None:
        filters = sorted((k, v) for k, v in request.query_params.multi_items() if k not in {"limit", "cursor"})
        self._list = to_json([str(claims.organization_id), request.scope["path"], filters])
        self._signer = services_of(request).signer
        self.limit = limit
        self.after: list[Any] | None = None if cursor is None else self._read(cursor)

    def cursor(self, values: list[Any]) -> str:
        """The cursor of the row that has these sort values (JSON-able, the id last)."""
        payload = to_json(values)
        signature = self._signer.sign(_PURPOSE, self._list + payload)[:_SIGNATURE_BYTES]
        return encode_base64(signature + payload)

    def _read(self, cursor: str) -> list[Any]:
        raw = decode_base64(cursor) or b""
        signature, payload = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
        if signature != self._signer.sign(_PURPOSE, self._list + payload)[:_SIGNATURE_BYTES] or not payload:
            raise InvalidCursor
        values: list[Any] = from_json(payload)
        return values


async def _pagination(
    request: Request,
    claims: Claims,
    limit: Annotated[int, Query(ge=1, le=LARGEST_LIMIT, description="Rows per page.")] = DEFAULT_LIMIT,
    cursor: Annotated[str | None, Query(description="`next_cursor` of the page before.", max_length=2000)] = None,
) -> Pagination:
    return Pagination(request, claims, limit=limit, cursor=cursor)


#: `?limit=&cursor=`. Whether the sign-in goes on is the endpoint's to ask.
Page = Annotated[Pagination, Depends(_pagination)]


async def read_page(
    unit: UnitOfWork, listing: Listing, given: Mapping[str, object], *, page: Pagination, ask: Ask | None = None
) -> tuple[list[Row], str | None]:
    """The rows of one page of a list, in one wait, and the cursor of the next page."""
    if ask is not None:
        return await _read_asked(unit, listing, given, page=page, ask=ask)
    columns = listing.order
    after = None if page.after is None else [_typed(*pair) for pair in zip(columns, page.after, strict=True)]
    [rows] = await unit.fetch_all(listing.bind(given, after=after, limit=page.limit + 1))
    if len(rows) <= page.limit:
        return rows, None
    rows.pop()
    return rows, page.cursor([getattr(rows[-1], column.key) for column in columns])


async def _read_asked(
    unit: UnitOfWork, listing: Listing, given: Mapping[str, object], *, page: Pagination, ask: Ask
) -> tuple[list[Row], str | None]:
    [rows] = await unit.fetch_all(listing.bind(given, after=page.after, limit=page.limit + 1, ask=ask))
    if len(rows) <= page.limit:
        return rows, None
    rows.pop()
    last = rows[-1]
    return rows, page.cursor([last.id] if ask.sort is None else [last.sort_key, last.id])


async def _wish(
    filter: Annotated[  # noqa: A002 # the parameter's name
        str | None,
        Query(
            max_length=8000,
            description="Conditions that must all hold, as JSON: `[[field, operator, value], …]`. Operators are `=`,"
            " `!=`, `in`, `<`, `<=`, `>`, `>=`, `contains` and `empty`; fields are those of the answer, custom ones"
            " as `custom.<id>`.",
            examples=['[["amount_minor", ">=", 100000]]'],
        ),
    ] = None,
    sort: Annotated[
        str | None,
        Query(max_length=200, description="A field; `-` before it for the largest first. Default newest first."),
    ] = None,
) -> Wish | None:
    return read(filter, sort)


#: `?filter=&sort=`.
Wished = Annotated[Wish | None, Depends(_wish)]


async def asked(
    unit: UnitOfWork, wish: Wish | None, noun: str, fields: Fields, model: type[Base] | None = None
) -> Ask | None:
    """What a caller wishes of a list, as SQL; `model`: what may have custom fields. Waits only where those are named.

    Raises:
        BadFilter: the list cannot follow it.
    """
    if wish is None:
        return None
    found = definitions((await unit.fetch_all(defining(noun)))[0]) if wish.needs_custom else []
    columns = None if model is None else model.__table__.c
    values = None if columns is None or "custom" not in columns else (columns["custom"], columns["computed"])
    return resolve(wish, fields, noun, values, found)


def _typed(column: InstrumentedAttribute[Any], value: Any) -> Any:  # noqa: ANN401 # a JSON value becomes the column's
    kind = column.type.python_type
    if kind is UUID:
        return UUID(value)
    return datetime.fromisoformat(value) if kind is datetime else value
