"""Which passwords are taken. No rules of composition: length, and that nobody would try it first."""

from itertools import pairwise

from zxcvbn.frequency_lists import FREQUENCY_LISTS

from api.kernel.errors import Unprocessable

SHORTEST, LONGEST = 8, 256

#: What leads the lists of leaked passwords: some thirty thousand.
_COMMON = frozenset(FREQUENCY_LISTS["passwords"])
#: What anybody would try here.
_OURS = frozenset({"sluice", "sluicecrm"})


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
    if lowered in _COMMON or lowered in {email.lower(), email.partition("@")[0].lower()}:
        raise WeakPassword("This password is among the first that anybody would try.")
    if _letters(lowered) in _words_of(email.lower()):
        raise WeakPassword("This password is little more than your address, its domain, or our name.")
    if len(set(lowered)) <= 2 or _is_sequence(lowered):
        raise WeakPassword("This password is a plain repetition or sequence.")


def _words_of(email: str) -> frozenset[str]:
    name, _, domain = email.partition("@")
    return _OURS | ({_letters(name), _letters(domain.partition(".")[0])} - {""})


def _letters(text: str) -> str:
    return "".join(filter(str.isalpha, text))


def _is_sequence(text: str) -> bool:
    steps = {ord(later) - ord(earlier) for earlier, later in pairwise(text)}
    return steps in ({1}, {-1})
