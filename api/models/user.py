"""Users: people as members of one organization. Events, owners and teams refer to `users.id`, never to people."""

from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from api.models.base import Aggregate
from api.models.person import Person


class User(Aggregate):
    """One member. E-mail and name are what this organization knows of the person."""

    __tablename__ = "users"
    __audited__ = ("user", ("email", "name", "role", "record_scope", "is_active"))

    person_id: Mapped[UUID] = mapped_column(ForeignKey(Person.id))
    email: Mapped[str]
    name: Mapped[str]
    role: Mapped[str]
    record_scope: Mapped[str]
    is_active: Mapped[bool] = mapped_column(default=True)
    sign_ins: Mapped[int] = mapped_column(BigInteger, default=0)
