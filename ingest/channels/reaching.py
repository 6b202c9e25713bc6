"""Connections to mail servers, which people of an organization name: to public addresses alone.

A name is resolved here, every address it has must be public, and the connection goes to one that was looked at: a name
that changes between look and use changes nothing. `SLUICE_OUTGOING_ALLOW` names exceptions. Blocking.
"""

import socket
from collections.abc import Iterable
from ipaddress import ip_address, ip_network

from contracts.networks import is_public


class HostRefusedError(OSError):
    """The server is in none of the networks that may be reached; trying again does not help."""


def open_socket(host: str, port: int, *, allow: Iterable[str], seconds: float) -> socket.socket:
    """A connection to a server that may be reached.

    Raises:
        HostRefusedError: it may not.
        OSError: it does not answer.
    """
    networks = [ip_network(one) for one in allow]
    try:
        found = [str(place[0]) for *_, place in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except UnicodeError as error:
        raise OSError(f"{host} is no name of a server") from error
    if not all(is_public(ip_address(one.partition("%")[0]), allow=networks) for one in found):
        raise HostRefusedError(f"{host} is not a public address")
    failed = OSError(f"there is no address of the name {host}")
    for address in found:
        try:
            return socket.create_connection((address, port), timeout=seconds)
        except OSError as error:
            failed = error
    raise failed
