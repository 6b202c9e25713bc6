"""A mailbox by IMAP: what is new in a folder, what was there before, and what there is of a day. Blocking.

A folder's mails are known by UIDs, which hold for as long as UIDVALIDITY does. `uid` is how far the future was read,
`low` how far the past. With CONDSTORE a folder whose HIGHESTMODSEQ stands still is not looked into. With QRESYNC
opening a folder also tells what vanished from it and what was read there since; without it both are asked for.
"""

import imaplib
import re
import socket
import ssl
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from email import message_from_bytes
from typing import Any

from imapclient import SEEN, IMAPClient
from imapclient.exceptions import IMAPClientError, LoginError

from contracts.settings import OutgoingSettings
from ingest.channels.mail_parsing import message_id
from ingest.channels.reaching import open_socket

__all__ = ["IMAPClientError", "LoginError", "Mail", "MailServer", "Mailbox", "Place"]

#: Of a mail larger than this only the beginning is fetched: its words come first, files last.
_LARGEST_MAIL = 30_000_000
#: Mails that are fetched together are no larger than this together.
_LARGEST_FETCH = 30_000_000
_BATCH = 50
_SECONDS = 60.0
_HEADER = b"BODY[HEADER.FIELDS (MESSAGE-ID)]"
#: So many of a folder's newest mails are remembered by their UIDs: what becomes of them is noted.
_FOLLOWED = 500
_UID, _FLAGS = re.compile(rb"\bUID (\d+)"), re.compile(rb"\bFLAGS \(([^)]*)\)")


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
    is_seen: bool = False


@dataclass
class Place:
    """How far a folder was read; the names of its newest mails by their UIDs, and which of them nobody has read."""

    uidvalidity: int = 0
    uid: int = 0
    low: int = 0
    modseq: int = 0
    names: dict[str, str] = field(default_factory=dict)
    unseen: list[int] = field(default_factory=list)

    def follow(self, uid: int, name: str, *, is_seen: bool) -> None:
        """Remember a mail for as long as it is among the newest."""
        self.names[str(uid)] = name
        if not is_seen and uid not in self.unseen:
            self.unseen.append(uid)
        if len(self.names) > _FOLLOWED:
            self.forget({min(map(int, self.names))})

    def forget(self, uids: Collection[int]) -> None:
        """Follow these mails no longer."""
        for uid in uids:
            self.names.pop(str(uid), None)
        self.unseen = [uid for uid in self.unseen if uid not in uids]


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

    def resync_folder(self, folder: str, place: Place) -> dict[bytes, Any]:
        """Open a folder as `select_folder` does; the answer also tells what became of the mails that are followed."""
        known = sorted(map(int, place.names))
        since = f"(QRESYNC ({place.uidvalidity} {place.modseq} {known[0]}:{known[-1]}))"
        protocol = self._imap  # what follows is imaplib's `select`, which takes no parameters
        protocol.untagged_responses = {}
        protocol.is_readonly = True
        status, said = protocol._simple_command("EXAMINE", self._normalise_folder(folder), since)
        self._checkok("examine", status, said)
        protocol.state = "SELECTED"
        found: dict[bytes, Any] = self._process_select_response(protocol.untagged_responses)
        return found


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
        self._has_qresync = self._enabled(b"QRESYNC")
        self._modseq = 0
        self._told: dict[bytes, Any] | None = None

    def _enabled(self, extension: bytes) -> bool:
        if not (self._imap.has_capability("ENABLE") and self._imap.has_capability(extension.decode())):
            return False
        with suppress(IMAPClientError):
            return extension in self._imap.enable(extension)
        return False

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
        can_tell = self._has_qresync and place.modseq > 0 and bool(place.names)
        found = self._imap.resync_folder(folder, place) if can_tell else self._imap.select_folder(folder, readonly=True)
        validity, following = int(found[b"UIDVALIDITY"]), int(found.get(b"UIDNEXT", 0))
        self._modseq, self._told = int(found.get(b"HIGHESTMODSEQ", 0)), found if can_tell else None
        if validity != place.uidvalidity:
            place.uidvalidity, place.uid, place.low, place.modseq = validity, following - 1, following, 0
            place.names, place.unseen = {}, []
        return not self._modseq or self._modseq != place.modseq or place.low > 1

    def changed(self, place: Place) -> tuple[list[int], list[int]]:
        """Of the followed mails of the folder that is open, those that are no longer in it, and those read since."""
        known = sorted(map(int, place.names))
        if not known:
            return [], []
        if self._told is not None:
            spans = [span for line in self._told.get(b"VANISHED", ()) for span in _spans(line)]
            gone = [uid for uid in known if any(low <= uid <= high for low, high in spans)]
            told = self._told.get(b"FETCH", ())
            seen = {uid for line in told if (uid := _uid_of(line)) is not None and SEEN in _flags_of(line)}
        else:
            there = {*self._imap.search(["UID", f"{known[0]}:{known[-1]}"])}
            gone = [uid for uid in known if uid not in there]
            flags = self._imap.fetch([uid for uid in place.unseen if uid in there], ["FLAGS"])
            seen = {uid for uid, said in flags.items() if SEEN in said.get(b"FLAGS", ())}
        return gone, [uid for uid in place.unseen if uid in seen and uid not in gone]

    def settle(self, place: Place) -> None:
        """What the folder told when it was opened has been taken in."""
        place.modseq = self._modseq

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
        found = self._imap.fetch(uids, [b"INTERNALDATE", b"FLAGS", part])
        return [
            Mail(uid, _aware(parts.get(b"INTERNALDATE")), parts[b"BODY[]<0>"], SEEN in parts.get(b"FLAGS", ()))
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


def _spans(line: bytes) -> list[tuple[int, int]]:
    """The UIDs of a line of VANISHED: `(EARLIER) 41,43:116`."""
    spans = []
    for span in line.rpartition(b" ")[2].split(b","):
        low, _, high = span.partition(b":")
        if low.isdigit() and (high or low).isdigit():
            spans.append((int(low), int(high or low)))
    return spans


def _uid_of(line: Any) -> int | None:  # noqa: ANN401 # bytes, or a pair where there is a literal
    found = _UID.search(line) if isinstance(line, bytes) else None
    return int(found[1]) if found else None


def _flags_of(line: bytes) -> list[bytes]:
    found = _FLAGS.search(line)
    return found[1].split() if found else []


def _aware(instant: datetime | None) -> datetime:
    if instant is None:
        return datetime.now(UTC)
    return instant.astimezone(UTC)  # IMAPClient answers local time
