"""Statements of people: who signs in, by which proofs, and where they are members.

They run under the role that sees across organizations; nothing of them leaves this slice. Each such statement is sent
together with both changes of role, so no other statement ever runs under it.
"""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text

from api.db.statements import compiled
from api.identity.rules import User
from api.kernel.organizations import across_organizations
from api.kernel.unit_of_work import Row, UnitOfWork

#: Hashes of an address that were salted otherwise (by an earlier version, or under another secret key) and are tried.
_MOST_TRIED = 5


# an address's hashes share a salt, so one hash finds its person among however many registered it
_BY_HASH = compiled(
    text("""
select p.id from people as p left join proven_addresses as a on a.person_id = p.id and a.address = :email
where lower(p.email) = :email and p.password_hash = :password_hash
order by a.person_id is null, p.created_at, p.id limit 1
""")
)
_OTHERWISE_SALTED = compiled(
    text(f"""
select p.id, p.password_hash from people as p
left join proven_addresses as a on a.person_id = p.id and a.address = :email
where lower(p.email) = :email and not starts_with(p.password_hash, :salt)
order by a.person_id is null, p.created_at, p.id limit {_MOST_TRIED}
""")
)
_MEMBERSHIPS = compiled(
    text("""
select u.organization_id, u.id as user_id, u.role, o.name, o.requires_second_factor
from users as u join organizations as o on o.organization_id = u.organization_id
where u.person_id = :person_id and u.is_active order by u.created_at, u.id
""")
)
_ADD = compiled(
    text("""
insert into people (id, email, name, password_hash)
select * from unnest(
    cast(:ids as uuid[]), cast(:emails as text[]), cast(:names as text[]), cast(:password_hashes as text[])
)
""")
)
# nothing for a person who belongs to several organizations: an administrator of one is not theirs
_SET_PASSWORD_BY_OTHERS = compiled(
    text("""
update people set password_hash = :password_hash, updated_at = clock_timestamp()
where id = :person_id and (select count(*) from users where person_id = :person_id) <= 1 returning id
""")
)
_SET_PASSWORD = compiled(
    text("""
update people set password_hash = :password_hash, updated_at = clock_timestamp() where id = :person_id returning id
""")
)
_END_SIGN_INS = compiled(
    text("""
update sessions as s set revoked_at = clock_timestamp(), revoked_because = :because from users as u
where u.person_id = :person_id and s.organization_id = u.organization_id and s.user_id = u.id
  and s.revoked_at is null and s.id is distinct from :except_id
""")
)
_FIND = compiled(text("select id, email, name, password_hash, updated_at from people where id = :person_id"))
_LOCK = compiled(text("select id, email, name, password_hash, updated_at from people where id = :person_id for update"))
_OF_ADDRESS = compiled(
    text("""
select p.id, p.email, p.name, p.password_hash, p.updated_at, a.person_id is not null as is_proven from people as p
left join proven_addresses as a on a.person_id = p.id and a.address = :email
where lower(p.email) = :email and exists (select from users as u where u.person_id = p.id and u.is_active)
order by a.person_id is null, p.created_at, p.id limit 10
""")
)
_PROVE = compiled(
    text("""
insert into proven_addresses (address, person_id) values (:email, :person_id)
on conflict (address) do update set person_id = excluded.person_id, proven_at = now()
""")
)
_PROVEN = compiled(text("select address from proven_addresses where person_id = :person_id"))
_PLACES = compiled(
    text("""
select u.organization_id, u.id as user_id from users as u
where lower(u.email) = :email and u.is_active order by u.created_at limit 10
""")
)
# whoever signed in from an address before may go on from there, whatever others try from elsewhere
_KNOWS = compiled(
    text("""
select 1 from sessions as s join users as u on u.organization_id = s.organization_id and u.id = s.user_id
where lower(u.email) = :email and s.address = :address limit 1
""")
)
_IDENTITY = compiled(text("select person_id from identities where issuer = :issuer and subject = :subject"))
_ADD_IDENTITY = compiled(
    text("""
insert into identities (issuer, subject, person_id) values (:issuer, :subject, :person_id)
on conflict (issuer, subject) do nothing returning person_id
""")
)
_IDENTITIES = compiled(
    text("select issuer, subject, created_at from identities where person_id = :person_id order by created_at, issuer")
)
_DROP_IDENTITY = compiled(
    text("delete from identities where issuer = :issuer and subject = :subject and person_id = :person_id")
)
_FACTOR = compiled(
    text("select sealed, confirmed_at, last_counter, recovery_digests from second_factors where person_id = :person_id")
)
_KEEP_FACTOR = compiled(
    text("""
insert into second_factors (person_id, sealed) values (:person_id, :sealed)
on conflict (person_id) do update set sealed = excluded.sealed, last_counter = 0
where second_factors.confirmed_at is null returning person_id
""")
)
_CONFIRM_FACTOR = compiled(
    text("""
update second_factors set confirmed_at = clock_timestamp(), last_counter = :counter, recovery_digests = :digests
where person_id = :person_id and confirmed_at is null returning person_id
""")
)
# once each, whoever else tries it at the same moment
_USE_COUNTER = compiled(
    text("""
update second_factors set last_counter = :counter
where person_id = :person_id and last_counter < :counter returning person_id
""")
)
_USE_RECOVERY = compiled(
    text("""
update second_factors set recovery_digests = array_remove(recovery_digests, :digest)
where person_id = :person_id and :digest = any(recovery_digests) returning person_id
""")
)
_DROP_FACTOR = compiled(text("delete from second_factors where person_id = :person_id"))
_NOWHERE = "= any(cast(:person_ids as uuid[])) and not exists (select from users as u where u.person_id = {})"
_FORGET = tuple(
    compiled(text(f"delete from {table} where {column} {_NOWHERE.format(f'{table}.{column}')}"))
    for table, column in (
        ("second_factors", "person_id"),
        ("identities", "person_id"),
        ("proven_addresses", "person_id"),
        ("people", "id"),
    )
)


async def by_hash(unit: UnitOfWork, *, email: str, password_hash: str) -> UUID | None:
    """The person who has this address and password."""
    [found] = await across_organizations(unit, _BY_HASH.bind(email=email, password_hash=password_hash))
    return found[0].id if found else None


async def otherwise_salted(unit: UnitOfWork, *, email: str, salt: str) -> list[Row]:
    """`id` and `password_hash` of those of an address whose hashes do not begin with `salt`."""
    [found] = await across_organizations(unit, _OTHERWISE_SALTED.bind(email=email, salt=salt))
    return found


async def memberships_of(unit: UnitOfWork, *, person_id: UUID) -> list[Row]:
    """`organization_id`, `user_id`, `role`, `name`, `requires_second_factor` of active memberships, oldest first."""
    [found] = await across_organizations(unit, _MEMBERSHIPS.bind(person_id=person_id))
    return found


async def add_people(unit: UnitOfWork, users: Sequence[User], *, password_hash: str | None = None) -> None:
    """Register the addresses of new users."""
    await across_organizations(
        unit,
        _ADD.bind(
            ids=[user.person_id for user in users],
            emails=[user.email for user in users],
            names=[user.name for user in users],
            password_hashes=[password_hash] * len(users),
        ),
    )


async def set_password_by_others(unit: UnitOfWork, *, person_id: UUID, password_hash: str) -> bool:
    """Give a person another password, if they belong to no other organization."""
    [changed] = await across_organizations(
        unit, _SET_PASSWORD_BY_OTHERS.bind(person_id=person_id, password_hash=password_hash)
    )
    return bool(changed)


async def set_password(unit: UnitOfWork, *, person_id: UUID, password_hash: str, because: str | None) -> None:
    """Give a person another password; with a reason, all their sign-ins end, in every organization."""
    ending = [_END_SIGN_INS.bind(person_id=person_id, because=because, except_id=None)] if because else []
    await across_organizations(unit, _SET_PASSWORD.bind(person_id=person_id, password_hash=password_hash), *ending)


async def end_sign_ins(unit: UnitOfWork, *, person_id: UUID, because: str, except_id: UUID | None = None) -> None:
    """End a person's sign-ins in every organization, but for one."""
    await across_organizations(unit, _END_SIGN_INS.bind(person_id=person_id, because=because, except_id=except_id))


async def find(unit: UnitOfWork, person_id: UUID) -> Row | None:
    """`id`, `email`, `name`, `password_hash`, `updated_at` of a person."""
    [found] = await across_organizations(unit, _FIND.bind(person_id=person_id))
    return found[0] if found else None


async def lock(unit: UnitOfWork, person_id: UUID) -> Row | None:
    """The same, locked."""
    [found] = await across_organizations(unit, _LOCK.bind(person_id=person_id))
    return found[0] if found else None


async def of_address(unit: UnitOfWork, email: str) -> list[Row]:
    """People who are members somewhere by this address: whoever proved it first, then the oldest."""
    [found] = await across_organizations(unit, _OF_ADDRESS.bind(email=email))
    return found


async def places_of(unit: UnitOfWork, email: str) -> list[Row]:
    """`organization_id` and `user_id` of the oldest active users with this address."""
    [found] = await across_organizations(unit, _PLACES.bind(email=email))
    return found


async def prove_address(unit: UnitOfWork, *, email: str, person_id: UUID) -> None:
    """Note that a person reads what is sent to an address; it is theirs from now on."""
    await across_organizations(unit, _PROVE.bind(email=email, person_id=person_id))


async def proven_addresses(unit: UnitOfWork, person_id: UUID) -> set[str]:
    """The addresses that a person has proven."""
    [found] = await across_organizations(unit, _PROVEN.bind(person_id=person_id))
    return {row.address for row in found}


async def knows_address(unit: UnitOfWork, *, email: str, address: str | None) -> bool:
    """Whether a user with this e-mail address has signed in from this network address."""
    [found] = await across_organizations(unit, _KNOWS.bind(email=email, address=address))
    return bool(found)


async def by_identity(unit: UnitOfWork, *, issuer: str, subject: str) -> UUID | None:
    """The person whom an issuer knows by a subject."""
    [found] = await across_organizations(unit, _IDENTITY.bind(issuer=issuer, subject=subject))
    return found[0].person_id if found else None


async def add_identity(unit: UnitOfWork, *, issuer: str, subject: str, person_id: UUID) -> bool:
    """Note that an issuer knows a person by a subject; False if that is somebody's already."""
    [added] = await across_organizations(unit, _ADD_IDENTITY.bind(issuer=issuer, subject=subject, person_id=person_id))
    return bool(added)


async def identities_of(unit: UnitOfWork, person_id: UUID) -> list[Row]:
    """`issuer`, `subject` and `created_at` of the identities that are linked with a person."""
    [found] = await across_organizations(unit, _IDENTITIES.bind(person_id=person_id))
    return found


async def drop_identity(unit: UnitOfWork, *, issuer: str, subject: str, person_id: UUID) -> None:
    """Forget that an issuer knows a person."""
    await across_organizations(unit, _DROP_IDENTITY.bind(issuer=issuer, subject=subject, person_id=person_id))


async def factor_of(unit: UnitOfWork, person_id: UUID) -> Row | None:
    """A person's second factor, confirmed or not."""
    [found] = await across_organizations(unit, _FACTOR.bind(person_id=person_id))
    return found[0] if found else None


async def keep_factor(unit: UnitOfWork, *, person_id: UUID, sealed: bytes) -> bool:
    """Keep a seed that is to be confirmed; False if one is in use."""
    [kept] = await across_organizations(unit, _KEEP_FACTOR.bind(person_id=person_id, sealed=sealed))
    return bool(kept)


async def confirm_factor(unit: UnitOfWork, *, person_id: UUID, counter: int, digests: Sequence[str]) -> bool:
    """Take the seed into use."""
    [done] = await across_organizations(
        unit, _CONFIRM_FACTOR.bind(person_id=person_id, counter=counter, digests=list(digests))
    )
    return bool(done)


async def use_counter(unit: UnitOfWork, *, person_id: UUID, counter: int) -> bool:
    """Use up the codes up to a step; False if they are already."""
    [used] = await across_organizations(unit, _USE_COUNTER.bind(person_id=person_id, counter=counter))
    return bool(used)


async def use_recovery(unit: UnitOfWork, *, person_id: UUID, digest: str) -> bool:
    """Use up a recovery code; False if there is none."""
    [used] = await across_organizations(unit, _USE_RECOVERY.bind(person_id=person_id, digest=digest))
    return bool(used)


async def drop_factor(unit: UnitOfWork, person_id: UUID) -> None:
    """Forget a person's second factor."""
    await across_organizations(unit, _DROP_FACTOR.bind(person_id=person_id))


async def forget(unit: UnitOfWork, person_ids: Sequence[UUID]) -> None:
    """Forget those of some people who are members nowhere."""
    await across_organizations(unit, *(statement.bind(person_ids=list(person_ids)) for statement in _FORGET))
