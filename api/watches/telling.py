"""What people are told of their figures, in words. Pure."""

from collections.abc import Iterable

from api.watches.rules import Watch
from contracts.money import MINOR_DIGITS

#: Figures that are shares of one.
_SHARES = ("rate", "attainment", "share", "probability")


def written(watch: Watch, value: float | None) -> str:
    """A value of a watch as people read it: amounts in whole units, shares in percent."""
    if value is None:
        return "–"
    if watch.currency is not None:
        digits = MINOR_DIGITS.get(watch.currency, 2)
        return f"{value / 10**digits:,.{digits}f} {watch.currency}"
    if watch.measure.endswith(_SHARES):
        return f"{value:.1%}"
    return f"{value:,.0f}" if value == int(value) else f"{value:,.2f}"


def alarm(watch: Watch) -> str:
    """One line about an alarm that was raised, or is over."""
    threshold, value = written(watch, watch.threshold), written(watch, watch.value)
    if watch.is_raised:
        reached = "has reached" if watch.direction == "above" else "has fallen to"
        return f"{watch.name} {reached} {value}; the threshold is {threshold}."
    return f"{watch.name} is {value} again; the threshold is {threshold}."


def digest(watches: Iterable[Watch]) -> list[str]:
    """The lines of a digest: each figure, and what it was in the one before."""
    return [
        f"{one.name}: {written(one, one.value)}"
        + ("" if one.digest_value in (None, one.value) else f" (it was {written(one, one.digest_value)})")
        + (" – beyond its threshold" if one.is_raised else "")
        + (f" – cannot be told: {one.problem}" if one.problem else "")
        for one in watches
    ]
