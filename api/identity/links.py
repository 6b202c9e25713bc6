"""Links by mail: to prove an address, to set a password. What they do is done here, by whoever follows them.

Each mail goes to the address itself, so whoever follows its link has shown that the address is theirs.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from api.edge.mail import Mail
from api.edge.services import Services
from api.identity import people, proofs
from api.identity.passwords import require_strong
from api.identity.proofs import LinkNotGood, Purpose
from api.identity.rules import Ended
from api.kernel.unit_of_work import Row
from contracts.addresses import spelled

_PATHS = {Purpose.PASSWORD: "set-password", Purpose.ADDRESS: "prove-address", Purpose.INVITATION: "join"}


def link_of(services: Services, purpose: Purpose, token: str) -> str:
    """Where a mail leads."""
    return f"{services.settings.public_url.rstrip('/')}/?link={_PATHS[purpose]}&token={token}"


async def mail_password_links(services: Services, email: str) -> None:
    """Send whoever has an address the links to set their passwords. Says nothing of whether there is anybody."""
    email = spelled(email)
    links = await password_links(services, email)
    if links:
        services.post.send(Mail(email, "Set your password for Sluice", _password_text(links)))


async def password_links(services: Services, email: str) -> list[tuple[str, str]]:
    """For each person of an address (the one who proved it, if one has): their organizations, and the link."""
    async with services.database.reading(None) as unit:
        found = await people.of_address(unit, spelled(email))
        known = [one for one in found if one.is_proven] or found
        places = [await people.memberships_of(unit, person_id=one.id) for one in known]
    return [(_listed(where), password_link(services, one)) for one, where in zip(known, places, strict=True)]


def password_link(services: Services, person: Row) -> str:
    """The link by which a person sets their password."""
    token = proofs.make(
        services.signer, Purpose.PASSWORD, subject_id=person.id, bound_to=_standing(person), now=datetime.now(UTC)
    )
    return link_of(services, Purpose.PASSWORD, token)


async def set_password(services: Services, token: str, password: str) -> None:
    """Set the password of whoever a link was sent to: all their sign-ins end, and the address is theirs.

    Raises:
        LinkNotGood, WeakPassword: as they say.
    """
    person = await _person_of(services, token)
    proofs.require(services.signer, Purpose.PASSWORD, token, bound_to=_standing(person))
    require_strong(password, email=person.email)
    email = spelled(person.email)
    password_hash = await services.passwords.hash(password, email=email)
    async with services.database.unit(None) as unit:
        now = await people.lock(unit, person.id)
        if now is None or _standing(now) != _standing(person):  # somebody was faster with the same link
            raise LinkNotGood
        await people.set_password(unit, person_id=person.id, password_hash=password_hash, because=Ended.PASSWORD)
        await people.prove_address(unit, email=email, person_id=person.id)


def mail_address_link(services: Services, person: Row) -> None:
    """Send somebody the link that proves their address."""
    email = spelled(person.email)
    token = proofs.make(services.signer, Purpose.ADDRESS, subject_id=person.id, bound_to=email, now=datetime.now(UTC))
    text = f"Follow this link to show that this address is yours:\n\n{link_of(services, Purpose.ADDRESS, token)}\n"
    services.post.send(Mail(email, "Is this your address?", text))


async def prove_address(services: Services, token: str) -> None:
    """Note that whoever a link was sent to reads its address.

    Raises:
        LinkNotGood: as it says.
    """
    person = await _person_of(services, token)
    email = spelled(person.email)
    proofs.require(services.signer, Purpose.ADDRESS, token, bound_to=email)
    async with services.database.unit(None) as unit:
        await people.prove_address(unit, email=email, person_id=person.id)


async def _person_of(services: Services, token: str) -> Row:
    person_id: UUID = proofs.read(token, now=datetime.now(UTC)).subject_id
    async with services.database.reading(None) as unit:
        person = await people.find(unit, person_id)
    if person is None:
        raise LinkNotGood
    return person


def _standing(person: Row) -> str:
    return f"{person.email}\n{person.password_hash}\n{person.updated_at.isoformat()}"


def _listed(places: Sequence[Row]) -> str:
    return ", ".join(place.name for place in places)


def _password_text(links: Sequence[tuple[str, str]]) -> str:
    parts = [f"{where}:\n{link}\n" for where, link in links]
    return (
        "Somebody asked for a new password for Sluice. If it was not you, do nothing.\n\n"
        + "\n".join(parts)
        + "\nA link is good for one hour, and once.\n"
    )
