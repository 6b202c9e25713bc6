"""Whether one wording does better than another: shares of those who were drawn for each, and whether it is chance.

Arms of one step of one campaign are compared with those who were held out of it, else with its first variant. Whoever
was drawn counts, whatever reached them: nothing that happened later decides who is compared.
"""

from typing import Any

from metrics.cells import Cells
from metrics.change import Share, newcombe
from metrics.question import Question

_HELD_OUT = "held_out"
#: What may come of it, by the step that a fact then enters.
_OUTCOMES = ("replied", "moved", "unsubscribed")


def shape(question: Question, cells: Cells) -> list[dict[str, Any]]:
    """Rows per arm and outcome: of how many it came true, and how that differs from the arm compared with."""
    del question  # an arm says all
    trials: dict[str, list[str]] = {}
    for arm in cells.groups():
        if arm is not None:
            trials.setdefault(arm.rpartition("/")[0], []).append(arm)
    return [
        _row(cells, arm, baseline, outcome)
        for arms in trials.values()
        for baseline in [_baseline(arms)]
        for arm in arms
        for outcome in _OUTCOMES
    ]


def _baseline(arms: list[str]) -> str:
    held_out = [arm for arm in arms if arm.endswith(f"/{_HELD_OUT}")]
    return held_out[0] if held_out else arms[0]


def _row(cells: Cells, arm: str, baseline: str, outcome: str) -> dict[str, Any]:
    campaign_id, step, variant = arm.split("/")
    share, other = _share(cells, arm, outcome), _share(cells, baseline, outcome)
    bounds = None if arm == baseline else newcombe(share, other)
    known = share.rate is not None and other.rate is not None and arm != baseline
    return {
        "group": arm,
        "campaign_id": campaign_id,
        "step": int(step),
        "variant": variant,
        "stage_id": outcome,
        "entered": share.part,
        "cohort": share.whole,
        "rate": share.rate,
        "compared_with": None if arm == baseline else baseline.rpartition("/")[2],
        "difference": (share.rate or 0.0) - (other.rate or 0.0) if known else None,
        "low": bounds and bounds[0],
        "high": bounds and bounds[1],
        "is_chance": None if bounds is None else bounds[0] <= 0 <= bounds[1],
    }


def _share(cells: Cells, arm: str, outcome: str) -> Share:
    return Share(cells.get("visited", arm, outcome).facts, cells.get("cohort", arm).facts)
