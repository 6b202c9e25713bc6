"""Mail as a message of a conversation. Pure, and never an error: what cannot be understood is taken in as it is.

CPython's strict policies raise on headers of strangers, so the lenient one reads, and every decoding has a fall-back.
"""

import hashlib
import re
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.errors import HeaderParseError
from email.header import Header, decode_header
from email.message import Message
from email.parser import BytesHeaderParser
from email.utils import getaddresses, parsedate_to_datetime
from typing import Any

Json = dict[str, Any]

_ID = re.compile(r"<[^<>\s]{1,990}>")
_ADDRESS = re.compile(r"[^\s<>(),;:\"]{1,64}@[^\s<>(),;:\"]{1,255}")
_STATUS = re.compile(r"(\d\.\d{1,3}\.\d{1,3})")
_NOBODY = re.compile(r"\s*5\.1\.(?:[1236]|10)\b")
_LONGEST_TEXT, _LONGEST_HTML, _LONGEST_RAW = 100_000, 400_000, 600_000
#: Marks that change in which direction others are read, and those that cannot be seen.
_TURNS = re.compile("[\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
_EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
_AUTOMATIC = ("x-autoreply", "x-autorespond", "x-auto-reply")


def read_mail(raw: bytes, *, ours: str, received_at: datetime) -> Json:
    """A mail as the API takes it in. `ours` is the account's address: what comes from it is ours."""
    try:
        return _read(raw, ours, received_at)
    except Exception:  # noqa: BLE001 # CPython's parsers raise whatever they like, and one mail must stop no other
        head = BytesHeaderParser().parsebytes(raw[:_LONGEST_RAW])
        name = message_id(head, raw)
        return {
            "provider_id": name,
            "thread_key": name,
            "address": "unknown@unknown.invalid",
            "direction": "in",
            "text": "This mail cannot be read here. Open it in its mailbox.",
            "occurred_at": received_at.isoformat(),
            "payload": _payload(raw),
        }


def _payload(raw: bytes) -> Json:
    return {"raw_base64": b64encode(raw[:_LONGEST_RAW]).decode(), "size": len(raw)}


def _read(raw: bytes, ours: str, received_at: datetime) -> Json:
    mail = message_from_bytes(raw)
    provider_id = message_id(mail, raw)
    senders = _addresses(mail, "from")
    recipients = [*_addresses(mail, "to"), *_addresses(mail, "cc")]
    is_ours = any(address.lower() == ours.lower() for _, address in senders)
    others = recipients if is_ours else [*_addresses(mail, "reply-to"), *senders]
    other = next((address for _, address in others if address and address.lower() != ours.lower()), None)
    named = references(mail)
    text, html = _body(mail)
    bounced = None if is_ours else _bounced(mail)
    if bounced and bounced["provider_id"] not in named:
        named.append(bounced["provider_id"])
    found: Json = {
        "provider_id": provider_id,
        "thread_key": named[0] if named else provider_id,
        "address": (other or (senders[0][1] if senders else "") or "unknown@unknown.invalid")[:320],
        "direction": "out" if is_ours else "in",
        "kind": "bounce" if bounced else "auto_reply" if _is_automatic(mail) else "message",
        "sender": _shown(senders[0])[:640] if senders else None,
        "subject": _header(mail, "subject")[:1000] or None,
        "text": text[:_LONGEST_TEXT],
        "html": html[:_LONGEST_HTML] or None,
        "occurred_at": _instant(mail, received_at).isoformat(),
        "to": [_shown(one)[:640] for one in recipients[:500]],
        "references": named[-200:],
        "attachments": _listed(mail, raw),
        "payload": _payload(raw),
    }
    if bounced:
        found["bounced"] = bounced
    return found


def is_kept_whole(raw: bytes) -> bool:
    """Whether the mail as it came is kept beside the message; of a longer one its files are kept by themselves."""
    return len(raw) <= _LONGEST_RAW


def files_of(raw: bytes) -> list[tuple[str, bytes]]:
    """The files of a mail: what they are called, and what is in them."""
    found = []
    for _, part in _numbered(message_from_bytes(raw)):
        content = part.get_payload(decode=True) if _is_listed(part) else None
        if isinstance(content, bytes) and content:
            found.append((_shown_name(part), content))
    return found[:200]


def message_id(mail: Message, raw: bytes) -> str:
    """What the mail is known by; one without a name is known by its bytes."""
    given = _ID.search(_plain(mail.get("message-id")))
    return given[0] if given else f"<{hashlib.sha256(raw).hexdigest()[:40]}@no-message-id.invalid>"


def references(mail: Message) -> list[str]:
    """The mails that it answers, the first of the thread first."""
    found = _ID.findall(_plain(mail.get("references"))) + _ID.findall(_plain(mail.get("in-reply-to")))
    return list(dict.fromkeys(found))


def _plain(value: object) -> str:
    return "" if value is None else str(value)


def _header(mail: Message, name: str) -> str:
    """A header's words, whatever they are written in."""
    value = mail.get(name)
    if value is None:
        return ""
    try:
        parts = decode_header(value)
    except (HeaderParseError, ValueError, LookupError):
        return _clean(_plain(value))
    words = "".join(_decoded(part, charset) if isinstance(part, bytes) else part for part, charset in parts)
    return " ".join(_clean(words).split())


def _decoded(content: bytes, charset: str | None) -> str:
    """Text in the charset that it names, else in the likeliest one."""
    for one in (charset, "utf-8", "cp1252"):
        try:
            return content.decode(one or "utf-8")
        except (LookupError, ValueError):
            continue
    return content.decode("latin-1")


def _clean(text: str) -> str:
    """Text that can be stored: no NUL and no half of a pair."""
    return text.encode("utf-8", "replace").decode().replace("\x00", "\ufffd")


def _addresses(mail: Message, name: str) -> list[tuple[str, str]]:
    values = [_eight_bit(value) for value in mail.get_all(name, [])]
    try:
        given = getaddresses(values)
    except RecursionError:  # of comments within comments
        given = [("", one) for value in values for one in _ADDRESS.findall(value)]
    found = []
    for shown, address in given:
        named = " ".join("".join(_part(part) for part in _parts(shown)).split())
        if address.strip():
            found.append((_straight(_clean(named)), _clean(address.strip())))
    return found


def _eight_bit(value: str | Header) -> str:
    """A header that somebody wrote without encoding it; encoded words stay as they are, for they may hold commas."""
    return "".join(_part(part) for part in _parts(value)) if isinstance(value, Header) else _plain(value)


def _parts(value: str | Header) -> list[tuple[Any, str | None]]:
    try:
        return list(decode_header(value))
    except (HeaderParseError, ValueError, LookupError):
        return [(_plain(value), None)]


def _part(part: tuple[Any, str | None]) -> str:
    content, charset = part
    return _decoded(content, charset) if isinstance(content, bytes) else str(content)


def _shown(person: tuple[str, str]) -> str:
    name, address = person
    return f"{name} <{address}>" if name else address


def _body(mail: Message) -> tuple[str, str]:
    """Its words as text and as HTML; where there are none, those of files that are text."""
    leaves = list(_leaves(mail))
    text, html = _words([part for part in leaves if not _is_file(part)])
    return (text, html) if text or html else _words(leaves)


def _words(parts: list[Message]) -> tuple[str, str]:
    texts: list[str] = []
    htmls: list[str] = []
    for part in parts:
        kind = part.get_content_type()
        if kind == "text/html":
            htmls.append(_content(part))
        elif kind.startswith(("text/", "multipart/")) or kind == "message/delivery-status":  # broken parts are text
            texts.append(_content(part))
    return "\n".join(text for text in texts if text.strip()).strip(), "\n".join(htmls[:3])


def _leaves(mail: Message) -> Iterator[Message]:
    """Parts that hold something; a mail within a mail is read as well, a few deep."""
    return (part for _, part in _numbered(mail))


def _numbered(mail: Message) -> Iterator[tuple[str, Message]]:
    """The same, each by its number as IMAP counts: 2.1 is the first part of the second."""
    stack: list[tuple[tuple[int, ...], Message]] = [((), mail)]
    while stack:
        number, part = stack.pop()
        inside = part.get_payload()
        if isinstance(inside, list) and len(number) < 20:
            parts = [((*number, place), one) for place, one in enumerate(inside, 1) if isinstance(one, Message)]
            stack += reversed(parts)
        else:
            yield ".".join(map(str, number)), part


def _content(part: Message) -> str:
    try:
        content = part.get_payload(decode=True)
    except (ValueError, LookupError, AssertionError):
        content = None
    if isinstance(content, bytes):
        return _clean(_decoded(content, _charset(part)))
    inside = part.get_payload()
    return _clean(inside) if isinstance(inside, str) else ""


def _charset(part: Message) -> str | None:
    try:
        return part.get_content_charset()
    except (ValueError, LookupError, TypeError):
        return None


def _is_file(part: Message) -> bool:
    return part.get_content_disposition() == "attachment" or _file_name(part) is not None


def _file_name(part: Message) -> str | None:
    try:
        name = part.get_filename()
    except (ValueError, LookupError, TypeError):
        return "unreadable name"
    if name is None:
        return None
    return " ".join("".join(_part(one) for one in _parts(name)).split()) or None


def _listed(mail: Message, raw: bytes) -> list[Json]:
    """What the message says of its files: where in the mail they are, as long as the whole of it is kept."""
    found = list(_attachments(mail))[:200]
    return found if is_kept_whole(raw) else [one | {"part": None} for one in found]


def _attachments(mail: Message) -> Iterator[Json]:
    for number, part in _numbered(mail):
        if _is_listed(part):
            content = part.get_payload(decode=True)
            size = len(content) if isinstance(content, bytes) else len(_plain(part.get_payload()))
            kind = _clean(part.get_content_type())[:200]
            yield {"name": _shown_name(part), "type": kind, "size": size, "part": number or None}


def _is_listed(part: Message) -> bool:
    return _is_file(part) or part.get_content_type().partition("/")[0] not in {"text", "message", "multipart"}


def _shown_name(part: Message) -> str:
    return _straight(_clean(_file_name(part) or part.get_content_type()))[:300]


def _straight(words: str) -> str:
    """Words without the marks that turn others round: `exe.fdp`, written from the right, reads as a document."""
    return _TURNS.sub("", words)


def _instant(mail: Message, received_at: datetime) -> datetime:
    """When it was written, if that can be true."""
    try:
        said = parsedate_to_datetime(_plain(mail.get("date")))
    except (ValueError, TypeError, IndexError, OverflowError):
        return received_at
    said = said if said.tzinfo else said.replace(tzinfo=UTC)
    try:
        return said.astimezone(UTC) if _EARLIEST < said <= received_at + timedelta(days=1) else received_at
    except OverflowError:
        return received_at


def _is_automatic(mail: Message) -> bool:
    said = _plain(mail.get("auto-submitted")).strip().lower()
    if said and not said.startswith("no"):
        return True
    return any(mail.get(name) is not None for name in _AUTOMATIC) or (
        _plain(mail.get("precedence")).strip().lower() == "auto_reply"
    )


def is_nobody(answer: str) -> bool:
    """Whether a server's answer says that there is no such mailbox (RFC 3463).

    Any other refusal is about the mail, a full mailbox, or us: 5.1.7, 5.1.8 and 5.7.1 are about who sends, and would
    end writing to everybody whom a blocked account wrote to.
    """
    return _NOBODY.match(answer) is not None


def _bounced(mail: Message) -> Json | None:
    """What a delivery report (RFC 3464) says came back; None for any other mail, also for one about a delay."""
    if mail.get_content_type() != "multipart/report" or mail.get_param("report-type") != "delivery-status":
        return None
    fields = [field for part in mail.walk() for field in part.items() if part is not mail]
    said = {name.lower(): _plain(value).strip() for name, value in reversed(fields)}
    original = next((found for one in _originals(mail) if (found := _ID.search(one))), None)
    if said.get("action", "").lower() != "failed" or original is None:
        return None
    status = _STATUS.search(said.get("status", ""))
    recipient = said.get("final-recipient", said.get("original-recipient", "")).partition(";")[2].strip()
    code = status[1] if status else ""
    return {
        "provider_id": original[0],
        "address": recipient[:320] or None,
        "status": code,
        "is_hard": is_nobody(code),
    }


def _originals(mail: Message) -> Iterator[str]:
    """Message-IDs of what came back: as a mail, or as its header alone."""
    for part in mail.walk():
        if part is mail:
            continue
        if part.get_content_type() == "text/rfc822-headers":
            yield _plain(message_from_bytes(_content(part).encode()).get("message-id"))
        elif part.get("message-id") is not None and part.get_content_type() != "message/rfc822":
            yield _plain(part.get("message-id"))
