"""What an `EventLog` tells of, as it last left it."""

from dataclasses import dataclass
from uuid import UUID

from contracts.stages import StageKind


@dataclass
class Stage:
    """A stage as the log last left it."""

    id: UUID
    kind: StageKind
    name: str
    position: int


@dataclass
class Pipeline:
    """A pipeline and its stages in order."""

    id: UUID
    stages: list[Stage]

    def of_kind(self, kind: StageKind) -> list[Stage]:
        """The stages of one kind, in order."""
        return [stage for stage in self.stages if stage.kind is kind]


@dataclass
class Deal:
    """A deal and the stage the log last put it in."""

    id: UUID
    pipeline: Pipeline
    stage: Stage
