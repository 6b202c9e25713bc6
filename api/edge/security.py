"""Passwords, tokens and signatures. Pure of the database: what is stored where is the identity slice's affair.

Every secret use has a key of its own, derived from the one `secret_key`. Refresh tokens are computed, not stored: a
copy of the database signs nobody in.
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar
from uuid import UUID

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from joserfc import jwt
from joserfc.jwk import OctKey
from pydantic_core import from_json

from api.kernel.errors import Unauthenticated, Unavailable

_ISSUER = "sluice"
_AUDIENCE = "sluice-api"
_TOKEN_TYPE = "at+jwt"  # noqa: S105 # a media type
_ALGORITHMS = ["HS256"]
_SALT_BYTES = 16
#: More hashes than this wait for none: who comes then is told so at once.
_MOST_WAITING = 100
T = TypeVar("T")

_HEADER = {"alg": _ALGORITHMS[0], "typ": _TOKEN_TYPE}


class Signer:
    """Keyed signatures for one purpose each."""

    def __init__(self, secret_key: str) -> None:
        self._secret = secret_key.encode()
        self._keys: dict[str, bytes] = {}

    def key(self, purpose: str) -> bytes:
        """The key of one purpose."""
        if purpose not in self._keys:
            self._keys[purpose] = hmac.digest(self._secret, b"sluice:" + purpose.encode(), "sha256")
        return self._keys[purpose]

    def sign(self, purpose: str, message: bytes) -> bytes:
        """32 bytes that only holders of the secret key can make for this purpose and message."""
        return hmac.digest(self.key(purpose), message, "sha256")

    def matches(self, purpose: str, message: bytes, *, signature: bytes) -> bool:
        """Whether `signature` is ours, in constant time."""
        return hmac.compare_digest(self.sign(purpose, message), signature)


class Passwords:
    """argon2id hashes, few at a time: each takes tens of MiB, so unbounded sign-ins would exhaust memory.

    The hashes of one address share a salt that only holders of the secret key can tell. So one hash finds whose
    password it is, however many people have registered the address, and takes the same work where there is nobody.
    """

    def __init__(self, signer: Signer, *, memory_kib: int, concurrency: int) -> None:
        self._signer = signer
        self._hasher = PasswordHasher(time_cost=1, memory_cost=memory_kib, parallelism=1)
        self._slots = asyncio.Semaphore(concurrency)
        self._waiting = 0

    async def hash(self, password: str, *, email: str) -> str:
        """Hash for storage, and to find whose password it is. `email` is spelled as it is compared."""
        salt = self._signer.sign("password-salt", email.encode())[:_SALT_BYTES]
        return await self._work(partial(self._hasher.hash, password, salt=salt))

    async def verify(self, password: str, stored: str) -> bool:
        """Whether `password` belongs to a hash with another salt or cost."""
        return await self._work(partial(self._verify, password, stored))

    async def _work(self, work: Callable[[], T]) -> T:
        if self._waiting >= _MOST_WAITING:
            raise Unavailable("Too many people sign in at this moment. Try again in a moment.")
        self._waiting += 1
        try:
            async with self._slots:
                return await asyncio.to_thread(work)
        finally:
            self._waiting -= 1

    def _verify(self, password: str, stored: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (Argon2Error, InvalidHashError):
            return False


def salt_of(password_hash: str) -> str:
    """The beginning of a hash: its algorithm, cost and salt."""
    return password_hash.rpartition("$")[0]


@dataclass(frozen=True)
class AccessClaims:
    """What a valid access token says. That the session still lives is for the database to say.

    With a `digest` it is a program's key that says it: then `session_id` is the key's id, and nothing is certain yet.
    """

    organization_id: UUID
    user_id: UUID
    session_id: UUID
    digest: bytes | None = None
    #: When the token has had its time; a key has none.
    expires_at: datetime | None = field(default=None, compare=False)


class AccessTokens:
    """Short-lived signed tokens (RFC 9068 type), accepted only in the one form in which we make them."""

    def __init__(self, signer: Signer, *, seconds: int) -> None:
        self._secret = signer.key("access-token")
        self._key = OctKey.import_key(self._secret)
        self._head, _, _ = jwt.encode(_HEADER, {}, self._key, algorithms=_ALGORITHMS).partition(".")
        self.seconds = seconds

    def issue(self, claims: AccessClaims, *, now: datetime) -> str:
        """A token that is good for `seconds`."""
        issued_at = int(now.timestamp())
        payload = {
            "iss": _ISSUER,
            "aud": _AUDIENCE,
            "sub": str(claims.user_id),
            "org": str(claims.organization_id),
            "sid": str(claims.session_id),
            "iat": issued_at,
            "exp": issued_at + self.seconds,
        }
        return jwt.encode(_HEADER, payload, self._key, algorithms=_ALGORITHMS)

    def read(self, token: str, *, now: datetime) -> AccessClaims:
        """The claims of a token of ours that has not expired.

        Raises:
            Unauthenticated: anything else.
        """
        signed, _, signature = token.rpartition(".")
        head, _, payload = signed.partition(".")
        given = decode_base64(signature)
        if head != self._head or given is None or not hmac.compare_digest(self._sign(signed), given):
            raise Unauthenticated("The access token is not valid.")
        try:
            claims = from_json(decode_base64(payload) or b"")
            issued_at, expires_at = claims["iat"], claims["exp"]
            organization_id, user_id, session_id = (UUID(claims[name]) for name in ("org", "sub", "sid"))
            until = datetime.fromtimestamp(expires_at, UTC)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, OSError) as error:
            raise Unauthenticated("The access token is not valid.") from error
        ours = (
            claims.get("iss") == _ISSUER
            and claims.get("aud") == _AUDIENCE
            and type(issued_at) is int
            and type(expires_at) is int
        )
        if not ours or not issued_at - 60 <= now.timestamp() < expires_at <= issued_at + self.seconds:
            raise Unauthenticated("The access token is not valid any more.")
        return AccessClaims(organization_id, user_id, session_id, expires_at=until)

    def _sign(self, text: str) -> bytes:
        return hmac.digest(self._secret, text.encode(), "sha256")


_KEY_PREFIX, _SECRET_BYTES = "slk_", 24


def draw_key(organization_id: UUID, user_id: UUID, key_id: UUID) -> tuple[str, bytes]:
    """A new key of a program, which says whose it is, and the digest that is kept of its secret."""
    secret = secrets.token_bytes(_SECRET_BYTES)
    text = _KEY_PREFIX + encode_base64(organization_id.bytes + user_id.bytes + key_id.bytes + secret)
    return text, hashlib.sha256(secret).digest()


def read_key(text: str) -> AccessClaims | None:
    """What a key claims; None if it is none, but perhaps an access token.

    Raises:
        Unauthenticated: it cannot be one of ours.
    """
    if not text.startswith(_KEY_PREFIX):
        return None
    raw = decode_base64(text.removeprefix(_KEY_PREFIX))
    if raw is None or len(raw) != 48 + _SECRET_BYTES:
        raise Unauthenticated("The key is not valid.")
    organization_id, user_id, key_id = (UUID(bytes=raw[start : start + 16]) for start in (0, 16, 32))
    return AccessClaims(organization_id, user_id, key_id, hashlib.sha256(raw[48:]).digest())


@dataclass(frozen=True)
class RefreshClaims:
    """Which sign-in a refresh token belongs to, and the how manieth token of it this is."""

    organization_id: UUID
    session_id: UUID
    generation: int


class RefreshTokens:
    """Refresh tokens: claims and their signature. The active generation of a sign-in is a column of its row."""

    _PURPOSE = "refresh-token"

    def __init__(self, signer: Signer, *, seconds: int, grace_seconds: int) -> None:
        self._signer = signer
        self.life = timedelta(seconds=seconds)
        self.grace = timedelta(seconds=grace_seconds)

    def issue(self, claims: RefreshClaims) -> str:
        """The token: the same claims give the same token."""
        body = claims.organization_id.bytes + claims.session_id.bytes + claims.generation.to_bytes(4, "big")
        return "rt_" + encode_base64(body + self._signer.sign(self._PURPOSE, body))

    def read(self, token: str) -> RefreshClaims:
        """The claims of a token of ours.

        Raises:
            Unauthenticated: not one of ours.
        """
        raw = decode_base64(token.removeprefix("rt_"))
        if raw is None or len(raw) != 68 or not token.startswith("rt_"):
            raise Unauthenticated("The refresh token is not valid.")
        body, signature = raw[:36], raw[36:]
        if not self._signer.matches(self._PURPOSE, body, signature=signature):
            raise Unauthenticated("The refresh token is not valid.")
        return RefreshClaims(UUID(bytes=body[:16]), UUID(bytes=body[16:32]), int.from_bytes(body[32:], "big"))


def encode_base64(raw: bytes) -> str:
    """URL-safe text without padding."""
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def decode_base64(text: str) -> bytes | None:
    """The bytes of a text that `encode_base64` may have made; None for any other."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        return None
    return raw if encode_base64(raw) == text else None


def custom_uuid(made: bytes) -> UUID:
    """16 bytes as a UUID of version 8: an id that is computed instead of drawn."""
    number = int.from_bytes(made, "big")
    number = number & ~(0xF << 76) | 0x8 << 76
    return UUID(int=number & ~(0b11 << 62) | 0b10 << 62)
