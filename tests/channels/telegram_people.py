# ruff: noqa: ARG002 # each answer takes the session and the request, needed or not
"""People at the server of Telegram's protocol, and the passwords of those who have one (https://core.telegram.org/api/srp)."""

import os
from dataclasses import dataclass, field
from hashlib import pbkdf2_hmac, sha256
from typing import Any

from telethon.tl import types

from tests.channels.mtproto import GENERATOR, PRIME, RpcError, Session


@dataclass
class Person:
    """Somebody with an account, and their own copy of each message."""

    id: int
    phone: str
    name: str
    username: str | None = None
    password: str | None = None
    box: dict[int, Any] = field(default_factory=dict)
    pts: int = 1
    updates: list[tuple[int, Any]] = field(default_factory=list)
    #: Of a bot: its token, and what those who connected it have got.
    token: str | None = None
    qts: int = 0
    business: list[tuple[int, Any]] = field(default_factory=list)


class Passwords:
    """The part of a server that asks for a password and proves it."""

    people: dict[int, Person]

    def __init__(self) -> None:
        self._srp: dict[int, tuple[int, bytes, int]] = {}

    def _let_in(self, session: Session, person: Person) -> Any:
        raise NotImplementedError

    def _get_password(self, session: Session, request: Any) -> Any:
        person = self.people[session.handshake["pending"]]
        assert person.password is not None
        salt = os.urandom(16)
        prime, verifier = int.from_bytes(PRIME, "big"), self._verifier(person.password, salt)
        secret = int.from_bytes(os.urandom(256), "big")
        k = int.from_bytes(sha256(PRIME + GENERATOR.to_bytes(256, "big")).digest(), "big")
        public = (k * verifier + pow(GENERATOR, secret, prime)) % prime
        self._srp[person.id] = (secret, salt, public)
        algorithm = types.PasswordKdfAlgoSHA256SHA256PBKDF2HMACSHA512iter100000SHA256ModPow(
            salt, salt, GENERATOR, PRIME
        )
        return types.account.Password(
            types.PasswordKdfAlgoUnknown(), types.SecurePasswordKdfAlgoUnknown(), b"", has_password=True,
            current_algo=algorithm, srp_B=public.to_bytes(256, "big"), srp_id=1,
        )  # fmt: skip

    def _check_password(self, session: Session, request: Any) -> Any:
        """https://core.telegram.org/api/srp"""
        person = self.people[session.handshake["pending"]]
        secret, salt, public = self._srp[person.id]
        assert person.password is not None
        prime, given = int.from_bytes(PRIME, "big"), request.password
        u = int.from_bytes(sha256(given.A + public.to_bytes(256, "big")).digest(), "big")
        verifier = self._verifier(person.password, salt)
        shared = pow(int.from_bytes(given.A, "big") * pow(verifier, u, prime), secret, prime)
        key = sha256(shared.to_bytes(256, "big")).digest()
        hashes = (sha256(PRIME).digest(), sha256(GENERATOR.to_bytes(256, "big")).digest())
        mixed = bytes(one ^ other for one, other in zip(*hashes, strict=True))
        salted = sha256(salt).digest()
        proof = sha256(mixed + salted + salted + given.A + public.to_bytes(256, "big") + key).digest()
        if proof != given.M1:
            raise RpcError(400, "PASSWORD_HASH_INVALID")
        return self._let_in(session, person)

    @staticmethod
    def _verifier(password: str, salt: bytes) -> int:
        def salted(data: bytes) -> bytes:
            return sha256(salt + data + salt).digest()

        slow = pbkdf2_hmac("sha512", salted(salted(password.encode())), salt, 100_000)
        return pow(GENERATOR, int.from_bytes(salted(slow), "big"), int.from_bytes(PRIME, "big"))
