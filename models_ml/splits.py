"""Which rows teach, which choose and calibrate, which judge: by time where there is one, the past for the future.

Rows of one instant stay together. Without a time rows are dealt out at random, each outcome evenly, by a fixed seed.
"""

from dataclasses import dataclass

import numpy as np

_TEST_SHARE = 0.25
_FOLDS = 3


@dataclass(frozen=True)
class Split:
    """Positions into the labelled rows: `folds` are pairs (fit, held out) within `train`, the last one the newest."""

    train: np.ndarray
    test: np.ndarray
    folds: tuple[tuple[np.ndarray, np.ndarray], ...]
    by_time: bool

    @property
    def newest(self) -> np.ndarray:
        """The held-out rows nearest to the future; without a time all of them."""
        return self.folds[-1][1] if self.by_time else self.train


def split_by_time(instants: np.ndarray) -> Split | None:
    """The last quarter judges; models are chosen by the half before its own. None where instants are too few to cut."""
    order = np.argsort(instants, kind="stable")
    cuts = [_cut(instants[order], share) for share in (0.375, 0.5625, 1 - _TEST_SHARE)]
    first, second, third = cuts
    if not 0 < first < second < third < len(order):
        return None
    folds = ((order[:first], order[first:second]), (order[:second], order[second:third]))
    return Split(order[:third], order[third:], folds, by_time=True)


def split_at_random(won: np.ndarray) -> Split:
    """A quarter judges, the rest takes turns."""
    place = _dealt(won)
    train, test = np.flatnonzero(place >= _TEST_SHARE), np.flatnonzero(place < _TEST_SHARE)
    turn = ((place[train] - _TEST_SHARE) / (1 - _TEST_SHARE) * _FOLDS).astype(int).clip(0, _FOLDS - 1)
    folds = tuple((train[turn != fold], train[turn == fold]) for fold in range(_FOLDS))
    return Split(train, test, folds, by_time=False)


def _cut(ordered: np.ndarray, share: float) -> int:
    """The first row of the instant that stands at this share."""
    return int(np.searchsorted(ordered, ordered[int(share * len(ordered))], side="left"))


def _dealt(won: np.ndarray) -> np.ndarray:
    """A place in [0, 1) for each row, even among the won and among the lost."""
    random = np.random.default_rng(0)
    place = np.empty(len(won))
    for side in (0, 1):
        rows = np.flatnonzero(won == side)
        place[random.permutation(rows)] = np.arange(len(rows)) / max(1, len(rows))
    return place
