"""Errors of the metrics room.

MetricError
├── UnknownMetricError          no definition of that name
├── UnknownEntityError          no entity of that name: a definition is wrong
├── ParameterError              a parameter is wrong: `field` says which
├── UnknownPipelineError        no such pipeline in the organization, as known at that instant
├── TooExpensiveError           an answer needs more time or memory than it may take
├── WarehouseNotReadyError      nothing published yet, or the organization is not in it yet
└── VersionError                a version of the warehouse that is asked by name cannot answer
    ├── UnknownVersionError     there never was one of that name
    └── VersionGoneError        it is not kept any more, or lacks what is asked
"""


class MetricError(Exception):
    """Base of everything that a caller of a metric may have to handle."""


class UnknownMetricError(MetricError):
    """No metric has this name."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"There is no metric named {name!r}.")


class UnknownEntityError(MetricError):
    """No entity has this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no entity named {name!r}.")


class ParameterError(MetricError):
    """A parameter of the question cannot be accepted."""

    def __init__(self, field: str, message: str) -> None:
        self.field, self.message = field, message
        super().__init__(f"{field}: {message}")


class UnknownPipelineError(MetricError):
    """The organization has no such pipeline, as known at the question's `as_of`."""

    def __init__(self) -> None:
        super().__init__("There is no such pipeline in the warehouse, as known at as_of.")


class TooExpensiveError(MetricError):
    """A statement was broken off: it took more time or memory than it may."""

    def __init__(self) -> None:
        super().__init__(
            "This takes more time or memory than an answer may. Ask for fewer months or one pipeline, or later again."
        )


class WarehouseNotReadyError(MetricError):
    """There is no published version to read, or it does not hold the organization yet."""


class VersionError(MetricError):
    """A published version that is asked by name cannot answer."""


class UnknownVersionError(VersionError):
    """There never was a version of this name."""

    def __init__(self) -> None:
        super().__init__("There is no such version of the figures.")


class VersionGoneError(VersionError):
    """The version is not kept any more, or does not hold what is asked."""
