"""A mailbox by IMAP: what is new in a folder, what was there before, and what there is of a day. Blocking.

A folder's mails are known by UIDs, which hold for as long as UIDVALIDITY does. `uid` is how far the future was read,
`low` how far the past. With CONDSTORE a folder whose HIGHESTMODSEQ stands still is not looked into.
"""

import imaplib
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from email import message_from_bytes
from typing import Any

from imapclient import SEEN, IMAPClient
from imapclient.exceptions import IMAPClientError, LoginError

from contracts.settings import OutgoingSettings
from ingest.channels.mail_parsing import message_id
from ingest.channels.reaching import open_socket

__all__ = ["SEEN", "IMAPClientError", "LoginError", "Mail", "MailServer", "Mailbox", "Place"]

#: Of a mail larger than this only the beginning is fetched: its words come first, files last.
_LARGEST_MAIL = 30_000_000
#: Mails that are fetched together are no larger than this together.
_LARGEST_FETCH = 30_000_000
_BATCH = 50
_SECONDS = 60.0
_HEADER = b"BODY[HEADER.FIELDS (MESSAGE-ID)]"


@dataclass(frozen=True)
class MailServer:
    """Where a server is and how to sign in."""

    host: str
    port: int
    security: str
    username: str
    password: str | None = None
    access_token: str | None = None
    #: Networks that are not public and may be reached all the same.
    allow: tuple[str, ...] = ()

    @classmethod
    def of(cls, account: dict[str, Any], secret: dict[str, str], kind: str) -> "MailServer":
        """The account's `imap` or `smtp` server."""
        settings = account["settings"]
        security = str(settings.get(f"{kind}_security", "tls"))
        usual = {"imap": {"tls": 993}, "smtp": {"tls": 465}}[kind].get(security, {"imap": 143, "smtp": 587}[kind])
        return cls(
            host=str(settings.get(f"{kind}_host", "localhost")),
            port=int(settings.get(f"{kind}_port", usual)),
            security=security,
            username=str(settings.get("username", account["address"])),
            password=secret.get("password"),
            access_token=secret.get("access_token"),
            allow=tuple(OutgoingSettings().outgoing_allow),
        )

    def connect(self, seconds: float) -> socket.socket:
        """A connection, not encrypted yet.

        Raises:
            HostRefusedError: the server is in none of the networks that may be reached.
            OSError: it does not answer.
        """
        return open_socket(self.host, self.port, allow=self.allow, seconds=seconds)

    def trust(self, settings: dict[str, Any]) -> ssl.SSLContext:
        """Whose certificates count; a server of one's own may have one that nobody signed."""
        context = ssl.create_default_context()
        if settings.get("accept_any_certificate"):
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


@dataclass(frozen=True)
class Mail:
    """A mail as the server gave it."""

    uid: int
    received_at: datetime
    raw: bytes


@dataclass
class Place:
    """How far a folder was read."""

    uidvalidity: int = 0
    uid: int = 0
    low: int = 0
    modseq: int = 0


class _Protocol(imaplib.IMAP4):
    """IMAP over a connection that was opened before."""

    def __init__(self, connection: socket.socket, host: str) -> None:
        self._connection = connection
        super().__init__(host)

    def _create_socket(self, timeout: float | None) -> socket.socket:
        del timeout
        return self._connection


class _Client(IMAPClient):  # type: ignore[misc]  # it has no types
    """IMAPClient with connections of `MailServer`; `host` stays the name that a certificate must be of."""

    def __init__(self, server: MailServer, context: ssl.SSLContext) -> None:
        self._server = server
        tls = server.security == "tls"
        super().__init__(server.host, port=server.port, ssl=tls, ssl_context=context if tls else None, timeout=_SECONDS)

    def _create_IMAP4(self) -> _Protocol:  # noqa: N802 # as IMAPClient names it
        connection = self._server.connect(_SECONDS)
        if self.ssl:
            connection = self.ssl_context.wrap_socket(connection, server_hostname=self.host)
        return _Protocol(connection, self.host)


class Mailbox:
    """A connection to a mailbox that is signed in."""

    def __init__(self, server: MailServer, context: ssl.SSLContext) -> None:
        """Connect and sign in.

        Raises:
            LoginError: the server does not accept who we say we are.
            HostRefusedError: it is in none of the networks that may be reached.
            OSError, IMAPClientError: it does not answer.
        """
        self._imap = _Client(server, context)
        if server.security == "starttls":
            self._imap.starttls(context)
        if server.access_token is not None:
            self._imap.oauth2_login(server.username, server.access_token)
        else:
            self._imap.login(server.username, server.password or "")
        self._has_idle = self._imap.has_capability("IDLE")

    def close(self) -> None:
        """End the connection."""
        with suppress(OSError, IMAPClientError):
            self._imap.logout()

    def folders(self) -> list[str]:
        """The inbox, and where mail of ours lies that was sent by other programs."""
        sent = self._imap.find_special_folder(b"\\Sent")
        return ["INBOX", *([str(sent)] if sent else [])]

    def wait(self, seconds: float) -> None:
        """Until something may be new in the folder that is open."""
        if self._has_idle:
            self._imap.idle()
            try:
                self._imap.idle_check(timeout=seconds)
            finally:
                self._imap.idle_done()

    def open(self, folder: str, place: Place) -> bool:
        """Open a folder; whether there may be anything in it that `place` does not know. Begins anew where UIDs did."""
        found = self._imap.select_folder(folder, readonly=True)
        validity, following = int(found[b"UIDVALIDITY"]), int(found.get(b"UIDNEXT", 0))
        modseq = int(found.get(b"HIGHESTMODSEQ", 0))
        if validity != place.uidvalidity:
            place.uidvalidity, place.uid, place.low, place.modseq = validity, following - 1, following, 0
        changed = not modseq or modseq != place.modseq or place.low > 1
        place.modseq = modseq
        return changed

    def new(self, place: Place) -> Iterator[list[Mail]]:
        """Mails that came since, oldest first, in batches."""
        uids = sorted(uid for uid in self._imap.search(["UID", f"{place.uid + 1}:*"]) if uid > place.uid)
        for start in range(0, len(uids), _BATCH):
            for part in self.in_parts(uids[start : start + _BATCH]):
                yield self.fetch(part)

    def older(self, place: Place, *, since: date) -> list[Mail]:
        """The newest of those that were there before; none when all are read."""
        uids = self._imap.search(["UID", f"1:{place.low - 1}", "SINCE", since]) if place.low > 1 else []
        parts = self.in_parts(sorted(uid for uid in uids if uid < place.low)[-_BATCH:])
        return self.fetch(parts[-1]) if parts else []

    def of_day(self, day: date) -> dict[int, str]:
        """The names of all mails that arrived on a day, by UID."""
        uids = self._imap.search(["SINCE", day, "BEFORE", day + timedelta(days=1)])
        found: dict[int, str] = {}
        for start in range(0, len(uids), 500):
            for uid, parts in self._imap.fetch(
                uids[start : start + 500], [b"BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)]"]
            ).items():
                head = message_from_bytes(parts.get(_HEADER, b""))
                if head.get("message-id"):
                    found[uid] = message_id(head, b"")
        for part in self.in_parts([uid for uid in uids if uid not in found]):
            for mail in self.fetch(part):
                found[mail.uid] = message_id(message_from_bytes(mail.raw), mail.raw)
        return found

    def fetch(self, uids: Sequence[int]) -> list[Mail]:
        """These mails, in the order of their UIDs. One that was deleted meanwhile is left out."""
        if not uids:
            return []
        part = f"BODY.PEEK[]<0.{_LARGEST_MAIL}>".encode()
        found = self._imap.fetch(uids, [b"INTERNALDATE", part])
        return [
            Mail(uid, _aware(parts.get(b"INTERNALDATE")), parts[b"BODY[]<0>"])
            for uid, parts in sorted(found.items())
            if parts.get(b"BODY[]<0>") is not None
        ]

    def in_parts(self, uids: Sequence[int]) -> list[list[int]]:
        """Few enough at once to be held in memory, oldest first."""
        if not uids:
            return []
        parts: list[list[int]] = [[]]
        size = 0
        for uid, said in sorted(self._imap.fetch(uids, ["RFC822.SIZE"]).items()):
            size += int(said.get(b"RFC822.SIZE", 0))
            if parts[-1] and (size > _LARGEST_FETCH or len(parts[-1]) == _BATCH):
                parts.append([])
                size = int(said.get(b"RFC822.SIZE", 0))
            parts[-1].append(uid)
        return parts


def _aware(instant: datetime | None) -> datetime:
    if instant is None:
        return datetime.now(UTC)
    return instant.astimezone(UTC)  # IMAPClient answers local time
