"""Problems of questions to the warehouse."""

from typing import Any

from api.kernel.errors import CrmError, NotFound, Unavailable, Unprocessable
from metrics.errors import ParameterError


class WarehouseNotReady(Unavailable):
    """No version of the warehouse is published yet, or it does not hold the organization or pipeline yet."""

    code, title = "warehouse_not_ready", "The figures are not ready yet"


class FigureTooExpensive(Unavailable):
    """The figure takes more time or memory than an answer may; a smaller question may be answered."""

    code, title = "figure_too_expensive", "The figure takes too long"


class InvalidParameter(Unprocessable):
    """A parameter of the question cannot be accepted; `errors` names it."""

    code, title = "invalid_parameter", "Invalid parameter"

    def __init__(self, error: ParameterError) -> None:
        self.field = error.field
        super().__init__(f"{error.field}: {error.message}")

    def problem(self) -> dict[str, Any]:
        """The problem document, with the parameter's name."""
        wrong = {"parameter": self.field, "in": "query", "code": self.code, "detail": self.detail}
        return super().problem() | {"errors": [wrong]}


class WarehouseVersionGone(CrmError):
    """The version of the figures that is asked by name is not kept any more, or does not hold what is asked."""

    status, code, title = 410, "warehouse_version_gone", "Not kept any more"

    def __init__(self, reason: str, *, days: int) -> None:
        if days:
            super().__init__(
                f"{reason} The version with which a day (UTC) ended is kept for {days} days; /v1/warehouse-versions"
                " lists those that can be asked."
            )
        else:
            super().__init__(f"{reason} None is kept; /v1/warehouse-versions lists those that can be asked.")


class UnknownWarehouseVersion(NotFound):
    """There never was a version of the figures of that name."""

    code = "unknown_warehouse_version"

    def __init__(self) -> None:
        super().__init__("version of the figures")


class UnknownMetric(NotFound):
    """There is no metric of that name."""

    code = "unknown_metric"

    def __init__(self) -> None:
        super().__init__("metric")
