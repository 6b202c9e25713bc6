"""Lets whoever's turn it is have their next step, and hears what came of those before.

Both are exactly once: a turn is one transaction with its row per recipient and step, and an event is claimed in the
transaction of its effect. Whoever dies meanwhile leaves nothing half done.
"""

import asyncio
import logging
import threading
from functools import partial
from time import monotonic
from uuid import UUID

import psycopg
from sqlalchemy import text
from uuid_utils.compat import uuid7

from api.campaigns.hearing import CONSUMER, TYPES, concerns, hear
from api.campaigns.links import Links
from api.campaigns.sequence import advance
from api.db.statements import compiled
from api.edge.consumer import acting_in, consume
from api.kernel.context import Context
from api.kernel.database import Database
from api.kernel.hints import Bell
from contracts.events.envelope import ActorKind
from contracts.settings import OutreachSettings, SecretSettings

_log = logging.getLogger(__name__)

_POLL_SECONDS, _RETRY_SECONDS = 2.0, 2.0
#: How often a campaign with nobody waiting is looked at: it may be over.
_OVER_SECONDS = 10.0

_DUE = compiled(
    text("""
select c.organization_id, c.id, exists (
    select from campaign_recipients r where r.organization_id = c.organization_id and r.campaign_id = c.id
        and r.state = 'waiting' and r.due_at <= clock_timestamp()) as is_due
from campaigns c where c.state = 'running' order by c.id
""")
)


async def run(database: Database, stop: threading.Event) -> None:
    """Work until `stop` is set."""
    links = Links(SecretSettings(), OutreachSettings().api_public_url)
    wanted = partial(concerns, database)
    async with asyncio.TaskGroup() as group:
        group.create_task(consume(database, CONSUMER, hear, stop, types=TYPES, concerns=wanted))
        group.create_task(_keep_on(Sequencer(database, links), database.hints.bell("campaigns"), stop))


class Sequencer:
    """Takes turns, campaign by campaign."""

    def __init__(self, database: Database, links: Links) -> None:
        self._database, self._links = database, links
        self._looked_at = 0.0

    async def take_turns(self) -> int:
        """One batch of each campaign that has somebody waiting; how many took theirs."""
        async with self._database.unit(None) as unit:
            running = await unit.fetch(_DUE)
        looks_at_all = monotonic() - self._looked_at > _OVER_SECONDS
        if looks_at_all:
            self._looked_at = monotonic()
        taken = 0
        for row in running:
            if row.is_due or looks_at_all:
                taken += await self._advance(row.organization_id, row.id)
        return taken

    async def _advance(self, organization_id: UUID, campaign_id: UUID) -> int:
        context = Context(organization_id=organization_id, actor=ActorKind.SYSTEM, correlation_id=uuid7())
        async with acting_in(self._database, context) as unit:
            return await advance(unit, campaign_id, self._links)


async def _keep_on(sequencer: Sequencer, bell: Bell, stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            taken = await sequencer.take_turns()
        except (psycopg.Error, OSError) as error:
            _log.warning("turns begin anew: %s", error)
            await bell.wait(_RETRY_SECONDS, stop)
            continue
        if not taken:
            await bell.wait(_POLL_SECONDS, stop)
