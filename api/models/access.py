"""Who gets in besides people with a password: programs with a key, people who were invited, proofs by others."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, LargeBinary, Text, func
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from api.models.base import Base, TenantRow
from api.models.person import Person


class ApiKey(TenantRow):
    """A program's key, known by the digest of its secret. One with a `role` of its own is a service's."""

    __tablename__ = "api_keys"
    __audited__ = ("api_key", ("user_id", "name", "hint", "scopes", "role", "expires_at", "revoked_at"))

    user_id: Mapped[UUID]
    name: Mapped[str]
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    hint: Mapped[str]
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    role: Mapped[str | None]
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class Invitation(TenantRow):
    """Somebody who may become a user, by a link that only whoever reads their mail has."""

    __tablename__ = "invitations"
    __audited__ = ("invitation", ("email", "role", "record_scope", "team_id", "accepted_at", "revoked_at"))

    email: Mapped[str]
    name: Mapped[str]
    role: Mapped[str]
    record_scope: Mapped[str]
    team_id: Mapped[UUID | None]
    invited_by: Mapped[UUID]
    expires_at: Mapped[datetime]
    accepted_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class ProvenAddress(Base):
    """Whose an e-mail address is: they have shown that they read what is sent to it."""

    __tablename__ = "proven_addresses"

    address: Mapped[str] = mapped_column(primary_key=True)
    person_id: Mapped[UUID] = mapped_column(ForeignKey(Person.id))
    proven_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Identity(Base):
    """A person as another issuer knows them: by its own subject, never by an address."""

    __tablename__ = "identities"

    issuer: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(primary_key=True)
    person_id: Mapped[UUID] = mapped_column(ForeignKey(Person.id))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class SecondFactor(Base):
    """A person's one-time codes: the sealed seed, the last step that was used, and digests of recovery codes."""

    __tablename__ = "second_factors"

    person_id: Mapped[UUID] = mapped_column(ForeignKey(Person.id), primary_key=True)
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    confirmed_at: Mapped[datetime | None]
    last_counter: Mapped[int] = mapped_column(BigInteger, default=0)
    recovery_digests: Mapped[list[str]] = mapped_column(ARRAY(Text))
