"""E-mail: a mailbox read by IMAP, and sent from by SMTP.

Mails are handed in before their place counts as read. Once a minute the last days are compared with what is stored, and
what is missing is handed in again. A mail whose end the server did not confirm is `unknown`: nobody gets it twice.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from functools import partial
from typing import Any, ParamSpec, TypeVar

import aiosmtplib

from ingest.channels.api import Api, Held, Json, RefusedError
from ingest.channels.mail_parsing import files_of, is_kept_whole, is_nobody, read_mail
from ingest.channels.mail_tokens import MailTokens, TokenRefusedError
from ingest.channels.mailbox_reader import IMAPClientError, LoginError, Mail, Mailbox, MailServer, Place
from ingest.channels.reaching import HostRefusedError
from ingest.channels.signing import Signer, UnusableKeyError

_log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

#: What is missing is noticed within a minute, the look at it included.
_IDLE_SECONDS, _COMPARE_SECONDS = 5.0, 45.0
_COMPARED_DAYS = 3
_TOLD_TOGETHER = 200
_SMTP_SECONDS = 30
#: Lines of 998 characters are allowed (RFC 5322). At 78 a long link in a header would be encoded, and be none any more.
#: In seven bits no server on the way has to encode a mail anew, which would break its signature.
_POLICY = SMTP.clone(max_line_length=998, cte_type="7bit")


async def connect(api: Api, held: Held) -> None:
    """Keep a mailbox connected until cancelled.

    Raises:
        RefusedError: the API refuses; the account may be another connector's.
        OSError: the mail server does not answer.
    """
    found = await api.connection(held)
    signer = await _signing(api, held, found)
    tokens = MailTokens(api, held, found)
    reader = await _opened(api, held, found, tokens)
    try:
        await api.report(held, "active")
        async with asyncio.TaskGroup() as group:
            group.create_task(reader.keep_reading())
            group.create_task(_keep_sending(api, held, found, tokens, signer))
    except* (IMAPClientError, OSError) as errors:
        raise OSError(f"the mail server: {errors.exceptions[0]}") from None
    finally:
        await reader.close()


async def _signing(api: Api, held: Held, found: Json) -> Signer | None:
    """What signs its mails, if anything; where that is no key, the account says so."""
    try:
        return Signer.of(found["account"], found["secret"])
    except UnusableKeyError as error:
        await api.report(held, "limited", reason="signing_key_unusable")
        raise OSError(str(error)) from None


async def _opened(api: Api, held: Held, found: Json, tokens: MailTokens) -> "MailReader":
    """What reads the mailbox, connected; where that is refused, the account says why."""
    try:
        reader = MailReader(api, held, {**found, "secret": await tokens.secret()})
    except TokenRefusedError:
        await api.report(held, "limited", reason="sign_in_refused")
        raise
    try:
        await reader.open()
    except LoginError:
        await reader.close()
        await api.report(held, "limited", reason="sign_in_refused")
        raise OSError("the mail server refuses the sign-in") from None
    except HostRefusedError:
        await reader.close()
        await api.report(held, "limited", reason="host_not_public")
        raise
    return reader


class MailReader:
    """What reads one mailbox. IMAP is spoken by a thread of its own."""

    def __init__(self, api: Api, held: Held, found: Json) -> None:
        self._api, self._held = api, held
        self._account: Json = found["account"]
        self._server = MailServer.of(self._account, found["secret"], "imap")
        self._places = {name: Place(**place) for name, place in found["cursor"].get("folders", {}).items()}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="imap")
        self._mailbox: Mailbox | None = None

    @property
    def _box(self) -> Mailbox:
        if self._mailbox is None:
            raise OSError("not connected")
        return self._mailbox

    async def open(self) -> None:
        """Connect and sign in."""
        context = self._server.trust(self._account["settings"])
        self._mailbox = await self._do(Mailbox, self._server, context)

    async def close(self) -> None:
        """End the connection."""
        if self._mailbox is not None:
            self._thread.submit(self._mailbox.close)
        self._thread.shutdown(wait=False)

    async def keep_reading(self) -> None:
        """Read what is new, then what was there before, and compare days, until cancelled."""
        compared_at = 0.0
        clock = asyncio.get_running_loop().time
        while True:
            is_behind = await self.read()
            if clock() - compared_at >= _COMPARE_SECONDS and not is_behind:
                await self.compare()
                compared_at = clock()
            if not is_behind:
                await self._do(self._box.wait, _IDLE_SECONDS)

    async def read(self) -> bool:
        """Read each folder once; whether older mails remain."""
        is_behind = False
        for folder in reversed(await self._do(self._box.folders)):  # the inbox last: it stays open
            place = self._places.setdefault(folder, Place())
            if await self._do(self._box.open, folder, place):
                is_behind |= await self._read_folder(place)
        return is_behind

    async def _read_folder(self, place: Place) -> bool:
        before = asdict(place)
        await self._follow(place)
        batches = self._box.new(place)
        while batch := await self._do(next, batches, None):
            await self._take_in(batch, place)
            place.uid = batch[-1].uid
            await self._keep_place()
        self._box.settle(place)
        if place.low <= 1:
            if asdict(place) != before:
                await self._keep_place()
            return False
        days = int(self._account["settings"].get("history_days", 365))
        since = (datetime.now(UTC) - timedelta(days=days)).date()
        older = await self._do(self._box.older, place, since=since)
        await self._take_in(older, place)
        place.low = older[0].uid if older else 1
        await self._keep_place()
        return place.low > 1

    async def _follow(self, place: Place) -> None:
        """Tell of followed mails that left the folder, or that somebody read in another program."""
        gone, seen = await self._do(self._box.changed, place)
        elsewhere = {name for other in self._places.values() if other is not place for name in other.names.values()}
        left = [uid for uid in gone if place.names[str(uid)] not in elsewhere]
        at = datetime.now(UTC).isoformat()
        kinds = [*(("seen", uid) for uid in seen), *(("gone", uid) for uid in left)]
        changes = [{"change": kind, "provider_id": place.names[str(uid)], "at": at} for kind, uid in kinds]
        for start in range(0, len(changes), _TOLD_TOGETHER):
            await self._api.change(self._held, changes[start : start + _TOLD_TOGETHER])
        place.forget(gone)
        place.unseen = [uid for uid in place.unseen if uid not in seen]

    async def compare(self) -> list[str]:
        """Compare the last days with what is stored, and hand in what is missing; answers what was."""
        today = datetime.now(UTC).date()
        healed: list[str] = []
        for day in (today - timedelta(days=back) for back in range(_COMPARED_DAYS)):
            healed += await self._compare_day(day)
        return healed

    async def _compare_day(self, day: date) -> list[str]:
        known: dict[str, tuple[str, int]] = {}
        copies = 0
        for folder in reversed(await self._do(self._box.folders)):
            await self._do(self._box.open, folder, Place())
            for uid, name in (await self._do(self._box.of_day, day)).items():
                copies += name in known
                known.setdefault(name, (folder, uid))
        filtered = {"copy": copies} if copies else {}
        missing = await self._api.compare_day(self._held, day.isoformat(), list(known), filtered=filtered)
        for folder in {known[name][0] for name in missing}:
            uids = [known[name][1] for name in missing if known[name][0] == folder]
            await self._do(self._box.open, folder, Place())
            for part in await self._do(self._box.in_parts, uids):
                await self._take_in(await self._do(self._box.fetch, part), self._places.setdefault(folder, Place()))
        if missing:
            _log.warning("account %s: %s mails of %s were missing", self._held.id, len(missing), day)
            await self._api.compare_day(self._held, day.isoformat(), list(known), filtered=filtered)
        return missing

    async def _take_in(self, mails: list[Mail], place: Place) -> None:
        address = str(self._account["address"])
        # by the thread: a mail of many parts takes seconds, in which the lease has to be renewed
        read = [
            await self._do(read_mail, one.raw, ours=address, received_at=one.received_at) | {"is_seen": one.is_seen}
            for one in mails
        ]
        taken = {one["provider_id"]: one["message_id"] for one in await self._api.take_in(self._held, read)}
        for mail, message in zip(mails, read, strict=True):
            is_ours = message["direction"] == "out"
            place.follow(mail.uid, message["provider_id"], is_seen=mail.is_seen or is_ours)
            if message.get("attachments") and not is_kept_whole(mail.raw) and message["provider_id"] in taken:
                await self._api.keep_files(taken[message["provider_id"]], await self._do(files_of, mail.raw))

    async def _keep_place(self) -> None:
        places = {name: asdict(place) for name, place in self._places.items()}
        await self._api.keep_cursor(self._held, {"folders": places})

    async def _do(self, work: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, partial(work, *given, **named))


async def _keep_sending(api: Api, held: Held, found: Json, tokens: MailTokens, signer: Signer | None) -> None:
    async for jobs in api.turns(held, limit=1):  # what is claimed when we die is unknown: no more than is under way
        for job in jobs:
            try:
                files = await api.files_of(job)
            except RefusedError as refused:
                await api.told(held, job, "failed", reason=refused.reason)
                continue
            mail = compose(job, sender=found["account"]["address"], files=files)
            await api.told(held, job, **await _sent(mail, job["address"], found["account"], tokens, signer))


async def _sent(mail: EmailMessage, address: str, account: Json, tokens: MailTokens, signer: Signer | None) -> Json:
    try:
        server = MailServer.of(account, await tokens.secret(), "smtp")
    except OSError:  # no token: the mail certainly did not go
        return {"state": "queued", "seconds": 60}
    return await deliver(server, mail, address, server.trust(account["settings"]), signer=signer)


def compose(job: Json, *, sender: str, files: Sequence[tuple[Json, bytes]] = ()) -> EmailMessage:
    """A send as a mail."""
    mail = EmailMessage(policy=_POLICY)
    mail["From"] = sender
    mail["To"] = job["address"]
    mail["Subject"] = " ".join((job["subject"] or "").split())
    mail["Date"] = formatdate(localtime=False)
    mail["Message-ID"] = job["provider_id"]
    if job["references"]:
        mail["References"] = " ".join(job["references"][-20:])
        mail["In-Reply-To"] = job["references"][-1]
    for name, value in job["headers"].items():
        mail[name] = value
    mail.set_content(job["text"])
    if job["html"]:
        mail.add_alternative(job["html"], subtype="html")
    for file, content in files:
        kind, _, subtype = file["type"].partition("/")
        # a mail within a mail, or parts, would be read as such: they go as any other bytes
        is_plain = subtype and kind not in {"message", "multipart"}
        main, sub = (kind, subtype) if is_plain else ("application", "octet-stream")
        mail.add_attachment(content, maintype=main, subtype=sub, filename=file["name"])
    return mail


async def deliver(
    server: MailServer,
    mail: EmailMessage,
    address: str,
    context: Any,  # noqa: ANN401 # an SSLContext
    *,
    signer: Signer | None = None,
) -> Json:
    """Give a mail to the server, signed where there is a key; what became of it, as `Api.told` takes it."""
    try:
        connection = await asyncio.to_thread(server.connect, _SMTP_SECONDS)
    except HostRefusedError:
        return {"state": "failed", "reason": "host_not_public"}
    except OSError:
        return {"state": "queued", "seconds": 30}
    connection.setblocking(False)
    client = aiosmtplib.SMTP(
        hostname=server.host,
        sock=connection,
        use_tls=server.security == "tls",
        start_tls=server.security == "starttls",
        tls_context=context if server.security != "none" else None,
        timeout=_SMTP_SECONDS,
    )
    is_given = False
    try:
        async with client:
            if server.access_token is not None:
                await client.auth_xoauth2(server.username, server.access_token)
            elif server.password is not None and client.supports_extension("auth"):
                await client.login(server.username, server.password)
            await client.mail(str(mail["From"]))
            await client.rcpt(address)
            is_given = True
            await client.data(signer.sign(mail) if signer else mail.as_bytes())
        return {"state": "sent", "provider_id": str(mail["Message-ID"])}
    except aiosmtplib.SMTPAuthenticationError:
        return {"state": "queued", "seconds": 300}
    except aiosmtplib.SMTPResponseException as refused:
        if refused.code >= 500:
            return {"state": "failed", "reason": "bounced" if is_nobody(refused.message) else f"smtp_{refused.code}"}
        return {"state": "queued", "seconds": 60}
    except (aiosmtplib.SMTPException, OSError):
        # before the last step it certainly did not go; after it nobody knows
        return {"state": "unknown", "reason": "connection_lost"} if is_given else {"state": "queued", "seconds": 30}
