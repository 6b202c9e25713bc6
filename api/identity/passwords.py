"""Which passwords are taken, and whose they are. No rules of composition.

Hashing takes tens of milliseconds and of MiB: nobody holds a connection to the database meanwhile.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from uuid import UUID

from api.edge.security import Passwords
from api.kernel.errors import Unprocessable

SHORTEST, LONGEST = 8, 256

#: Passwords of eight or more characters that lead every list of leaked ones, and the stems people decorate with digits.
_WIDELY_KNOWN = frozenset(
    Path(__file__).with_name("widely_known_passwords.txt").read_text(encoding="utf-8").split("\n")
)


class WeakPassword(Unprocessable):
    """The password is too short, too long or too easy to guess."""

    code = "weak_password"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, pointer="/password")


def require_strong(password: str, *, email: str) -> None:
    """Refuse a password that an attacker tries first.

    Raises:
        WeakPassword: says why.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise WeakPassword(f"A password has {SHORTEST} to {LONGEST} characters.")
    lowered = password.lower()
    if lowered in _WIDELY_KNOWN or lowered in {email.lower(), email.partition("@")[0].lower()}:
        raise WeakPassword("This password is among the first that anybody would try.")
    if len(set(lowered)) <= 2 or _is_sequence(lowered):
        raise WeakPassword("This password is a plain repetition or sequence.")


@dataclass(frozen=True)
class Credential:
    """One registration of an e-mail address."""

    person_id: UUID
    password_hash: str


async def prove(passwords: Passwords, credentials: Sequence[Credential], *, password: str) -> UUID | None:
    """The person whose password this is. Takes one hash's work also where there is nobody to compare with."""
    for credential in credentials:
        if await passwords.verify(password, credential.password_hash):
            return credential.person_id
    if not credentials:
        await passwords.verify(password, None)
    return None


def _is_sequence(text: str) -> bool:
    steps = {ord(later) - ord(earlier) for earlier, later in pairwise(text)}
    return steps in ({1}, {-1})
