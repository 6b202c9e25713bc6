"""Links that prove an address: computed, not stored, good for a while, and used up by what they do.

A link that sets a password is signed over the password that it replaces, so it works once. A copy of the database makes
no link.
"""

import struct
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from api.edge.security import Signer, decode_base64, encode_base64
from api.kernel.errors import Unprocessable


class Purpose(StrEnum):
    """What a link is for, and how long it is good."""

    PASSWORD = "password"  # noqa: S105 # a purpose
    ADDRESS = "address"
    INVITATION = "invitation"


LIVES = {
    Purpose.PASSWORD: timedelta(hours=1),
    Purpose.ADDRESS: timedelta(days=2),
    Purpose.INVITATION: timedelta(days=14),
}
#: People belong to no organization.
NOWHERE = UUID(int=0)
_HEAD = struct.Struct(">16s16sQ")


class LinkNotGood(Unprocessable):
    """A link that was used, altered, or waited for too long."""

    code, detail = "link_not_good", "This link is not good any more. Ask for a new one."


@dataclass(frozen=True)
class Proof:
    """What a link says: whom or what it is about, and where (nowhere for people)."""

    subject_id: UUID
    organization_id: UUID
    expires_at: int


def make(
    signer: Signer,
    purpose: Purpose,
    *,
    subject_id: UUID,
    bound_to: str,
    now: datetime,
    organization_id: UUID = NOWHERE,
) -> str:
    """The token of a link. It dies when what it is `bound_to` changes."""
    head = _HEAD.pack(subject_id.bytes, organization_id.bytes, int((now + LIVES[purpose]).timestamp()))
    return encode_base64(head + signer.sign(f"link:{purpose}", head + bound_to.encode()))


def read(token: str, *, now: datetime) -> Proof:
    """What a token claims. Nothing is certain before `require`.

    Raises:
        LinkNotGood: it cannot be ours, or has expired.
    """
    raw = decode_base64(token)
    if raw is None or len(raw) != _HEAD.size + 32:
        raise LinkNotGood
    subject_id, organization_id, expires_at = _HEAD.unpack(raw[: _HEAD.size])
    if expires_at <= now.timestamp():
        raise LinkNotGood
    return Proof(UUID(bytes=subject_id), UUID(bytes=organization_id), expires_at)


def require(signer: Signer, purpose: Purpose, token: str, *, bound_to: str) -> None:
    """Insist that we made the token, for this.

    Raises:
        LinkNotGood: as it says.
    """
    raw = decode_base64(token) or b""
    head, signature = raw[: _HEAD.size], raw[_HEAD.size :]
    if not signer.matches(f"link:{purpose}", head + bound_to.encode(), signature=signature):
        raise LinkNotGood
