"""`/v1/exchange-rates`: what an organization's base currency costs in others, by day."""

from datetime import date
from typing import Annotated, Any

from fastapi import Depends, File, Query, UploadFile
from starlette.concurrency import run_in_threadpool

from api.edge.dependencies import Administrator, CurrentCaller, Unit
from api.edge.fields import Day
from api.edge.pages import Page, PageOf, read_page
from api.edge.routing import problems, slice_router
from api.exchange_rates import ecb, records, rules
from api.exchange_rates.schemas import ExchangeRatesImported, ExchangeRatesPut, ExchangeRatesRead
from api.kernel.errors import NotFound, PayloadTooLarge

router = slice_router(prefix="/exchange-rates", tags=["exchange rates"])

_LARGEST_FILE = 8 * 1024 * 1024


async def _span(
    start: Annotated[Day | None, Query(alias="from", description="First day.")] = None,
    end: Annotated[Day | None, Query(alias="to", description="The day after the last one.")] = None,
) -> dict[str, Any]:
    return {"from": start, "to": end}


@router.get("")
async def list_exchange_rates(
    caller: CurrentCaller, unit: Unit, page: Page, span: Annotated[dict[str, Any], Depends(_span)]
) -> PageOf[ExchangeRatesRead]:
    """List days with rates, the newest first."""
    rows, cursor = await read_page(unit, records.DAYS, span, page=page)
    return PageOf(items=[ExchangeRatesRead.model_validate(row) for row in rows], next_cursor=cursor)


@router.post(
    "/import",
    responses=problems(rules.AnotherBase, ecb.RatesFileUnusable, PayloadTooLarge),
    max_body_size=_LARGEST_FILE,
)
async def import_exchange_rates(
    file: Annotated[UploadFile, File(description="eurofxref.csv or eurofxref-hist.csv, or the zip archive of one.")],
    caller: Administrator,
    unit: Unit,
    start: Annotated[Day | None, Query(alias="from", description="Earlier days of the file are left out.")] = None,
) -> ExchangeRatesImported:
    """Take in the European Central Bank's file of reference rates. What is known already changes nothing."""
    found = await run_in_threadpool(ecb.read, await file.read())
    days = [(day, rates) for day, rates in found.days if start is None or day >= start]
    changes = await _put(unit, ecb.BASE, days) if days else []
    return ExchangeRatesImported(
        days=len(days),
        changed=len(changes),
        first_day=days[0][0] if days else None,
        last_day=days[-1][0] if days else None,
        left_out=found.left_out,
    )


@router.get("/{day}", responses=problems(NotFound))
async def read_exchange_rates(day: Day, caller: CurrentCaller, unit: Unit) -> ExchangeRatesRead:
    """Read the rates of a day."""
    return ExchangeRatesRead.model_validate(await records.find_day(unit, day))


@router.put("/{day}", responses=problems(NotFound, rules.AnotherBase, rules.BaseHasNoRate))
async def put_exchange_rates(day: Day, body: ExchangeRatesPut, caller: Administrator, unit: Unit) -> ExchangeRatesRead:
    """Set rates of a day. Figures that were converted at others are restated."""
    given = {currency: None if rate is None else rules.plain(rate) for currency, rate in body.rates.items()}
    changes = await _put(unit, body.base, [(day, given)])
    return ExchangeRatesRead.model_validate(changes[0].after if changes else await records.find_day(unit, day))


async def _put(unit: Unit, base: str, days: list[tuple[date, rules.Rates]]) -> list[rules.Change]:
    known, known_base = await records.hold_days(unit, [day for day, _ in days])
    changes = rules.put(known, base, days, known_base=known_base, now=unit.now)
    records.write(unit, changes)
    return changes
