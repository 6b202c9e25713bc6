"""Why a deal cannot be what a command asks."""

from collections.abc import Sequence
from datetime import datetime

from api.kernel.errors import Conflict, Unprocessable
from contracts.stages import StageKind


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


class ExternalIdTaken(Conflict):
    """Another deal has this id of another system."""

    code = "external_id_taken"

    def __init__(self, external_id: str | None) -> None:
        self.external_id = external_id
        super().__init__(f"Another deal has the external_id {external_id!r}.")


class PipelineIsRetired(Conflict):
    """A retired pipeline takes no new deals."""

    code = "pipeline_retired"

    def __init__(self) -> None:
        super().__init__("This pipeline is retired.")


class StageNotOpen(Unprocessable):
    """An open stage is needed here."""

    code = "stage_not_open"

    def __init__(self) -> None:
        super().__init__("This needs an open stage.", pointer="/stage_id")


class StageOfOtherPipeline(Conflict):
    """A deal stays in its pipeline."""

    code = "stage_of_other_pipeline"

    def __init__(self) -> None:
        super().__init__("The stage belongs to another pipeline than the deal.")


class DealIsClosed(Conflict):
    """A closed deal moves no more, but among won stages; it can be reopened."""

    code = "deal_closed"

    def __init__(self, outcome: str) -> None:
        self.outcome = outcome
        super().__init__(f"The deal is {outcome}. Reopen it first.")


class DealWasClosed(Conflict):
    """At the given instant the deal was closed."""

    code = "deal_closed"

    def __init__(self, occurred_at: datetime) -> None:
        self.occurred_at = occurred_at
        super().__init__(f"The deal was closed at {occurred_at.isoformat()}; a closed deal does not move.")


class DealIsOpen(Conflict):
    """Only a closed deal can be reopened."""

    code = "deal_open"

    def __init__(self) -> None:
        super().__init__("The deal is open.")


class BackdatedClosing(Conflict):
    """Wins, losses and reopenings cannot be put before what happened since."""

    code = "later_stage_entry_exists"

    def __init__(self, entered_at: datetime) -> None:
        self.entered_at = entered_at
        super().__init__(
            f"The deal entered its present stage at {entered_at.isoformat()}; it cannot have been closed or reopened"
            " before that."
        )


class ReasonNeeded(Unprocessable):
    """A loss says why, and nothing else does."""

    code = "reason_mismatch"

    def __init__(self, kind: StageKind) -> None:
        self.kind = kind
        lost = kind is StageKind.LOST
        super().__init__(
            "Say why the deal was lost." if lost else "Only a loss has a reason.",
            pointer="/reason",
        )


class FieldsMissing(Unprocessable):
    """A stage asks for fields that the deal does not have."""

    code, pointer = "fields_missing", "/stage_id"

    def __init__(self, leaving: Sequence[str], entering: Sequence[str]) -> None:
        self.leaving, self.entering = tuple(leaving), tuple(entering)
        said = [f"to leave its stage the deal needs {', '.join(leaving)}"] if leaving else []
        said += [f"to enter the stage it needs {', '.join(entering)}"] if entering else []
        super().__init__(f"{'; '.join(said).capitalize()}. Set them first, or have a manager say why not.")


class AmountIsOfLines(Unprocessable):
    """The amount of a deal with lines is their sum."""

    code, pointer = "amount_is_of_lines", "/amount_minor"
    detail = "This deal has line items: its amount is their sum, in its currency. Change the lines, or take them out."
