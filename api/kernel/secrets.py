"""Secrets at rest: what other services gave us to sign in with, sealed before it reaches a table.

AES-256-GCM under a key of each organization's own, derived from `SLUICE_SECRET_KEY`. What is sealed names the key it
was sealed with, so the key can change while everything runs: `SLUICE_SECRET_KEYS_BEFORE` still opens what it sealed.

    secrets = Secrets.of(SecretSettings())
    sealed = secrets.seal(organization_id, f"mailbox:{account_id}", password)
    password = secrets.open_sealed(organization_id, f"mailbox:{account_id}", sealed)

The purpose says what the secret is and which row it belongs to: sealed text that was put into another row or another
organization does not open there.
"""

import os
from collections.abc import Sequence
from functools import lru_cache
from typing import Self
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from contracts.settings import SecretSettings

#: Sealed bytes are: the format, which key, a nonce, and what AES-GCM makes of the text.
_FORMAT = b"\x01"
_KEY_ID_BYTES, _NONCE_BYTES = 4, 12
_HEAD_BYTES = len(_FORMAT) + _KEY_ID_BYTES + _NONCE_BYTES


class SealBrokenError(ValueError):
    """Sealed bytes that no key of ours opens here: altered, of another row, or of a key that is gone."""


class Secrets:
    """Seals with the first key, opens with any."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = {_derived(key, b"key id", _KEY_ID_BYTES): key for key in reversed(keys)}
        self._current = _derived(keys[0], b"key id", _KEY_ID_BYTES)

    @classmethod
    def of(cls, settings: SecretSettings) -> Self:
        """The secrets of this installation."""
        return cls([key.get_secret_value() for key in (settings.secret_key, *settings.secret_keys_before)])

    def seal(self, organization_id: UUID, purpose: str, text: str) -> bytes:
        """Make a text unreadable for whoever has only the database."""
        nonce = os.urandom(_NONCE_BYTES)
        cipher = _cipher(self._keys[self._current], organization_id)
        sealed = cipher.encrypt(nonce, text.encode(), _bound_to(organization_id, purpose))
        return _FORMAT + self._current + nonce + sealed

    def open_sealed(self, organization_id: UUID, purpose: str, sealed: bytes) -> str:
        """The text again.

        Raises:
            SealBrokenError: it was not sealed so.
        """
        key = self._keys.get(_key_id(sealed))
        if key is None:
            raise SealBrokenError("no key of this installation has sealed this")
        nonce, text = sealed[_HEAD_BYTES - _NONCE_BYTES : _HEAD_BYTES], sealed[_HEAD_BYTES:]
        try:
            return _cipher(key, organization_id).decrypt(nonce, text, _bound_to(organization_id, purpose)).decode()
        except InvalidTag as error:
            raise SealBrokenError("this was sealed for something else, or altered") from error

    def is_current(self, sealed: bytes) -> bool:
        """Whether the newest key sealed it. What is not should be opened and sealed again."""
        return _key_id(sealed) == self._current


def _key_id(sealed: bytes) -> bytes:
    if not sealed.startswith(_FORMAT) or len(sealed) < _HEAD_BYTES:
        return b""
    return sealed[len(_FORMAT) : len(_FORMAT) + _KEY_ID_BYTES]


def _bound_to(organization_id: UUID, purpose: str) -> bytes:
    return organization_id.bytes + purpose.encode()


@lru_cache(maxsize=1024)
def _cipher(key: str, organization_id: UUID) -> AESGCM:
    return AESGCM(_derived(key, b"organization:" + organization_id.bytes, 32))


def _derived(key: str, info: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length=length, salt=None, info=b"sluice:sealed:" + info).derive(key.encode())
