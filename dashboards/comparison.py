"""The hourly comparison of the figures with what was entered, in words for people who have never heard of a warehouse.

Of one organization: the reader's. What to draw is in `views/data_health`.
"""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from dashboards import money
from dashboards.answers import Reconciliation

#: The comparison runs every hour; when two were missed somebody should ask why.
_PATIENCE = timedelta(hours=3)


def disagreement(last: Reconciliation | None, now: datetime) -> list[tuple[str, str]]:
    """What the last comparison found wrong and what to do about it, or that there has been none for too long."""
    if last is None:
        return []
    if not last.is_clean and not _is_mended(last):
        advice = (
            f"The last comparison found {_found(last)} Do not rely on the figures until this is repaired. Whoever runs "
            "Sluice does it with `./sluice reconcile --repair`."
        )
        return [("The figures differ from what was entered", advice)]
    if not last.is_clean:
        advice = (
            f"The last comparison found {_found(last)} That was repaired; the figures follow with their next update, "
            "and the next comparison will say so here."
        )
        return [("The figures differed from what was entered", advice)]
    if now - last.checked_at > _PATIENCE:
        advice = (
            "Sluice compares them with what was entered every hour, and has not done so. Whoever runs Sluice should "
            "look at the schedules on Dagster's pages."
        )
        return [("The figures have not been compared for hours", advice)]
    return []


def summary(last: Reconciliation | None, zone: ZoneInfo) -> str:
    """When it last ran and what it found, in a sentence or two."""
    if last is None:
        return "The figures have not been compared yet. Sluice does so every hour."
    when = money.moment(last.checked_at, zone)
    if last.is_clean:
        what = "each is in the warehouse once" + ("" if last.wrong_figures is None else ", and the figures are theirs")
    else:
        mended = f" Repaired {money.moment(last.repaired_at, zone)}." if _is_mended(last) else " Not repaired yet."
        what = f"found {_found(last)}{mended}"
    waiting = f" {last.in_flight:,} were on their way and will be compared next time." if last.in_flight else ""
    return f"{when}: {last.events:,} events compared; {what.removesuffix('.')}.{waiting}"


def _is_mended(last: Reconciliation) -> bool:
    return last.repaired_at is not None and last.repaired_at >= last.checked_at and not last.wrong_figures


def _found(last: Reconciliation) -> str:
    kinds = [
        (last.missing, "missing from the warehouse"),
        (last.extra, "in the warehouse that nobody entered"),
        (last.different, "recorded differently there"),
    ]
    said = [f"{count:,} event{'s' * (count != 1)} {what}" for count, what in kinds if count]
    if last.wrong_figures:
        said.append(f"{last.wrong_figures:,} published figure{'s' * (last.wrong_figures != 1)} in error")
    return f"{', '.join(said)}."
