"""Links by which somebody ends being written to: signed, so that nobody ends it for others, and good for ever.

They name the touch, not the person: what they end is looked up when they are followed.
"""

from uuid import UUID

from api.edge.security import Signer, decode_base64, encode_base64
from contracts.settings import SecretSettings

_PURPOSE = "unsubscribe"
_NAMED_BYTES = 32


class Links:
    """Makes and reads links. What an earlier key signed stays good."""

    def __init__(self, settings: SecretSettings, public_url: str) -> None:
        keys = (settings.secret_key, *settings.secret_keys_before)
        self._signers = [Signer(key.get_secret_value()) for key in keys]
        self._url = public_url.rstrip("/")

    def to(self, organization_id: UUID, touch_id: UUID) -> str:
        """The link of a touch."""
        named = organization_id.bytes + touch_id.bytes
        return f"{self._url}/v1/unsubscribe/{encode_base64(named + self._signers[0].sign(_PURPOSE, named))}"

    def read(self, token: str) -> tuple[UUID, UUID] | None:
        """The organization and the touch that a link names; None where it is none of ours."""
        raw = decode_base64(token) or b""
        named, signature = raw[:_NAMED_BYTES], raw[_NAMED_BYTES:]
        if not any(signer.matches(_PURPOSE, named, signature=signature) for signer in self._signers):
            return None
        return UUID(bytes=named[:16]), UUID(bytes=named[16:])
