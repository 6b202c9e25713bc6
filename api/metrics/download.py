"""All facts behind a figure as a file: read page by page of one instant, kept on disk beyond a megabyte, then sent.

It is whole before the first byte goes out, so that a download is either complete or a problem.
"""

import csv
from collections.abc import Iterator, Mapping
from io import TextIOWrapper
from tempfile import SpooledTemporaryFile
from typing import IO, Any

from api.edge.services import Services
from api.kernel.caller import Caller
from api.kernel.unit_of_work import UnitOfWork
from api.metrics import service
from api.metrics.schemas import DealBehind, FactBehind, FactsBehind
from contracts.money import MINOR_DIGITS

_PAGE = 20_000
_IN_MEMORY = 1 << 20
_CHUNK = 1 << 16

#: What spreadsheets take for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


async def write_facts(
    unit: UnitOfWork,
    caller: Caller,
    *,
    services: Services,
    name: str,
    given: Mapping[str, str],
    cell: Mapping[str, str],
) -> IO[bytes]:
    """A file of all facts behind one figure, at its beginning."""
    file: IO[bytes] = SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115  # sent, and closed, by `chunks`
    text = TextIOWrapper(file, encoding="utf-8-sig", newline="", write_through=True)
    table = csv.writer(text)
    place: list[str] | None = None
    while True:
        found, place = await service.facts_behind(
            unit, caller, services=services, name=name, given=given, cell=cell, limit=_PAGE, after=place
        )
        if file.tell() == 0:
            table.writerow(_columns(found))
        table.writerows(_line(item, found) for item in found.items)
        if place is None:
            break
    text.detach()
    file.seek(0)
    return file


def chunks(file: IO[bytes]) -> Iterator[bytes]:
    """The file's bytes; it is closed behind them."""
    with file:
        while piece := file.read(_CHUNK):
            yield piece


def _columns(found: FactsBehind) -> list[str]:
    if not found.items:
        return ["id"]
    return list(_fields(found.items[0], found))


def _line(item: DealBehind | FactBehind, found: FactsBehind) -> list[Any]:
    return [_safe(value) for value in _fields(item, found).values()]


def _fields(item: DealBehind | FactBehind, found: FactsBehind) -> dict[str, Any]:
    """A fact's columns: what has a name is named beside its id, amounts are in whole units."""
    fields: dict[str, Any] = {}
    for name, value in item.model_dump().items():
        if name == "amount_minor":
            fields["amount"] = _whole(value, getattr(item, "currency", None))
            continue
        if name == "counted_minor":
            fields[f"amount in {found.total.currency}"] = _whole(value, found.total.currency)
            continue
        fields[name] = value.isoformat() if hasattr(value, "isoformat") else value
        if name.endswith("_id") and name != "deal_id":
            fields[name.removesuffix("_id")] = found.labels.get(str(value), "") if value else ""
    return fields


def _whole(amount_minor: int | None, currency: str | None) -> str:
    """An amount to the last minor unit, without sign and separators: `1240.50`."""
    if amount_minor is None or currency is None:
        return ""
    digits = MINOR_DIGITS.get(currency, 2)
    whole, part = divmod(abs(amount_minor), 10**digits)
    sign = "-" if amount_minor < 0 else ""
    return f"{sign}{whole}.{part:0{digits}d}" if digits else f"{sign}{whole}"


def _safe(value: Any) -> Any:  # noqa: ANN401  # a cell
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) and not _is_number(value) else value


def _is_number(text: str) -> bool:
    return text.removeprefix("-").replace(".", "", 1).isdecimal()
