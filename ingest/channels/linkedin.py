"""LinkedIn by its official API, as far as its terms let a program go: whose token it is, and whether it still holds.

Messages are a person's own to send: they wait as drafts, are copied over, and confirmed (`/v1/messages/{id}/confirm`).
So nothing is read here and nothing is sent.
"""

import asyncio

import httpx

from contracts.settings import ChannelSettings
from ingest.channels.api import Api, Held

_SECONDS = 30.0
#: Tokens hold for two months; people are told soon enough when one ends.
_LOOK_SECONDS = 600.0
_REFUSED = (401, 403)


async def connect(api: Api, held: Held) -> None:
    """Look now and then whether LinkedIn takes the token, until cancelled.

    Raises:
        RefusedError: the API refuses; the account may be another connector's.
        OSError: LinkedIn does not answer, or does not take the token.
    """
    found = await api.connection(held)
    headers = {"Authorization": f"Bearer {found['secret'].get('access_token', '')}"}
    # not of the settings of the account, which its people write: it gets the token, and stands in our network
    async with httpx.AsyncClient(
        base_url=ChannelSettings().linkedin_api_url, headers=headers, timeout=_SECONDS
    ) as http:
        while True:
            try:
                answer = await http.get("/v2/userinfo")
            except httpx.HTTPError as error:
                raise OSError(f"LinkedIn: {type(error).__name__}") from None
            if answer.status_code in _REFUSED:
                await api.report(held, "limited", reason="sign_in_refused")
                raise OSError("LinkedIn does not take the token")
            if answer.status_code >= 400:
                raise OSError(f"LinkedIn answers {answer.status_code}")
            await api.report(held, "active")
            await asyncio.sleep(_LOOK_SECONDS)
