"""Which passwords are taken: long enough, not widely known, not the person's own name. No rules of composition."""

from itertools import pairwise
from pathlib import Path

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


def _is_sequence(text: str) -> bool:
    steps = {ord(later) - ord(earlier) for earlier, later in pairwise(text)}
    return steps in ({1}, {-1})
