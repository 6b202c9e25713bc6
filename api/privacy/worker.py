"""Deletes organizations whose time has come, and tells who owned them."""

import logging
import threading
from time import monotonic

import psycopg

from api.edge.mail import Mailer
from api.kernel.database import Database
from api.privacy.forgetting import forget_due, tell_owners
from contracts.settings import BillingSettings, FileSettings, MailSettings

_log = logging.getLogger(__name__)
_EVERY_SECONDS = 60.0


async def run(database: Database, stop: threading.Event) -> None:
    """Look every minute, until `stop` is set."""
    files_path, billing, mailer = FileSettings().files_path, BillingSettings(), Mailer(MailSettings())
    bell = database.hints.bell("deletions")  # nobody rings: only time does
    while not stop.is_set():
        try:
            await forget_due(database, files_path, billing, stop)
            await tell_owners(database, mailer)
        except (psycopg.Error, OSError) as error:
            _log.warning("deletions wait: %s", error)
        until = monotonic() + _EVERY_SECONDS
        while monotonic() < until and not stop.is_set():
            await bell.wait(until - monotonic(), stop)
