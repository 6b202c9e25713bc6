"""`/v1/x-webhooks/…`: where X says that an account has news. Needs no sign-in: X's signature is one.

A delivery says where to look, no more: the connector asks X at once, as it does by itself now and then, and takes in
what it finds there. So a delivery that was lost, came twice or came late loses and doubles nothing.
"""

import hmac
from base64 import b64encode
from hashlib import sha256
from typing import Annotated
from uuid import UUID

from fastapi import Header, Query, Request, Response
from pydantic import BaseModel
from sqlalchemy import text
from uuid_utils.compat import uuid7

from api.bd_accounts import records
from api.bd_accounts.connectors import SecretsOfAccounts, opened
from api.db.statements import compiled
from api.edge.dependencies import Unit
from api.edge.routing import problems, slice_router
from api.kernel.context import Context
from api.kernel.errors import CrmError, NotFound
from api.kernel.hints import hint
from api.kernel.secrets import Secrets
from api.kernel.unit_of_work import UnitOfWork, entering
from contracts.channels import Channel
from contracts.events.envelope import ActorKind

router = slice_router(prefix="/x-webhooks", tags=["connectors"])

#: What is kept of deliveries, to know them again, is kept so long; X repeats none after a day.
_TAKE = compiled(
    text("""
with fresh as (
    insert into x_deliveries (organization_id, id, account_id, digest)
    values (:organization_id, :id, :account_id, :digest)
    on conflict (organization_id, account_id, digest) do nothing returning account_id
), old as (
    delete from x_deliveries
    where organization_id = :organization_id and account_id = :account_id and created_at < now() - interval '7 days'
)
update bd_accounts a set news_at = clock_timestamp() from fresh
where a.organization_id = :organization_id and a.id = fresh.account_id
""")
)


class XSignatureInvalid(CrmError):
    """The delivery is not signed as X would."""

    status, code, title = 400, "x_signature_invalid", "Signature invalid"
    detail = "X signs what it delivers with the consumer secret of the account's app."


class XChallengeAnswer(BaseModel):
    """Shows X that the app's consumer secret is known here."""

    response_token: str


@router.get("/{organization_id}/{account_id}", responses=problems(NotFound))
async def answer_x_challenge(
    organization_id: UUID,
    account_id: UUID,
    crc_token: Annotated[str, Query(min_length=1, max_length=1_000)],
    unit: Unit,
    secrets: SecretsOfAccounts,
) -> XChallengeAnswer:
    """X asks this now and then whether the webhook is still the app's (CRC)."""
    secret = await _consumer_secret(unit, secrets, organization_id, account_id)
    return XChallengeAnswer(response_token=_signed(secret, crc_token.encode()))


@router.post(
    "/{organization_id}/{account_id}",
    status_code=204,
    response_class=Response,
    responses=problems(NotFound, XSignatureInvalid),
)
async def receive_x_delivery(
    organization_id: UUID,
    account_id: UUID,
    request: Request,
    unit: Unit,
    secrets: SecretsOfAccounts,
    signature: Annotated[str, Header(alias="x-twitter-webhooks-signature", max_length=200)] = "",
) -> None:
    """Where X delivers. What was delivered before is known again, and nothing is done for it."""
    body = await request.body()
    secret = await _consumer_secret(unit, secrets, organization_id, account_id)
    if not hmac.compare_digest(_signed(secret, body).encode(), signature.encode()):
        raise XSignatureInvalid
    unit.execute(_TAKE, id=uuid7(), account_id=account_id, digest=sha256(body).digest())
    hint(unit, f"sends:{account_id}")


async def _consumer_secret(unit: UnitOfWork, secrets: Secrets, organization_id: UUID, account_id: UUID) -> str:
    """The secret of the app through which an account is at X.

    Raises:
        NotFound: there is none, or no such account.
    """
    context = Context(organization_id=organization_id, actor=ActorKind.SYSTEM, correlation_id=uuid7())
    unit.open_with(entering(context))
    accounts, kept = await unit.fetch_all(
        records.ACCOUNT.bind(account_id=account_id), records.SECRET.bind(account_id=account_id)
    )
    found: object = None
    if accounts and accounts[0].channel == Channel.X.value:
        found = opened(secrets, unit, account_id, kept[0].secret).get("consumer_secret")
    if not isinstance(found, str):
        raise NotFound("webhook")
    return found


def _signed(secret: str, message: bytes) -> str:
    return "sha256=" + b64encode(hmac.digest(secret.encode(), message, "sha256")).decode()
