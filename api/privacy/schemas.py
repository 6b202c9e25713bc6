"""What is shown of a contact, and receipts."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from api.identity.schemas import GivenPassword


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


class DeletionAsk(BaseModel):
    """What an owner shows who wants their organization deleted."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"name": "Acme", "current_password": "correct horse battery", "code": None}]},
    )

    name: str = Field(max_length=200, description="The organization's name, typed as it is.")
    current_password: GivenPassword
    code: str | None = Field(
        default=None, max_length=100, description="A code of your authenticator, or a recovery code, if you have one."
    )


class DeletionRead(BaseModel):
    """The deletion of an organization that somebody asked for."""

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "examples": [
                {
                    "asked_by": "0192f0c1-2a3b-7c4d-8e5f-0a1b2c3d4e61",
                    "asked_at": "2026-05-01T09:30:00Z",
                    "due_at": "2026-05-15T09:30:00Z",
                }
            ]
        },
    )

    asked_by: UUID
    asked_at: datetime
    due_at: datetime = Field(description="From then on everything goes; until then an owner can cancel it.")
