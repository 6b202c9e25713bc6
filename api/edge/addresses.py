"""Where a request comes from: the peer's address, or what our own proxies say of it.

`X-Forwarded-For` is anybody's to send, so only the entries that proxies of ours added count: `SLUICE_TRUSTED_PROXIES`
of them, from the right.
"""

from ipaddress import ip_address

from starlette.requests import HTTPConnection

from api.edge.services import services_of


def address_of(request: HTTPConnection) -> str | None:
    """The network address of whoever asks; None where there is no telling."""
    peer = request.client.host if request.client else None
    trusted = services_of(request).settings.trusted_proxies
    if not trusted:
        return peer
    forwarded = [part.strip() for value in request.headers.getlist("X-Forwarded-For") for part in value.split(",")]
    if len(forwarded) < trusted:
        return peer
    return _as_address(forwarded[-trusted]) or peer


def _as_address(text: str) -> str | None:
    try:
        return str(ip_address(text))
    except ValueError:
        return None
