"""Why a conversion changed: the difference of two periods, split over groups into rate and mix; whether it is chance.

Each is read from the funnel's facts of a period: `shape` arranges the cells of the later one and of the one before.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

from contracts.stages import StageKind
from metrics.cells import Cells, ratio
from metrics.funnel import shown_stages
from metrics.question import Question, Stage

#: Quantile of the normal distribution for 95 % confidence on both sides.
_Z = 1.959963984540054


@dataclass(frozen=True)
class Share:
    """So many of so many."""

    part: int
    whole: int

    @property
    def rate(self) -> float | None:
        """The share, where there is anything to share."""
        return ratio(self.part, self.whole)


Rows = list[dict[str, Any]]


def shape(question: Question, now: Cells, before: Cells) -> tuple[Rows, Rows]:
    """Rows per step and group; and what they make together, with the whole funnel, from its cohort to a won stage."""
    groups = sorted({*now.groups(), *before.groups()}, key=lambda group: (group is None, group or "")) or [None]
    rows: Rows = []
    totals: Rows = []
    for stage, previous in _steps(question, now):
        pairs = {
            group: (_share(question, before, group, stage, previous), _share(question, now, group, stage, previous))
            for group in groups
        }
        keys = {"stage_id": stage and str(stage.stage_id), "from_stage_id": previous and str(previous.stage_id)}
        total = tuple(_sum([pair[place] for pair in pairs.values()]) for place in (0, 1))
        names = _WHOLE if stage is None else _STEP
        totals.append(keys | {"group": None, "is_total": True} | _named(*total, names=names) | _total(*total))
        (totals if stage is None else rows).extend(
            keys
            | {"group": group, "is_total": False}
            | _named(*pairs[group], names=names)
            | _effects(*pairs[group], *total)
            for group in groups
        )
    return rows, totals


def newcombe(now: Share, before: Share) -> tuple[float, float] | None:
    """Bounds of the difference of two independent shares, 95 % confidence; None where one has nothing to share."""
    if not now.whole or not before.whole:
        return None
    (low, high), (low_before, high_before) = wilson(now), wilson(before)
    rate, rate_before = now.part / now.whole, before.part / before.whole
    difference = rate - rate_before
    return (
        difference - sqrt((rate - low) ** 2 + (high_before - rate_before) ** 2),
        difference + sqrt((high - rate) ** 2 + (rate_before - low_before) ** 2),
    )


def wilson(share: Share) -> tuple[float, float]:
    """Bounds of a share of something, 95 % confidence."""
    n, rate = share.whole, share.part / share.whole
    middle = rate + _Z**2 / (2 * n)
    spread = _Z * sqrt(rate * (1 - rate) / n + _Z**2 / (4 * n**2))
    return (middle - spread) / (1 + _Z**2 / n), (middle + spread) / (1 + _Z**2 / n)


def _steps(question: Question, cells: Cells) -> Iterator[tuple[Stage | None, Stage | None]]:
    """The whole funnel, then each step as (stage, open stage before)."""
    yield None, None
    previous = None
    for stage in shown_stages(question, cells):
        if stage.kind is StageKind.LOST:
            continue
        if previous is not None:
            yield stage, previous
        previous = stage if stage.kind is StageKind.OPEN else previous


def _share(question: Question, cells: Cells, group: str | None, stage: Stage | None, previous: Stage | None) -> Share:
    if stage is None or previous is None:
        won = [one.stage_id for one in question.stages if one.kind is StageKind.WON]
        part = sum(cells.get("won", group, stage_id).facts for stage_id in won)
        return Share(part, cells.get("cohort", group).facts)
    entered, before = (cells.get("entered", group, one.stage_id).facts for one in (stage, previous))
    return Share(entered, before)


def _sum(shares: Sequence[Share]) -> Share:
    return Share(sum(share.part for share in shares), sum(share.whole for share in shares))


def _total(before: Share, now: Share) -> dict[str, Any]:
    bounds = newcombe(now, before)
    difference = None if now.rate is None or before.rate is None else now.rate - before.rate
    return {
        "difference": difference,
        "low": bounds and bounds[0],
        "high": bounds and bounds[1],
        "is_chance": None if bounds is None else bounds[0] <= 0 <= bounds[1],
    }


def _effects(before: Share, now: Share, all_before: Share, all_now: Share) -> dict[str, Any]:
    share_before, share_now = ratio(before.whole, all_before.whole), ratio(now.whole, all_now.whole)
    found = {"share_earlier": share_before, "share": share_now}
    # a group that is in one period alone has changed the mix, and no rate
    rate_before = now.rate if before.rate is None else before.rate
    rate_now = before.rate if now.rate is None else now.rate
    if share_before is None or share_now is None or rate_before is None or rate_now is None:
        return found | {"rate_effect": None, "mix_effect": None}
    return found | {
        "rate_effect": (share_before + share_now) / 2 * (rate_now - rate_before),
        "mix_effect": (rate_before + rate_now) / 2 * (share_now - share_before),
    }


#: What the two numbers of a share are called, of the whole funnel and of a step.
_WHOLE, _STEP = ("won", "cohort"), ("entered", "entered_before")


def _named(before: Share, now: Share, *, names: tuple[str, str]) -> dict[str, Any]:
    """Both shares; what ends in `_earlier` is of the earlier period."""
    part, whole = names
    return {
        part: now.part,
        whole: now.whole,
        "conversion": now.rate,
        f"{part}_earlier": before.part,
        f"{whole}_earlier": before.whole,
        "conversion_earlier": before.rate,
    }
