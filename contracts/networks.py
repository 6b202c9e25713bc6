"""Which network addresses are the internet's, and which only we can reach: what people name is called there alone."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_UNICAST = IPv6Network("2000::/3")
#: Within it, and yet not the address they look like: they carry an IPv4 address, or are of a protocol.
_TUNNELS = (IPv6Network("2002::/16"), IPv6Network("2001::/23"), IPv6Network("2001:db8::/32"))


def is_public(address: Address, *, allow: Iterable[Network] = ()) -> bool:
    """Whether an address lies in the internet, and not where only we can reach. `allow` names exceptions."""
    if any(address.version == network.version and address in network for network in allow):
        return True
    if isinstance(address, IPv4Address):
        return address.is_global and not address.is_multicast
    if address.ipv4_mapped is not None:
        return is_public(address.ipv4_mapped, allow=allow)
    return address in _UNICAST and address.is_global and not any(address in tunnel for tunnel in _TUNNELS)
