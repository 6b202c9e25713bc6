"""What the cells of a whole column prove of how it is written, beside what an import was told."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Evidence:
    """The first rows that prove one way of writing, that prove the other, and that could be either."""

    for_yes: int | None = None
    for_no: int | None = None
    unclear: int | None = None

    def with_more(self, **rows: int | None) -> "Evidence":
        """This and what further rows show."""
        return Evidence(**{name: _first(getattr(self, name), row) for name, row in rows.items()})


@dataclass(frozen=True)
class Verdict:
    """How a column is written. `choice` None: nothing proves it, and what could be either is refused.

    `note` is for whoever looks at the preview: what was concluded, why, and which option says otherwise.
    """

    choice: bool | None
    note: str | None = None
    is_mixed: bool = False
    is_asked: bool = False
    problem: str = ""
    fix: str = ""


def judge(evidence: Evidence, asked: bool | None, *, yes: str, no: str, option: str) -> Verdict:
    """What to make of a column: `yes` and `no` say the two ways of writing, `option` which option decides."""
    fix = f"Say {option}: true ({yes}) or false ({no}), or write it so that it can be only one."
    proven = (evidence.for_yes, evidence.for_no)
    if asked is not None:
        wrong = evidence.for_no if asked else evidence.for_yes
        problem = f"{option} says {yes if asked else no}, row {wrong} is written otherwise."
        is_wrong = wrong is not None and (evidence.for_yes if asked else evidence.for_no) is None
        # an order that its own column disproves is no order for the cells that could be either
        return Verdict(None if is_wrong else asked, is_mixed=is_wrong, is_asked=True, problem=problem, fix=fix)
    if None not in proven:
        problem = f"Row {evidence.for_yes} is written as {yes}, row {evidence.for_no} as {no}: this could be either."
        return Verdict(None, is_mixed=True, problem=problem, fix=fix)
    if proven == (None, None):
        return Verdict(None, problem=f"This could be {yes} or {no}, and no row of the column shows which.", fix=fix)
    choice = evidence.for_yes is not None
    row = evidence.for_yes if choice else evidence.for_no
    note = None
    if evidence.unclear is not None:
        note = f"read as {yes if choice else no}, because row {row} can be nothing else ({option} says otherwise)"
    return Verdict(choice, note=note)


def _first(one: int | None, other: int | None) -> int | None:
    return min((row for row in (one, other) if row is not None), default=None)
