"""Mail that Sluice itself writes to people: links to prove an address, to set a password, to join an organization.

Not the mail of conversations: that goes through the mailboxes that people connect. Where no server is configured
(`SLUICE_SMTP_HOST`), nothing is sent, and the operator gets links from the command line.
"""

import asyncio
import logging
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

import aiosmtplib

from contracts.settings import MailSettings
from contracts.texts import unturned

_SECONDS, _CLOSING_SECONDS = 20, 5
_PAUSES = (2, 10, 60, 180)
_log = logging.getLogger(__name__)


class MailNotSentError(Exception):
    """The server was not reached, or did not take the mail. `is_final` says whether another attempt is pointless."""

    def __init__(self, reason: str, *, is_final: bool = False) -> None:
        super().__init__(reason)
        self.is_final = is_final


@dataclass(frozen=True)
class Mail:
    """One mail in plain text."""

    to: str
    subject: str
    text: str
    #: Names the mail for ever, so that a repetition is recognizable.
    message_id: str | None = None


class Post:
    """Sends mails after the answer: whoever asks learns nothing from how long it takes, and waits for no server.

    A mail that cannot be sent is tried again for a few minutes. One that is lost with the process is asked for again.
    """

    def __init__(self, mailer: "Mailer") -> None:
        self._mailer = mailer
        self._sending = set[asyncio.Task[None]]()

    @property
    def is_configured(self) -> bool:
        """Whether anything is sent at all."""
        return self._mailer.is_configured

    def send(self, mail: Mail) -> None:
        """Have a mail sent soon; nothing happens without a server."""
        if self.is_configured:
            task = asyncio.create_task(self._send(mail))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def close(self) -> None:
        """Wait a moment for what is being sent."""
        if self._sending:
            await asyncio.wait(self._sending, timeout=_CLOSING_SECONDS)

    async def _send(self, mail: Mail) -> None:
        for pause in (*_PAUSES, None):
            try:
                await self._mailer.send(mail)
            except MailNotSentError as error:
                if pause is None or error.is_final:
                    _log.error("a mail was not sent: %s", error)
                    return
                await asyncio.sleep(pause)
            else:
                return


class Mailer:
    """Hands mails to the configured server, one connection each."""

    def __init__(self, settings: MailSettings) -> None:
        self._settings = settings

    @property
    def is_configured(self) -> bool:
        """Whether there is a server to hand mails to."""
        return self._settings.smtp_host is not None

    async def send(self, mail: Mail) -> None:
        """Hand over one mail; done when the server has taken it.

        Raises:
            MailNotSentError: it has not, or nobody knows.
        """
        settings = self._settings
        if settings.smtp_host is None:
            raise MailNotSentError("no mail server is configured (SLUICE_SMTP_HOST)", is_final=True)
        password = settings.smtp_password
        try:
            await aiosmtplib.send(
                self._written(mail),
                hostname=settings.smtp_host,
                port=settings.smtp_port,
                username=settings.smtp_username,
                password=password.get_secret_value() if password else None,
                use_tls=settings.smtp_security == "tls",
                start_tls=settings.smtp_security == "starttls",
                timeout=_SECONDS,
            )
        except aiosmtplib.SMTPResponseException as error:
            raise MailNotSentError(f"{error.code} {error.message}", is_final=error.code >= 500) from error
        except (aiosmtplib.SMTPException, OSError) as error:
            raise MailNotSentError(str(error) or type(error).__name__) from error

    def _written(self, mail: Mail) -> EmailMessage:
        message = EmailMessage()
        message["From"] = self._settings.smtp_sender
        message["To"] = Address(addr_spec=mail.to)
        message["Subject"] = unturned(" ".join(mail.subject.split()))
        message["Date"] = formatdate(localtime=False)
        message["Message-ID"] = mail.message_id or make_msgid(domain="sluice.invalid")
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(unturned(mail.text))
        return message
