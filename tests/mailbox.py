"""A real SMTP server that keeps what it is given, for tests of whatever sends mail."""

from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from contracts.settings import MailSettings
from runtime.process import free_port


@dataclass
class Mailbox:
    """What the server was given. `refuses` is what it answers instead of taking a mail, `refusals` for an address."""

    port: int
    mails: list[EmailMessage] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    senders: list[str] = field(default_factory=list)
    refuses: str | None = None
    knows_nobody: bool = False
    refusals: dict[str, str] = field(default_factory=dict)
    access_token: str | None = None

    @property
    def settings(self) -> MailSettings:
        """How to reach it."""
        return MailSettings(smtp_host="127.0.0.1", smtp_port=self.port, smtp_security="none")

    async def handle_RCPT(  # noqa: N802 # aiosmtpd's
        self,
        server: Any,  # noqa: ARG002 # aiosmtpd's
        session: Any,  # noqa: ARG002 # aiosmtpd's
        envelope: Any,
        address: str,
        options: list[str],
    ) -> str:
        """Take a recipient."""
        if self.knows_nobody:
            return f"550 5.1.1 <{address}>: Recipient address rejected: User unknown in local recipient table"
        if address in self.refusals:
            return self.refusals[address]
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def auth_XOAUTH2(self, server: Any, args: list[str]) -> AuthResult:  # noqa: N802, ARG002 # aiosmtpd's
        """Let in whoever has the token."""
        is_ours = b64decode(args[1]).decode().endswith(f"\x01auth=Bearer {self.access_token}\x01\x01")
        return AuthResult(success=is_ours, handled=False)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802, ARG002 # aiosmtpd's
        """Take a mail."""
        if self.refuses is not None:
            return self.refuses
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        self.raw.append(envelope.original_content)
        self.senders.append(envelope.mail_from)
        return "250 OK"


@contextmanager
def smtp_server(*, access_token: str | None = None) -> Iterator[Mailbox]:
    """A server on a free port; with a token it lets in whoever has that."""
    mailbox = Mailbox(port=free_port(), access_token=access_token)
    controller = Controller(mailbox, hostname="127.0.0.1", port=mailbox.port, auth_require_tls=access_token is None)
    controller.start()
    try:
        yield mailbox
    finally:
        controller.stop()
