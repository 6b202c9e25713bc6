"""What a request's `Authorization` claims: an access token of ours, or a program's key. Asks no database."""

from datetime import UTC, datetime

from starlette.requests import HTTPConnection

from api.edge.security import AccessClaims, read_key
from api.edge.services import services_of
from api.kernel.errors import Unauthenticated


def claims_of(request: HTTPConnection) -> AccessClaims:
    """What the credentials claim; read once in a request.

    Raises:
        Unauthenticated: there are none, or they cannot be ours.
    """
    known: AccessClaims | None = getattr(request.state, "claims", None)
    if known is None:
        known = request.state.claims = _read(request)
    return known


def _read(request: HTTPConnection) -> AccessClaims:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not given.strip():
        raise Unauthenticated
    return read_token(request, given.strip())


def read_token(request: HTTPConnection, text: str) -> AccessClaims:
    """The same of a token that came some other way.

    Raises:
        Unauthenticated: it cannot be one of ours.
    """
    return read_key(text) or services_of(request).access_tokens.read(text, now=datetime.now(UTC))
