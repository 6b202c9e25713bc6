"""When a change of a deal counts as having happened: the rules of `occurred_at`.

None stands for now by the database's clock, read when the event is written, after the deal's row was locked.
"""

from datetime import datetime, timedelta

from api.kernel.errors import Unprocessable

#: A caller's clock may run this far ahead of ours before an instant counts as lying in the future.
CLOCK_TOLERANCE = timedelta(minutes=2)


class OccurredInFuture(Unprocessable):
    """`occurred_at` has not come yet."""

    code = "occurred_in_future"

    def __init__(self, occurred_at: datetime) -> None:
        self.occurred_at = occurred_at
        super().__init__(f"{occurred_at.isoformat()} lies in the future.", pointer="/occurred_at")


class OccurredBeforeCreation(Unprocessable):
    """`occurred_at` lies before the deal began."""

    code = "occurred_before_creation"

    def __init__(self, occurred_at: datetime, *, created_at: datetime) -> None:
        self.occurred_at, self.created_at = occurred_at, created_at
        super().__init__(
            f"{occurred_at.isoformat()} lies before the deal's creation at {created_at.isoformat()}.",
            pointer="/occurred_at",
        )


def past_instant(occurred_at: datetime | None, *, now: datetime) -> datetime | None:
    """The instant given; None where it means now, as one within the tolerance ahead of our clock does.

    Raises:
        OccurredInFuture: it lies further ahead.
    """
    if occurred_at is None or occurred_at < now:
        return occurred_at
    if occurred_at > now + CLOCK_TOLERANCE:
        raise OccurredInFuture(occurred_at)
    return None


def instant_of_change(
    occurred_at: datetime | None, *, now: datetime, created_at: datetime, latest: datetime
) -> datetime | None:
    """When a change of an existing deal happened; before `latest` means that it is backdated behind newer facts.

    A change without an instant is never backdated, even where two clocks differ by more than the time between changes.

    Raises:
        OccurredInFuture, OccurredBeforeCreation: it cannot have happened then.
    """
    instant = past_instant(occurred_at, now=now)
    if instant is None:
        return latest if latest >= now else None
    if instant < created_at:
        raise OccurredBeforeCreation(instant, created_at=created_at)
    return instant
