"""Answers of picklists."""

from uuid import UUID

from pydantic import BaseModel, ConfigDict


class PicklistValueRead(BaseModel):
    """One value that may be chosen."""

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={"examples": [{"id": "0192f0c1-2a3b-7c4d-8e5f-0a1b2c3d4e5f", "label": "Website"}]},
    )

    id: UUID
    label: str
