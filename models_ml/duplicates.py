"""Rows that are there twice: what is in the training rows and in the judging rows would be remembered, not foreseen.

Exact copies always count. Copies under another identifier or instant count where rows are rich: leaving out any one
column, hardly more of them are equal. Where rows are poor (few categories), equal ones are what one expects.
"""

import numpy as np
import polars as pl

from models_ml.columns import Column

_RICH = 2.0


def repeated(columns: list[Column], won: np.ndarray, *, apart: set[str]) -> np.ndarray:
    """Positions of rows that repeat an earlier one, outcome included; `apart` names identifiers and the time."""
    hashes = {column.name: _hash(column, place) for place, column in enumerate(columns)}
    outcome = pl.Series(won).hash(seed=len(columns))
    later = ~_fold([*hashes.values(), outcome]).is_first_distinct()
    rest = [hashes[column.name] for column in columns if column.name not in apart]
    if len(rest) > 1 and len(rest) < len(columns):
        whole = _fold([*rest, outcome])
        pairs = _equal_pairs(whole)
        if pairs and all(_equal_pairs(whole ^ without) <= _RICH * pairs for without in rest):
            later |= ~whole.is_first_distinct()
    return np.flatnonzero(later.to_numpy())


def _hash(column: Column, place: int) -> pl.Series:
    return column.values.hash(seed=place)


def _fold(hashes: list[pl.Series]) -> pl.Series:
    folded = hashes[0]
    for more in hashes[1:]:
        folded = folded ^ more
    return folded


def _equal_pairs(keys: pl.Series) -> int:
    counts = keys.value_counts()["count"].cast(pl.Int64)
    return int((counts * (counts - 1) // 2).sum())
