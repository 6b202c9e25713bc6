"""Addresses as far as they mean the same mailbox: who wants no more mail at one wants none at the others. Pure."""

import re
from contextlib import suppress

_TAG = re.compile(r"\+[^@]*@")
_DOMAIN = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)+", re.IGNORECASE)


def mailbox(address: str) -> str:
    """What addresses of one mailbox have in common: no capitals, no tag. As the database's function of that name."""
    return _TAG.sub("@", address.lower())


def spellings(address: str) -> list[str]:
    """An address, and the same with its domain spelled the other way (IDNA)."""
    local, at, domain = address.strip().lower().rpartition("@")
    if not at:
        return [address.strip().lower()]
    found = {domain}
    with suppress(UnicodeError):  # no domain of that kind is spelled otherwise
        found.add(domain.encode("idna").decode() if not domain.isascii() else domain.encode().decode("idna"))
    return sorted(f"{local}@{one}" for one in found)


def domain_of(address: str) -> str:
    """The domain of an address as mails spell it; one that leads nowhere where it has none."""
    domain = address.strip().rpartition("@")[2]
    with suppress(UnicodeError):
        domain = domain.encode("idna").decode()
    return domain if _DOMAIN.fullmatch(domain) else "sluice.invalid"
