"""Events of imports."""

from typing import ClassVar

from pydantic import Field

from contracts.events.envelope import Event


class ImportEvent(Event):
    """Any event of an import."""

    aggregate_type: ClassVar[str] = "import"
    topic: ClassVar[str] = "sluice.imports"


class ImportStarted(ImportEvent):
    """A file's rows are being written."""

    type: ClassVar[str] = "import.started"

    preset: str
    entity: str
    row_count: int = Field(ge=0)


class ImportCompleted(ImportEvent):
    """Every row of the file was written, was there already, or is in the error file."""

    type: ClassVar[str] = "import.completed"

    created_count: int = Field(ge=0)
    updated_count: int = Field(ge=0)
    unchanged_count: int = Field(ge=0)
    failed_count: int = Field(ge=0)


class ImportReverted(ImportEvent):
    """Deals that the import created, and nobody touched since, were taken back; those kept have a life of their own."""

    type: ClassVar[str] = "import.reverted"

    reverted_count: int = Field(ge=0)
    kept_count: int = Field(ge=0)
