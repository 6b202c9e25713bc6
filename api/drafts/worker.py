"""Writes the drafts that rules request. A request is a row that one worker takes; who dies leaves it to the next."""

import logging
import threading
from contextlib import AbstractAsyncContextManager
from time import monotonic

import psycopg
from sqlalchemy import text
from uuid_utils.compat import uuid7

from api.db.statements import compiled
from api.drafts import records
from api.drafts.actions import REQUESTED
from api.drafts.model import Model
from api.drafts.policies import read_policy, settled
from api.drafts.rules import Draft
from api.drafts.service import Drafting, Wanted
from api.edge.consumer import acting_in
from api.edge.flags import Feature, FeatureOff, flags_client, is_on
from api.edge.outgoing import Breaker
from api.kernel.context import Context
from api.kernel.database import Database
from api.kernel.errors import CrmError
from api.kernel.unit_of_work import UnitOfWork
from contracts.events.envelope import ActorKind
from contracts.settings import AiSettings, BillingSettings

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 2.0
#: Until it is taken a request is as it was made; one that was taken long ago was abandoned.
_TAKE = compiled(
    text(f"""
update drafts set updated_at = clock_timestamp() where (organization_id, id) in (
    select organization_id, id from drafts
    where state = 'generating' and request_key like '{REQUESTED}%'
        and (updated_at = created_at or updated_at < clock_timestamp() - interval '5 minutes')
    order by created_at limit 4 for update skip locked)
returning organization_id, id
""")
)


class _AsApp:
    """The worker's database as drafts know it: a unit is in its organization, and may do what the app may."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def unit(self, context: Context) -> AbstractAsyncContextManager[UnitOfWork]:
        """A unit of work."""
        return acting_in(self._database, context)


async def run(database: Database, stop: threading.Event) -> None:
    """Write what is requested until `stop` is set."""
    settings, breaker = AiSettings(), Breaker()
    bell = database.hints.bell("drafts")  # nobody rings
    while not stop.is_set():
        began = monotonic()
        try:
            if settings.is_ai_on:
                await write_requested(database, settings, breaker)
        except (psycopg.Error, OSError) as error:
            _log.warning("the database does not answer; trying again: %s", error)
        await bell.wait(max(0.0, began + _LOOK_SECONDS - monotonic()), stop)


async def write_requested(database: Database, settings: AiSettings, breaker: Breaker) -> int:
    """Write the drafts that are requested now; how many there were. One that cannot be written says why."""
    async with database.unit(None) as unit:
        requests = await unit.fetch(_TAKE)
    flags = flags_client(database) if requests else None
    for request in requests:
        context = Context(
            organization_id=request.organization_id, actor=ActorKind.SYSTEM, correlation_id=uuid7(), depth=1
        )
        drafting = Drafting(_AsApp(database), context, settings, BillingSettings())
        async with acting_in(database, context) as unit:
            draft = await records.lock_draft(unit, request.id, owners=None)
        try:
            if flags is None or not await is_on(flags, request.organization_id, Feature.AI_DRAFTS):
                raise FeatureOff
            wanted, own = await _wanted(database, context, draft, settings)
            drafting = Drafting(_AsApp(database), context, own, BillingSettings())
            await drafting.require_budget()
            async with Model(settings, breaker) as model:
                async for _ in drafting.write(model, draft, wanted):
                    pass
        except CrmError as error:
            await drafting.fail(draft, str(error))
    return len(requests)


async def _wanted(
    database: Database, context: Context, draft: Draft, settings: AiSettings
) -> tuple[Wanted, AiSettings]:
    """What is asked for, and the settings as the organization has them."""
    async with acting_in(database, context) as unit:
        policy = await read_policy(unit)
        inputs = await records.read_inputs(
            unit, conversation_id=draft.conversation_id, deal_id=draft.deal_id, owners=None
        )
    return Wanted(draft.request_key, draft.kind, None, inputs, draft.text or None), settled(settings, policy)
