"""Tells operators what is wrong with the warehouse, once when it begins and once when it is over: by mail, by webhook.

What is wrong is what the status says, and events that have waited too long for their figures; who failed in Dagster is
read there.
"""

import smtplib
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage

import httpx
import psycopg

from contracts.settings import AlertSettings, MailSettings
from metrics.status import CheckState, PipelineStatus

#: Figures may be behind what was written by so much, while somebody writes.
LATE = timedelta(minutes=10)

_SECONDS = 20
_MOST_TOLD = 20

_WAITING = "select min(recorded_at) from event_log where recorded_at > %s and recorded_at < %s"


def what_is_wrong(status: PipelineStatus, *, waiting_since: datetime | None) -> dict[str, str]:
    """Each thing that is wrong by a key that stays while it is, and what it is in words."""
    wrong = {f"check {one.name}": one.message for one in status.checks if one.status is CheckState.FAILED}
    wrong |= {f"group {one.name}": one.error for one in status.groups if one.error}
    if waiting_since is not None:
        wrong["freshness"] = f"What was written at {waiting_since:%Y-%m-%d %H:%M} UTC is in no figure yet."
    return wrong


def waiting_since(event_log_url: str, status: PipelineStatus, now: datetime) -> datetime | None:
    """Since when an event has waited for longer than it should to be in the figures; None where none has."""
    reached = [group.through for group in status.groups if group.through and group.name == "events"]
    through = reached[0] if reached else datetime(2000, 1, 1, tzinfo=UTC)
    with psycopg.connect(event_log_url, connect_timeout=5) as connection:
        row = connection.execute(_WAITING, (through, now - LATE)).fetchone()
    return row[0] if row else None


def news(before: Mapping[str, str], wrong: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """What began and what is over, in lines."""
    begun = [f"{key}: {text}" for key, text in wrong.items() if key not in before]
    over = [key for key in before if key not in wrong]
    return begun, over


def tell(begun: list[str], over: list[str], settings: AlertSettings, mail: MailSettings) -> None:
    """Tell whoever is named. A way that fails raises, so that it is tried again with the next look.

    Raises:
        OSError, smtplib.SMTPException: the mail could not be handed over.
        httpx.HTTPError: the webhook did not take it.
    """
    lines = [*begun[:_MOST_TOLD], *(f"over: {key}" for key in over[:_MOST_TOLD])]
    if (more := len(begun) + len(over) - len(lines)) > 0:
        lines.append(f"and {more} more; see Dagster")
    subject = f"Sluice: {len(begun)} wrong" if begun else "Sluice: all is well again" if over else ""
    if not subject:
        return
    if settings.alert_mail and mail.smtp_host:
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = mail.smtp_sender, settings.alert_mail, subject
        message.set_content("\n\n".join(lines))
        with _server(mail) as server:
            server.send_message(message)
    if settings.alert_webhook_url is not None:
        body = {"text": "\n".join([subject, *lines]), "begun": begun, "over": over}
        with httpx.Client(timeout=_SECONDS, follow_redirects=False) as client:
            client.post(settings.alert_webhook_url.get_secret_value(), json=body).raise_for_status()


@contextmanager
def _server(mail: MailSettings) -> Iterator[smtplib.SMTP]:
    context = ssl.create_default_context()
    if mail.smtp_security == "tls":
        server: smtplib.SMTP = smtplib.SMTP_SSL(str(mail.smtp_host), mail.smtp_port, timeout=_SECONDS, context=context)
    else:
        server = smtplib.SMTP(str(mail.smtp_host), mail.smtp_port, timeout=_SECONDS)
    with server:
        if mail.smtp_security == "starttls":
            server.starttls(context=context)
        if mail.smtp_username and mail.smtp_password:
            server.login(mail.smtp_username, mail.smtp_password.get_secret_value())
        yield server
