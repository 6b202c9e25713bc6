"""Senders that are killed: `python -m tests.api.campaigns.sender URL ORGANIZATION RECORD KILLS PEOPLE`.

Each is forked from this process, takes the turns of campaigns, hears what came of them, and sends what is claimed to a
stub that records every call. Every second one dies at the worst moment, when a mail has gone and nobody knows yet; the
others are killed after some calls, wherever they are. The last one goes on until nothing is left.
"""

import asyncio
import os
import random
import signal
import sys
import threading
import time
from functools import partial
from pathlib import Path
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy import text
from uuid_utils.compat import uuid7

from api.campaigns.hearing import CONSUMER, TYPES, concerns, hear
from api.campaigns.links import Links
from api.campaigns.worker import Sequencer
from api.conversations import sending
from api.db.statements import compiled
from api.edge.consumer import acting_in, consume
from api.edge.feed import Feed
from api.kernel.context import Context
from api.kernel.database import Database
from contracts.channels import Channel, SendState
from contracts.events.envelope import ActorKind
from contracts.settings import SecretSettings
from tests.api.rules.conftest import no_broker
from tests.factories import SECRET_KEY

#: About the bytes that the stub's record of a call takes.
_LINE = 60
_HOLD = compiled(
    text("""
update bd_accounts set epoch = epoch + 1, lease_holder = 'sweep', lease_until = now() + interval '1 hour'
where organization_id = :organization_id returning id, epoch, channel
""")
)
_LEFT = compiled(
    text("""
select exists (select from campaign_recipients r left join campaign_touches t
    on t.organization_id = r.organization_id and t.id = r.touch_id
    where r.organization_id = :organization_id and r.state in ('waiting', 'under_way')
    and t.state is distinct from 'unknown') as is_left
""")
)


def _context(organization_id: UUID) -> Context:
    return Context(organization_id=organization_id, actor=ActorKind.SYSTEM, correlation_id=uuid7())


async def send(
    database: Database, context: Context, account_id: UUID, epoch: int, record: int, *, dies_after: int | None
) -> None:
    """Claim, tell the stub, tell the result; for ever, or until so many mails have gone."""
    mails = 0
    while True:
        async with acting_in(database, context) as unit:
            _, jobs = await sending.claim_sends(unit, account_id, epoch, limit=10)
        for job in jobs:
            # the stub: one line is one call of the provider
            os.write(record, f"{job.conversation.channel} {job.send.id} {job.send.address}\n".encode())
            mails += job.conversation.channel is Channel.EMAIL
            if mails == dies_after:
                os.kill(os.getpid(), signal.SIGKILL)
            async with acting_in(database, context) as unit:
                number = None if job.conversation.channel is Channel.EMAIL else str(job.send.id)
                await sending.tell_result(unit, job.send.id, state=SendState.SENT, epoch=epoch, provider_id=number)
        if not jobs:
            await asyncio.sleep(0.05)


async def work(url: str, organization_id: UUID, record: int, *, dies_after: int | None) -> None:
    """One sender, until nothing is left."""
    database, context, stop = Database(url, pool_size=10), _context(organization_id), threading.Event()
    sequencer = Sequencer(database, Links(SecretSettings(secret_key=SecretStr(SECRET_KEY)), "https://us.example"))
    async with acting_in(database, context) as unit:
        accounts = await unit.fetch(_HOLD)
    feed, wanted = Feed(database, connect=no_broker), partial(concerns, database)
    async with asyncio.TaskGroup() as group:
        group.create_task(consume(database, CONSUMER, hear, stop, types=TYPES, concerns=wanted, feed=feed))
        for account in accounts:
            group.create_task(send(database, context, account.id, account.epoch, record, dies_after=dies_after))
        while True:
            taken = await sequencer.take_turns()
            async with acting_in(database, context) as unit:
                [left] = await unit.fetch(_LEFT)
            if not left.is_left:
                os._exit(0)
            await asyncio.sleep(0 if taken else 0.1)


def main(url: str, organization: str, record: str, kills: str, people: str) -> None:
    """Fork, kill, again; then one to the end."""
    calls = os.open(record, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    chance, each = random.Random(20), int(people) // (int(kills) + 1)
    for number in range(int(kills) + 1):
        is_last = number == int(kills)
        dies_after = 1 + chance.randint(0, each) if number % 2 == 0 and not is_last else None
        child = os.fork()
        if child == 0:
            asyncio.run(work(url, UUID(organization), calls, dies_after=dies_after))
        if dies_after is None and not is_last:
            _wait_for(calls, _LINE * chance.randint(0, 2 * each), most=30)
            time.sleep(chance.uniform(0, 0.1))
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        print(number + 1, len(Path(record).read_text().splitlines()), flush=True)


def _wait_for(calls: int, more: int, *, most: float) -> None:
    """Wait until the stub was called for that many bytes more, or too long."""
    enough, until = os.fstat(calls).st_size + more, time.monotonic() + most
    while os.fstat(calls).st_size < enough and time.monotonic() < until:
        time.sleep(0.005)


if __name__ == "__main__":
    main(*sys.argv[1:])
