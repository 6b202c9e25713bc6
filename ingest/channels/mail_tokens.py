"""Access tokens of mailboxes at Google and Microsoft (XOAUTH2), renewed before they end: they hold for an hour."""

import asyncio
from time import time

import httpx

from contracts.settings import ChannelSettings
from ingest.channels.api import Api, Held, Json

_SECONDS = 30.0
#: Renewed so long before they end.
_AHEAD_SECONDS = 120.0


class TokenRefusedError(OSError):
    """Whoever gives tokens gives none any more."""


class MailTokens:
    """An account's secret, whose access token holds. One that has no refresh token stays as it is."""

    def __init__(self, api: Api, held: Held, found: Json) -> None:
        self._api, self._held = api, held
        self._secret: dict[str, str] = dict(found["secret"])
        self._provider = str(found["account"]["settings"].get("oauth", ""))
        self._lock = asyncio.Lock()

    async def secret(self) -> dict[str, str]:
        """The secret as it can be used now.

        Raises:
            TokenRefusedError: it cannot, until somebody allows it again.
            OSError: whoever gives tokens does not answer.
        """
        async with self._lock:
            if "refresh_token" in self._secret and float(self._secret.get("expires_at", 0)) < time() + _AHEAD_SECONDS:
                await self._renew()
            return self._secret

    async def _renew(self) -> None:
        settings = ChannelSettings()
        # not any address that an account's people write: it gets their secrets, and ours is the network
        urls = {"google": settings.google_token_url, "microsoft": settings.microsoft_token_url}
        if self._provider not in urls:
            raise TokenRefusedError("the setting `oauth` of the account must be google or microsoft")
        names = ("refresh_token", "client_id", "client_secret")
        form = {"grant_type": "refresh_token", **{name: self._secret[name] for name in names if name in self._secret}}
        try:
            async with httpx.AsyncClient(timeout=_SECONDS) as http:
                answer = await http.post(urls[self._provider], data=form)
        except httpx.HTTPError as error:
            raise OSError(f"whoever gives tokens does not answer: {type(error).__name__}") from None
        if answer.status_code >= 500:
            raise OSError(f"whoever gives tokens answers {answer.status_code}")
        if answer.status_code >= 400:
            raise TokenRefusedError(f"whoever gives tokens answers {answer.status_code}")
        given = answer.json()
        fresh = {name: str(given[name]) for name in ("access_token", "refresh_token") if name in given}
        fresh["expires_at"] = str(int(time() + int(given.get("expires_in", 3_600))))
        await self._api.keep_secret(self._held, **fresh)
        self._secret |= fresh
