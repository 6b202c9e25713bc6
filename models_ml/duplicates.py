"""Rows that are there twice: what is in the training rows and in the judging rows would be remembered, not foreseen.

Exact copies count where rows have an identifier. Without one, or under another one, instant or status, or touched in
one column, copies count where rows are rich: leaving out any one column, hardly more of them are equal. Where rows are
poor (few categories), equal ones are what one expects.
"""

from collections.abc import Iterator

import numpy as np
import polars as pl

from models_ml.columns import Column

_RICH = 2.0
#: Of kinds that nearly all rows share, few combinations come: that they come again says nothing.
_DIFFERENT = 0.3


def repeated(columns: list[Column], won: np.ndarray, *, identifiers: set[str], unlike: set[str]) -> np.ndarray:
    """Positions of rows that repeat an earlier one, outcome included; copies may differ in the columns `unlike`."""
    hashes = {column.name: _hash(column, place) for place, column in enumerate(columns)}
    outcome = pl.Series(won).hash(seed=len(columns))
    later = pl.Series(np.zeros(len(won), dtype=bool))
    if identifiers & hashes.keys():
        later |= ~_fold([*hashes.values(), outcome]).is_first_distinct()
    named = [hashed for name, hashed in hashes.items() if name not in identifiers]
    bare = [hashed for name, hashed in hashes.items() if name not in identifiers | unlike]
    for parts in (named, bare, *_all_but_one(bare, outcome)):
        if len(parts) > 1 and _are_rich(parts, outcome):
            later |= ~_fold([*parts, outcome]).is_first_distinct()
    return np.flatnonzero(later.to_numpy())


def _all_but_one(parts: list[pl.Series], outcome: pl.Series) -> Iterator[list[pl.Series]]:
    """A copy may have been touched: without which column more rows are equal."""
    whole = _fold([*parts, outcome])
    different = whole.n_unique()
    for place, part in enumerate(parts):
        if (whole ^ part).n_unique() < different:
            yield parts[:place] + parts[place + 1 :]


def _are_rich(parts: list[pl.Series], outcome: pl.Series) -> bool:
    whole = _fold([*parts, outcome])
    if whole.n_unique() < _DIFFERENT * len(whole):
        return False
    pairs = _equal_pairs(whole)
    return pairs > 0 and all(_equal_pairs(whole ^ without) <= _RICH * pairs for without in parts)


def _hash(column: Column, place: int) -> pl.Series:
    values = column.values
    return (values.str.to_lowercase() if values.dtype == pl.String else values).hash(seed=place)


def _fold(hashes: list[pl.Series]) -> pl.Series:
    folded = hashes[0]
    for more in hashes[1:]:
        folded = folded ^ more
    return folded


def _equal_pairs(keys: pl.Series) -> int:
    counts = keys.value_counts()["count"].cast(pl.Int64)
    return int((counts * (counts - 1) // 2).sum())
