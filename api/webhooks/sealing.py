"""Secrets of webhooks: sealed for their own row, and opened to sign."""

from uuid import UUID

from api.kernel.resealing import Sealed
from api.kernel.secrets import Secrets


def seal(vault: Secrets, organization_id: UUID, webhook_id: UUID, secret: str) -> bytes:
    """A secret as it is kept."""
    return vault.seal(organization_id, _purpose(webhook_id), secret)


def unsealed(vault: Secrets, organization_id: UUID, webhook_id: UUID, sealed: bytes) -> str:
    """The secret again.

    Raises:
        SealBrokenError: it was not sealed so.
    """
    return vault.open_sealed(organization_id, _purpose(webhook_id), sealed)


def _purpose(webhook_id: UUID) -> str:
    return f"webhook:{webhook_id}"


SEALED = Sealed("webhooks", "id", ("sealed", "sealed_before"), _purpose)
