"""One-time codes (TOTP, RFC 6238) and the recovery codes for whoever lost their device. Each is good once."""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import pyotp

from api.identity import people
from api.kernel.errors import Unauthenticated
from api.kernel.resealing import NOWHERE, Sealed
from api.kernel.secrets import Secrets
from api.kernel.unit_of_work import UnitOfWork

_STEP_SECONDS = 30
#: A clock may be one step off.
_STEPS = (0, -1, 1)
_RECOVERY_CODES, _RECOVERY_BYTES = 10, 10


class SecondFactorNeeded(Unauthenticated):
    """The password is right; a one-time code is missing."""

    code, detail = "second_factor_needed", "Send the code of your authenticator, or a recovery code, as `code`."


def draw_seed(vault: Secrets, person_id: UUID, *, email: str) -> tuple[str, str, bytes]:
    """A new seed, the address that authenticators read as a picture, and the seed as it is kept."""
    seed = pyotp.random_base32()
    uri = pyotp.TOTP(seed).provisioning_uri(name=email, issuer_name="Sluice")
    return seed, uri, vault.seal(NOWHERE, _purpose(person_id), seed)


def draw_recovery_codes() -> tuple[list[str], list[str]]:
    """Recovery codes, and their digests as they are kept."""
    codes = [secrets.token_hex(_RECOVERY_BYTES) for _ in range(_RECOVERY_CODES)]
    return codes, [_digest(code) for code in codes]


def step_of(vault: Secrets, person_id: UUID, *, sealed: bytes, code: str, now: datetime) -> int | None:
    """The step whose code this is, if it is one of the present ones."""
    totp = pyotp.TOTP(vault.open_sealed(NOWHERE, _purpose(person_id), sealed))
    step = int(now.timestamp()) // _STEP_SECONDS
    return next((step + off for off in _STEPS if secrets.compare_digest(totp.generate_otp(step + off), code)), None)


async def use_code(unit: UnitOfWork, vault: Secrets, person_id: UUID, *, sealed: bytes, code: str) -> bool:
    """Use up a one-time or a recovery code; False if it is none, or was used before."""
    code = "".join(code.split()).replace("-", "").lower()
    if not code.isascii():
        return False
    step = step_of(vault, person_id, sealed=sealed, code=code, now=datetime.now(UTC))
    if step is not None:
        return await people.use_counter(unit, person_id=person_id, counter=step)
    return await people.use_recovery(unit, person_id=person_id, digest=_digest(code))


def digests_of(codes: Sequence[str]) -> list[str]:
    """How recovery codes are kept: they are long and random, so a plain digest does."""
    return [_digest(code) for code in codes]


def _digest(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()


def _purpose(person_id: UUID) -> str:
    return f"one-time codes:{person_id}"


SEALED = Sealed("second_factors", "person_id", ("sealed",), _purpose, is_of_people=True)
