"""What a form says of a file, and answers."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field


class FileAbout(BaseModel):
    """What a file is about: at least one of these."""

    model_config = ConfigDict(extra="forbid")

    deal_id: UUID | None = None
    contact_id: UUID | None = None
    company_id: UUID | None = None
    activity_id: UUID | None = Field(default=None, description="A note, call or meeting.")
    message_id: UUID | None = Field(default=None, description="A message of a conversation.")


class StorageRead(BaseModel):
    """How much files take, and may take."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"used_bytes": 48213, "left_bytes": 21474788267}]})

    used_bytes: int
    left_bytes: int


class FileRead(BaseModel):
    """A file."""

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "examples": [
                {
                    "id": "0192f0c1-2a3b-7c4d-8e5f-0a1b2c3d4e5f",
                    "version": 1,
                    "name": "offer.pdf",
                    "media_type": "application/pdf",
                    "size_bytes": 48213,
                    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                    "is_scanned": False,
                    "uploaded_by": "0192f0c1-2a3b-7c4d-8e5f-0a1b2c3d4e60",
                    "deal_id": "0192f0c1-2a3b-7c4d-8e5f-0a1b2c3d4e61",
                    "contact_id": None,
                    "company_id": None,
                    "activity_id": None,
                    "message_id": None,
                    "created_at": "2026-05-01T09:30:00Z",
                }
            ]
        },
    )

    id: UUID
    version: int
    name: str
    media_type: str = Field(description="What its content is, whatever its name says.")
    size_bytes: int
    sha256: str
    is_scanned: bool = Field(description="Whether a scanner looked through it before it was kept.")
    uploaded_by: UUID | None
    deal_id: UUID | None
    contact_id: UUID | None
    company_id: UUID | None
    activity_id: UUID | None
    message_id: UUID | None
    created_at: datetime


#: The form that attaches a file, for the document of the API.
FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        **{
                            name: {"type": "string", "format": "uuid", "description": field.description or "About it."}
                            for name, field in FileAbout.model_fields.items()
                        },
                    },
                }
            }
        },
    }
}
