"""What is shown of a contact, and receipts."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field


class PersonalData(BaseModel):
    """Everything that is stored of a contact (Art. 15 and 20 GDPR): rows as they stand, by table."""

    contact_id: UUID
    made_at: datetime
    tables: dict[str, list[dict[str, Any]]]


class KeptRead(BaseModel):
    """What stays, and why it may."""

    where: str = Field(examples=["suppressions"])
    because: str


class ErasureRead(BaseModel):
    """The receipt of an erasure."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "0192f0c1-2a3b-7c4d-8e5f-0a1b2c3d4e5f",
                    "contact_id": "0192f0c1-2a3b-7c4d-8e5f-0a1b2c3d4e60",
                    "erased_by": "0192f0c1-2a3b-7c4d-8e5f-0a1b2c3d4e61",
                    "erased_at": "2026-05-01T09:30:00Z",
                    "erased": {"contacts": 1, "messages": 12},
                    "struck_out": {"activities": 2},
                    "import_files": 1,
                    "kept": [{"where": "suppressions", "because": "The objection itself."}],
                }
            ]
        }
    )

    id: UUID
    contact_id: UUID
    erased_by: UUID | None
    erased_at: datetime
    erased: dict[str, int] = Field(description="Rows that were emptied or deleted, by table.")
    struck_out: dict[str, int] = Field(description="Other rows whose text named the person, by table.")
    import_files: int = Field(description="Uploads that named the person, removed whole.")
    kept: list[KeptRead]
