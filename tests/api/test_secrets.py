"""Sealing: unreadable without the key, bound to its row, and the key can change while everything runs (A-13)."""

from uuid import uuid4

import pytest
from pydantic import SecretStr

from api.kernel.secrets import SealBrokenError, Secrets
from contracts.settings import SecretSettings

_OLD, _NEW = "an old secret key of an installation", "a new secret key of an installation"


def test_a13_what_is_sealed_says_nothing_and_opens_again() -> None:
    secrets, organization_id = Secrets([_OLD]), uuid4()
    sealed = secrets.seal(organization_id, "mailbox:1", "canary-pässword")
    assert b"canary" not in sealed
    assert sealed != secrets.seal(organization_id, "mailbox:1", "canary-pässword")
    assert secrets.open_sealed(organization_id, "mailbox:1", sealed) == "canary-pässword"


def test_a13_sealed_text_opens_in_its_own_row_and_organization_only() -> None:
    secrets, organization_id = Secrets([_OLD]), uuid4()
    sealed = secrets.seal(organization_id, "mailbox:1", "text")
    for other, purpose in ((organization_id, "mailbox:2"), (uuid4(), "mailbox:1")):
        with pytest.raises(SealBrokenError):
            secrets.open_sealed(other, purpose, sealed)


@pytest.mark.parametrize("place", [0, 2, 8, -1])
def test_a13_an_altered_byte_is_noticed(place: int) -> None:
    secrets, organization_id = Secrets([_OLD]), uuid4()
    sealed = bytearray(secrets.seal(organization_id, "mailbox:1", "text"))
    sealed[place] ^= 1
    with pytest.raises(SealBrokenError):
        secrets.open_sealed(organization_id, "mailbox:1", bytes(sealed))


@pytest.mark.parametrize("sealed", [b"", b"\x01", b"\x01" + b"x" * 16])
def test_a13_what_was_never_sealed_is_refused(sealed: bytes) -> None:
    with pytest.raises(SealBrokenError):
        Secrets([_OLD]).open_sealed(uuid4(), "mailbox:1", sealed)


def test_a13_a_changed_key_still_opens_what_the_one_before_sealed() -> None:
    organization_id = uuid4()
    sealed = Secrets([_OLD]).seal(organization_id, "mailbox:1", "text")
    with pytest.raises(SealBrokenError):
        Secrets([_NEW]).open_sealed(organization_id, "mailbox:1", sealed)
    both = Secrets.of(SecretSettings(secret_key=SecretStr(_NEW), secret_keys_before=(SecretStr(_OLD),)))
    assert both.open_sealed(organization_id, "mailbox:1", sealed) == "text"
    assert not both.is_current(sealed)
    assert both.is_current(both.seal(organization_id, "mailbox:1", "text"))


def test_earlier_keys_are_listed_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_SECRET_KEY", _NEW)
    monkeypatch.setenv("SLUICE_SECRET_KEYS_BEFORE", f"{_OLD}, another earlier secret key of an installation")
    assert [key.get_secret_value() for key in SecretSettings().secret_keys_before] == [
        _OLD,
        "another earlier secret key of an installation",
    ]
