"""Asking an OpenID provider who somebody is: authorization code with PKCE, and an id token that is ours alone.

A sign-in by a provider is a ticket that the browser keeps while it is away: which provider, `state`, `nonce` and the
PKCE verifier, sealed, so neither the database nor another browser can go on with it. What comes back counts only with
that ticket: a foreign `state` or `iss` is refused before anybody is asked, a code of another sign-in fails by its
verifier at the provider and by its `nonce` here. A code is good once; that is the provider's promise (RFC 6749, 4.1.2).
"""

import asyncio
import hmac
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
from authlib.common.security import generate_token
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from pydantic import BaseModel, ValidationError

from api.edge.security import decode_base64, encode_base64
from api.kernel.errors import Forbidden, NotFound, Unavailable, Unprocessable
from api.kernel.secrets import SealBrokenError, Secrets
from contracts.settings import OidcProvider

#: Of one key family each, and never `none` or a shared secret.
_ALGORITHMS = ["RS256", "PS256", "ES256", "EdDSA"]
_SCOPE = "openid email profile"
#: How long people may take at the provider, and afterwards to show a code or a password.
_TICKET_SECONDS, _LEEWAY_SECONDS = 600, 60
#: Metadata and keys are asked for again after so long; keys at once when a token names an unknown one.
_METADATA_SECONDS = 3600.0
#: However an answer trickles, and however much of it there would be.
_ANSWER_SECONDS, _LARGEST_ANSWER = 10.0, 512 * 1024
#: Where the dashboards take browsers back.
OIDC_RETURN = "/sso/return"
#: Who signs in belongs to no organization yet.
_NOWHERE = UUID(int=0)


class ProviderRefused(Forbidden):
    """The provider did not confirm who this is, or what it said is not for us."""

    code, detail = "provider_refused", "The provider did not confirm this sign-in. Begin again."


class TicketNotGood(Unprocessable):
    """What this browser keeps of a sign-in by a provider is missing, altered, or too old."""

    code, detail = "ticket_not_good", "This sign-in was begun elsewhere, or too long ago. Begin again."


class RedirectNotAllowed(Unprocessable):
    """The address to come back to is none of this installation's."""

    code, detail, pointer = "redirect_not_allowed", "This address is not one to come back to.", "/redirect_uri"


class ProviderUnavailable(Unavailable):
    """The provider does not answer."""

    code, title = "provider_unavailable", "The provider does not answer"


class Ticket(BaseModel):
    """A sign-in that is under way."""

    provider: str
    state: str
    nonce: str
    verifier: str
    redirect_uri: str
    expires_at: int


@dataclass(frozen=True)
class Vouched:
    """What a provider says of somebody. The address is None unless the provider has verified it."""

    issuer: str
    subject: str
    email: str | None


@dataclass
class _Known:
    """A provider's metadata and keys, and when they were read."""

    metadata: dict[str, Any]
    keys: KeySet
    read_at: float


class Providers:
    """The providers of this installation."""

    def __init__(self, providers: Iterable[OidcProvider], vault: Secrets, *, redirects: Iterable[str]) -> None:
        self._providers = {one.key: one for one in providers}
        self._vault, self._redirects = vault, frozenset(redirects)
        self._known: dict[str, _Known] = {}
        self._locks = {key: asyncio.Lock() for key in self._providers}  # who waits for one waits for no other

    def __iter__(self) -> Iterator[OidcProvider]:
        return iter(self._providers.values())

    async def begin(self, key: str, redirect_uri: str) -> tuple[str, str]:
        """Where to send the browser, and the ticket that it keeps.

        Raises:
            NotFound, RedirectNotAllowed, ProviderUnavailable: as they say.
        """
        provider = self._find(key)
        if redirect_uri not in self._redirects:
            raise RedirectNotAllowed
        known = await self._ask(provider)
        ticket = Ticket(
            provider=key,
            state=generate_token(43),
            nonce=generate_token(43),
            verifier=generate_token(64),
            redirect_uri=redirect_uri,
            expires_at=int(time.time()) + _TICKET_SECONDS,
        )
        url: str = prepare_grant_uri(
            known.metadata["authorization_endpoint"],
            client_id=provider.client_id,
            response_type="code",
            redirect_uri=redirect_uri,
            scope=_SCOPE,
            state=ticket.state,
            nonce=ticket.nonce,
            code_challenge=create_s256_code_challenge(ticket.verifier),
            code_challenge_method="S256",
        )
        return url, self.seal("ticket", ticket.model_dump_json())

    async def finish(self, sealed: str, *, state: str, code: str, issuer: str | None) -> Vouched:
        """Who it is that came back with a code.

        Raises:
            TicketNotGood, ProviderRefused, ProviderUnavailable: as they say.
        """
        ticket = self._ticket(sealed)
        provider = self._find(ticket.provider)
        known = await self._ask(provider)
        names_itself = known.metadata.get("authorization_response_iss_parameter_supported") is True
        if not hmac.compare_digest(ticket.state.encode(), state.encode()):
            raise TicketNotGood
        if issuer != provider.issuer and (issuer is not None or names_itself):  # RFC 9207: a mix-up
            raise ProviderRefused
        tokens = await self._exchange(provider, known, ticket, code)
        claims = await self._read(provider, tokens["id_token"], nonce=ticket.nonce)
        claims = await _with_address(known, tokens, claims)
        email = claims.get("email") if claims.get("email_verified") is True else None
        return Vouched(provider.issuer, claims["sub"], email if isinstance(email, str) else None)

    def seal(self, purpose: str, text: str) -> str:
        """A text that only we can read again, and only for this purpose."""
        return encode_base64(self._vault.seal(_NOWHERE, f"oidc:{purpose}", text))

    def unseal(self, purpose: str, sealed: str) -> str:
        """The text again.

        Raises:
            TicketNotGood: it was not sealed so.
        """
        try:
            return self._vault.open_sealed(_NOWHERE, f"oidc:{purpose}", decode_base64(sealed) or b"")
        except SealBrokenError as error:
            raise TicketNotGood from error

    def _ticket(self, sealed: str) -> Ticket:
        ticket = Ticket.model_validate_json(self.unseal("ticket", sealed))
        if ticket.expires_at <= time.time():
            raise TicketNotGood
        return ticket

    def _find(self, key: str) -> OidcProvider:
        if key not in self._providers:
            raise NotFound("provider")
        return self._providers[key]

    async def _ask(self, provider: OidcProvider, *, is_stale: bool = False) -> _Known:
        """A provider's metadata and keys."""
        async with self._locks[provider.key]:
            known = self._known.get(provider.key)
            if known is None or is_stale or time.monotonic() - known.read_at > _METADATA_SECONDS:
                known = self._known[provider.key] = await _discovered(provider)
            return known

    async def _exchange(self, provider: OidcProvider, known: _Known, ticket: Ticket, code: str) -> dict[str, Any]:
        """The tokens for a code, the id token among them."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": ticket.redirect_uri,
            "code_verifier": ticket.verifier,
        }
        secret = provider.client_secret.get_secret_value()
        answer = await _fetch("POST", known.metadata["token_endpoint"], form, auth=(provider.client_id, secret))
        if not isinstance(answer, dict) or not isinstance(answer.get("id_token"), str):
            raise ProviderRefused
        return answer

    async def _read(self, provider: OidcProvider, token: str, *, nonce: str) -> dict[str, Any]:
        """The claims of an id token that is signed by the provider, for us, for this sign-in, and now."""
        try:
            known = await self._ask(provider)
            try:
                decoded = jwt.decode(token, known.keys, algorithms=_ALGORITHMS)
            except (JoseError, ValueError):  # perhaps by a key that is newer than what we know
                known = await self._ask(provider, is_stale=True)
                decoded = jwt.decode(token, known.keys, algorithms=_ALGORITHMS)
            options = {
                "iss": {"essential": True, "value": provider.issuer},
                "aud": {"essential": True, "value": provider.client_id},
                "sub": {"essential": True},
                "nonce": {"essential": True, "value": nonce},
            }
            params = {"nonce": nonce, "client_id": provider.client_id}
            claims = CodeIDToken(decoded.claims, decoded.header, options, params)
            claims.validate(leeway=_LEEWAY_SECONDS)
        except (JoseError, ValueError, TypeError) as error:
            raise ProviderRefused from error
        if not isinstance(claims["sub"], str) or not 1 <= len(claims["sub"]) <= 255:
            raise ProviderRefused
        return dict(claims)


async def _with_address(known: _Known, tokens: dict[str, Any], claims: dict[str, Any]) -> dict[str, Any]:
    """The claims with the person's address, of providers that tell it only when they are asked for it."""
    place, bearer = known.metadata.get("userinfo_endpoint"), tokens.get("access_token")
    if "email" in claims or not isinstance(place, str) or not isinstance(bearer, str):
        return claims
    told = await _fetch("GET", place, bearer=bearer)
    if not isinstance(told, dict) or told.get("sub") != claims["sub"]:  # OpenID Connect Core, 5.3.2
        raise ProviderRefused
    return claims | {name: told[name] for name in ("email", "email_verified") if name in told}


async def _discovered(provider: OidcProvider) -> _Known:
    metadata = await _fetch("GET", f"{provider.issuer.rstrip('/')}/.well-known/openid-configuration")
    needed = ("authorization_endpoint", "token_endpoint", "jwks_uri")
    if not isinstance(metadata, dict) or metadata.get("issuer") != provider.issuer:
        raise ProviderUnavailable("The provider's metadata name another issuer.")
    if not all(isinstance(metadata.get(name), str) for name in needed):
        raise ProviderUnavailable("The provider's metadata are not complete.")
    try:
        keys = KeySet.import_key_set(await _fetch("GET", metadata["jwks_uri"]))
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise ProviderUnavailable("The provider's keys cannot be read.") from error
    return _Known(metadata, keys, time.monotonic())


async def _fetch(
    method: str,
    url: str,
    form: dict[str, str] | None = None,
    *,
    auth: tuple[str, str] | None = None,
    bearer: str | None = None,
) -> Any:  # noqa: ANN401 # JSON
    """What a provider answers. Its addresses are the operator's choice; no redirect is followed.

    Raises:
        ProviderRefused: it says no.
        ProviderUnavailable: it says nothing of use.
    """
    try:
        headers = {"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {bearer}"} if bearer else {})
        given = auth or httpx.USE_CLIENT_DEFAULT
        async with (
            asyncio.timeout(_ANSWER_SECONDS),
            httpx.AsyncClient(timeout=httpx.Timeout(8.0, connect=4.0), trust_env=False) as client,
            client.stream(method, url, data=form, auth=given, headers=headers) as answer,
        ):
            if 400 <= answer.status_code < 500 and (form is not None or bearer is not None):
                raise ProviderRefused
            answer.raise_for_status()
            return json.loads(await _bounded(answer))
    except (TimeoutError, httpx.HTTPError, httpx.InvalidURL, ValueError, ValidationError) as error:
        raise ProviderUnavailable("The provider does not answer. Try again in a moment.") from error


async def _bounded(answer: httpx.Response) -> bytes:
    """The body of an answer, of which no more is read than is taken."""
    body = bytearray()
    async for part in answer.aiter_bytes():
        body += part
        if len(body) > _LARGEST_ANSWER:
            raise ProviderUnavailable("The provider's answer is too large.")
    return bytes(body)
