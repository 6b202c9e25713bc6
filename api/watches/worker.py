"""Looks at watched figures whenever a version of the warehouse was published, and tells those who watch.

A figure is computed while no connection is held, and recorded in one transaction that locks its watch: several workers
may look, and one records. Mail is queued in that transaction and goes at least once, under a name that stays.
"""

import asyncio
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import groupby
from time import monotonic
from uuid import UUID

import psycopg
from pydantic import ValidationError
from uuid_utils.compat import uuid7

from api.db.pipeline import Row
from api.edge.consumer import acting_in
from api.edge.mail import Mail, Mailer, MailNotSentError
from api.edge.threads import figure_threads
from api.kernel.context import Context
from api.kernel.database import Database
from api.kernel.errors import CrmError, NotFound
from api.kernel.unit_of_work import UnitOfWork
from api.watches import records, rules, telling
from api.watches.asking import asked
from api.watches.periods import Period, days_of
from api.watches.records import Watching
from api.watches.rules import Change, Reading
from contracts.events.envelope import ActorKind
from contracts.events.metrics import MetricAlarmCleared, MetricAlarmRaised
from contracts.settings import MailSettings, WarehouseSettings
from metrics.answers import Figures
from metrics.errors import ParameterError, TooExpensiveError, UnknownPipelineError, WarehouseNotReadyError
from metrics.publication import PublishedVersion, is_duckdb
from metrics.viewer import Viewer
from metrics.watched import number_in

_log = logging.getLogger(__name__)

#: Versions come every few seconds under load; whoever watches a figure does not.
_LOOK_SECONDS, _RETRY_SECONDS = 10.0, 2.0
_MOST_ATTEMPTS = 12
_ALARMS = (MetricAlarmRaised, MetricAlarmCleared)


async def run(database: Database, stop: threading.Event) -> None:
    """Look until `stop` is set."""
    bell, looker = database.hints.bell(records.WORK), _looker(database)
    while not stop.is_set():
        began = monotonic()
        try:
            if looker.figures is not None:
                await looker.look()
            await looker.send_digests()
            await looker.send_mails()
        except (psycopg.Error, OSError) as error:
            _log.warning("watched figures wait: %s", error)
            await asyncio.sleep(_RETRY_SECONDS)
        await bell.wait(max(_LOOK_SECONDS, monotonic() - began), stop)
    looker.close()


def _looker(database: Database) -> "Looker":
    try:
        settings = WarehouseSettings()
    except ValidationError:  # a worker of an installation without figures sends what mail there is
        return Looker(database, None, Mailer(MailSettings()))
    url = settings.warehouse_url.get_secret_value()
    return Looker(
        database,
        Figures(url, memory_limit=settings.figures_memory_limit),
        Mailer(MailSettings()),
        in_process=is_duckdb(url),
    )


@dataclass
class Looker:
    """Looks at figures, and sends what there is to tell."""

    database: Database
    figures: Figures | None
    mailer: Mailer
    in_process: bool = True
    #: By watch: the version of the warehouse in which it was looked at, and its own.
    _seen: dict[UUID, tuple[str, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._threads = figure_threads(in_process=self.in_process)

    def close(self) -> None:
        """Let go of the warehouse."""
        self._threads.shutdown()
        if self.figures is not None:
            self.figures.close()

    async def look(self) -> int:
        """Look at every watch that was not looked at in the current version; how many there were."""
        version = await self._current()
        if version is None:
            return 0
        async with self.database.unit(None) as unit:
            rows = await unit.fetch(records.ALL)
        known = {row.id: (version.version, int(row.version)) for row in rows}
        due = [row for row in rows if self._seen.get(row.id) != known[row.id]]
        for row in due:
            await self._look_at(row, version)
        self._seen = known
        return len(due)

    async def _look_at(self, row: Row, version: PublishedVersion) -> None:
        context = _context(row.organization_id)
        try:
            async with acting_in(self.database, context) as unit:
                found = await records.watching(unit, row.id)
        except NotFound:
            return  # nobody watches it any more
        if not found.is_active:
            return
        try:
            reading: Reading | str = await self._read(found, row.organization_id, version)
        except WarehouseNotReadyError:
            return  # its organization comes with a later version
        except (ParameterError, UnknownPipelineError, TooExpensiveError, CrmError) as error:
            reading = str(error) or "Its pipeline is gone."
        async with acting_in(self.database, context) as unit:
            await _record(unit, row.id, reading)

    async def _read(self, found: Watching, organization_id: UUID, version: PublishedVersion) -> Reading:
        """The figure, counted over what its watcher sees."""
        if self.figures is None:
            raise WarehouseNotReadyError("There is no warehouse.")
        watch, now = found.watch, datetime.now(UTC)
        days = None
        if watch.period is not None:
            days = days_of(Period(watch.period), now.astimezone(found.zone).date(), found.calendar)
        question = asked(watch.metric, watch.question, days)
        viewer = Viewer(organization_id=organization_id, owner_ids=found.owners)
        compute = partial(self.figures.answer, question.definition, question.parameters, viewer=viewer, now=now)
        answer = await asyncio.get_running_loop().run_in_executor(self._threads, compute)
        number = number_in(answer, watch.measure, group=question.group, stage_id=question.stage_id)
        return Reading(
            value=None if number.value is None else float(number.value),
            currency=number.currency,
            period_from=days[0] if days else None,
            period_to=days[1] if days else None,
            definition_version=answer.version,
            published_at=version.published_at,
            through=answer.through,
        )

    async def _current(self) -> PublishedVersion | None:
        if self.figures is None:
            return None
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self.figures.current)
        except WarehouseNotReadyError:
            return None

    async def send_digests(self) -> None:
        """Queue one mail for each person whose digest is due."""
        async with self.database.unit(None) as unit:
            due = await unit.fetch(records.DUE)
        for row in due:
            async with acting_in(self.database, _context(row.organization_id)) as unit:
                zone, _ = await records.calendar_of(unit)
                watches = sorted(await records.lock_due(unit), key=lambda one: (one.user_id, one.id))
                for user_id, theirs in groupby(watches, key=lambda one: one.user_id):
                    records.mail(unit, user_id, "Sluice: your figures", telling.digest(theirs))
                records.write(unit, rules.digested(watches, now=unit.now, zone=zone))

    async def send_mails(self) -> int:
        """Send what is due; how many there were."""
        async with self.database.unit(None) as unit:
            taken = await unit.fetch(records.TAKE_MAILS)
        for row in taken:
            await self._send(row)
        return len(taken)

    async def _send(self, row: Row) -> None:
        async with acting_in(self.database, _context(row.organization_id)) as unit:
            address = await records.address_of(unit, row.user_id)
        is_over = address is None or not self.mailer.is_configured or row.attempts >= _MOST_ATTEMPTS
        if address is not None and self.mailer.is_configured:
            mail = Mail(address, row.subject, row.body, message_id=f"<{row.id}@watches.sluice.invalid>")
            try:
                await self.mailer.send(mail)
            except MailNotSentError as error:
                is_over |= error.is_final
                _log.warning("a mail about a figure was not sent: %s", error)
            else:
                is_over = True
        if is_over:
            async with self.database.unit(None) as unit:
                unit.execute(records.DROP_MAIL, organization_id=row.organization_id, id=row.id)


async def _record(unit: UnitOfWork, watch_id: UUID, reading: Reading | str) -> None:
    """Write what a look found, and tell of an alarm."""
    watch = await records.find(unit, watch_id, lock=True)
    changes: Sequence[Change] = (
        rules.failed(watch, reading) if isinstance(reading, str) else rules.recorded(watch, reading, now=unit.now)
    )
    records.write(unit, changes)
    for change in changes:
        if isinstance(change.event, _ALARMS):
            text = telling.alarm(change.after)
            records.notify(unit, change.after, text)
            if change.after.by_mail:
                records.mail(unit, change.after.user_id, f"Sluice: {change.after.name}", [text])


def _context(organization_id: UUID) -> Context:
    return Context(organization_id=organization_id, actor=ActorKind.SYSTEM, correlation_id=uuid7())
