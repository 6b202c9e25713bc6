"""Pairs of records that look like one and are two."""

from uuid import UUID

from sqlalchemy.orm import Mapped

from api.models.base import TenantRow


class DistinctPair(TenantRow):
    """Two contacts or companies that somebody told apart; the smaller id is the first."""

    __tablename__ = "distinct_pairs"

    kind: Mapped[str]
    first_id: Mapped[UUID]
    second_id: Mapped[UUID]
