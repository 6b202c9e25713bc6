"""Signs mails (DKIM, RFC 6376) in the name of the domain that they are from, where an account has a key for it.

Most submission servers sign what they are given. One that does not, or that leaves out the headers by which somebody
ends being written to (RFC 8058 asks for both), is helped so: the key is a secret of the account, `dkim_key` (PEM, RSA),
and `dkim_selector` a setting of it. What another server signs besides stays valid.
"""

from email.message import EmailMessage
from typing import Any, Self

import dkim
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

#: Each that is there; a second From is none that we signed.
_SIGNED = (
    "from from to subject date message-id in-reply-to references mime-version content-type content-transfer-encoding"
    " list-unsubscribe list-unsubscribe-post"
).split()
_SMALLEST_BITS = 1024
_USUAL_SELECTOR = "sluice"


class UnusableKeyError(ValueError):
    """The account's key is none."""


class Signer:
    """Signs for one domain."""

    def __init__(self, domain: str, selector: str, key: str) -> None:
        try:
            read = load_pem_private_key(key.encode(), password=None)
        except (ValueError, TypeError) as error:
            raise UnusableKeyError("dkim_key is no private key in PEM without a password") from error
        if not isinstance(read, RSAPrivateKey) or read.key_size < _SMALLEST_BITS:
            raise UnusableKeyError(f"dkim_key is no RSA key of {_SMALLEST_BITS} bits or more")
        self._key = read.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        self._domain, self._selector = domain.encode("idna"), selector.encode()

    @classmethod
    def of(cls, account: dict[str, Any], secret: dict[str, str]) -> Self | None:
        """The account's; None where it has no key.

        Raises:
            UnusableKeyError: what it has is no key.
        """
        if not (key := secret.get("dkim_key")):
            return None
        domain = str(account["address"]).rpartition("@")[2]
        return cls(domain, str(account["settings"].get("dkim_selector", _USUAL_SELECTOR)), key)

    def sign(self, mail: EmailMessage) -> bytes:
        """The mail as it goes out, with the signature on top."""
        raw = mail.as_bytes()
        names = [name.encode() for name in _SIGNED if name in mail]
        made: bytes = dkim.sign(
            raw,
            self._selector,
            self._domain,
            self._key,
            canonicalize=(b"relaxed", b"relaxed"),
            include_headers=names,
        )
        return made + raw
