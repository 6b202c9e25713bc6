"""Where whoever opens a socket waits until they have shown who they are: few at once, few of an address, not for long.

These places are apart from those of people who are in, so strangers keep nobody out. Behind an address may be a whole
office, so it gets several; behind an IPv6 network of 64 bits is one household or machine.
"""

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import IPv6Address, IPv6Network, ip_address

MOST_STRANGERS = 1_000
MOST_OF_AN_ADDRESS = 100


@dataclass(eq=False)
class Place:
    """One stranger's, until they leave it: in, or out."""

    door: "Door"
    network: str
    _is_left: bool = False

    def leave(self) -> None:
        """Let another one have it; once or often."""
        if not self._is_left:
            self._is_left = True
            self.door.free(self.network)


@dataclass
class Door:
    """All places of a process."""

    _taken: Counter[str] = field(default_factory=Counter)

    def knock(self, address: str | None) -> Place | None:
        """A place for somebody from an address; None where there is none left."""
        network = _network(address)
        if self._taken.total() >= MOST_STRANGERS or self._taken[network] >= MOST_OF_AN_ADDRESS:
            return None
        self._taken[network] += 1
        return Place(self, network)

    def free(self, network: str) -> None:
        """A place is left."""
        self._taken[network] -= 1
        if not self._taken[network]:
            del self._taken[network]


def _network(address: str | None) -> str:
    with suppress(ValueError):
        found = ip_address((address or "").partition("%")[0])
        if isinstance(found, IPv6Address) and found.ipv4_mapped is None:
            return str(IPv6Network((found, 64), strict=False))
    return address or ""
