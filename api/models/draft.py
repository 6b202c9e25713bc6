"""Drafts that a language model wrote, and what people made of them."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from api.models.base import Aggregate, TenantRow


class Draft(Aggregate):
    """One draft. `written` is what the model wrote, `text` what people made of it."""

    __tablename__ = "drafts"

    request_key: Mapped[str]
    kind: Mapped[str]
    state: Mapped[str]
    conversation_id: Mapped[UUID | None]
    deal_id: Mapped[UUID | None]
    author_id: Mapped[UUID | None]
    prompt: Mapped[str]
    model: Mapped[str]
    inputs_hash: Mapped[str]
    cited: Mapped[list[str]] = mapped_column(ARRAY(Text))
    action: Mapped[str | None]
    written: Mapped[str]
    text: Mapped[str]
    input_tokens: Mapped[int] = mapped_column(BigInteger)
    output_tokens: Mapped[int] = mapped_column(BigInteger)
    cost_micro: Mapped[int] = mapped_column(BigInteger)
    approved_by: Mapped[UUID | None]
    approved_hash: Mapped[str | None]
    approved_at: Mapped[datetime | None]
    message_id: Mapped[UUID | None]
    failure: Mapped[str | None]


class DraftingPolicy(TenantRow):
    """What an organization wants of its drafts; null: as the operator has it."""

    __tablename__ = "drafting_policies"
    __not_of_contacts__ = ("link_hosts",)

    monthly_budget: Mapped[int | None] = mapped_column(BigInteger)
    hides_people: Mapped[bool | None]
    link_hosts: Mapped[list[str]] = mapped_column(ARRAY(Text))
