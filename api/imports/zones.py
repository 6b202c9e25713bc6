"""Wall clocks to instants and back, by the time zone rules of the Python that runs us, as everywhere in the API."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from contracts.instants import FIRST_YEAR, LAST_YEAR

_FIRST, _LAST = datetime(FIRST_YEAR - 1, 12, 1, tzinfo=UTC), datetime(LAST_YEAR + 1, 2, 1, tzinfo=UTC)
_STEP = timedelta(days=7)
_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=64)
def _changes(key: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Instants at which clocks change, wall times from which on the new offset counts, and the offsets around them.

    A wall time that a change skips keeps the offset before it, and so does one that comes twice: its earlier instant.
    """
    zone = ZoneInfo(key)
    instants: list[int] = []
    offsets = [_offset(zone, _FIRST)]
    at = _FIRST
    while at < _LAST:
        then = at + _STEP
        while _offset(zone, at) != _offset(zone, then):
            change = _next_change(zone, at, then)
            offsets.append(_offset(zone, change))
            instants.append((change - _EPOCH) // _MICROSECOND)
            at = change
        at = then
    around = np.array(offsets, dtype=np.int64)
    moments = np.array(instants, dtype=np.int64)
    return moments, moments + np.maximum(around[:-1], around[1:]), around


def _next_change(zone: ZoneInfo, low: datetime, high: datetime) -> datetime:
    """The first second of another offset than at `low`, which is at most a step away from `high`."""
    before = _offset(zone, low)
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) // 2
        middle = middle.replace(microsecond=0)
        if middle == low:
            break
        low, high = (middle, high) if _offset(zone, middle) == before else (low, middle)
    return high


def _offset(zone: ZoneInfo, instant: datetime) -> int:
    offset = instant.astimezone(zone).utcoffset() or timedelta()
    return offset // _MICROSECOND


def to_utc(naive: pl.Expr, key: str) -> pl.Expr:
    """Instants of wall times."""

    def shifted(walls: pl.Series) -> pl.Series:
        _, boundaries, offsets = _changes(key)
        times = walls.cast(pl.Int64).fill_null(0).to_numpy()
        found = pl.Series(times - offsets[np.searchsorted(boundaries, times, side="right")])
        return pl.select(pl.when(walls.is_not_null()).then(found).cast(pl.Datetime("us", "UTC"))).to_series()

    return naive.cast(pl.Datetime("us")).map_batches(shifted, return_dtype=pl.Datetime("us", "UTC"))


def day_of(instant: pl.Expr, key: str) -> pl.Expr:
    """The day that a calendar on the wall shows at an instant."""

    def shifted(moments: pl.Series) -> pl.Series:
        changes, _, offsets = _changes(key)
        times = moments.cast(pl.Int64).fill_null(0).to_numpy()
        found = pl.Series(times + offsets[np.searchsorted(changes, times, side="right")])
        local = pl.when(moments.is_not_null()).then(found).cast(pl.Datetime("us"))
        return pl.select(local.dt.date()).to_series()

    return instant.cast(pl.Datetime("us", "UTC")).map_batches(shifted, return_dtype=pl.Date)
