"""What a model wrote, made fit to be looked at and sent: plain text, links to allowed hosts alone, no instructions."""

import re
import unicodedata
from collections.abc import Collection, Iterable
from urllib.parse import urlsplit

from api.drafts.prompts import LONGEST_TEXT

REMOVED = "[link removed]"

_MARKDOWN_LINK = re.compile(r"!?\[([^\]\n]*)\]\(\s*<?([^)\s>]+)>?[^)]*\)")
_TAG = re.compile(r"</?[A-Za-z][^<>]*>")
_URL = re.compile(
    r"(?:[a-z][a-z0-9+.-]*://|www\.)[^\s<>\"')\]]+|\b(?:javascript|data|mailto|file):[^\s<>\"'\]]+", re.IGNORECASE
)
_BARE_HOST = re.compile(r"(?<![\w@.-])(?:[a-z0-9-]+\.)+(?:[a-z]{2,24})(?:/[^\s<>\"')\]]*)", re.IGNORECASE)


_QUOTED = re.compile(r"\s*>")
_NO_HEX = re.compile(r"[^0-9a-f]")
#: A part of the mark that long is no coincidence.
_TELLING = 8


class UnusableError(ValueError):
    """What the model wrote cannot be shown: says why."""


def clean(text: str, *, canary: str, hosts: Collection[str]) -> str:
    """The text as a person may see it.

    Raises:
        UnusableError: it is empty, or repeats its instructions.
    """
    if repeats(text, canary):
        raise UnusableError("The model repeated its instructions; its text was thrown away.")
    kept = tidy(text, hosts=hosts)
    if not kept:
        raise UnusableError("The model wrote nothing.")
    return kept


def repeats(text: str, canary: str) -> bool:
    """Whether a text holds the mark or a telling part of it, spelled out or in capitals as well."""
    bare = _NO_HEX.sub("", text.lower())
    parts = range(max(1, len(canary) - _TELLING + 1))
    return any(canary[start : start + _TELLING] in bare for start in parts)


def tidy(text: str, *, hosts: Collection[str]) -> str:
    """Plain text, without links to other hosts."""
    kept = "".join(one for one in text if one in "\n\t" or unicodedata.category(one)[0] != "C")
    kept = _MARKDOWN_LINK.sub(lambda found: f"{found.group(1)} {found.group(2)}".strip(), kept)
    kept = _TAG.sub("", kept)
    kept = _URL.sub(lambda found: _allowed(found.group(), hosts), kept)
    kept = _BARE_HOST.sub(lambda found: _allowed(found.group(), hosts), kept)
    return kept.strip()[:LONGEST_TEXT]


def _allowed(link: str, hosts: Collection[str]) -> str:
    whole = link if "://" in link else f"https://{link}"
    try:
        parts = urlsplit(whole)
        host = (parts.hostname or "").rstrip(".").lower()
    except ValueError:
        return REMOVED
    is_web = parts.scheme.lower() in ("http", "https") and parts.username is None
    return link if is_web and host in hosts else REMOVED


def hosts_of(setting: str, said: Iterable[tuple[bool, str]]) -> frozenset[str]:
    """Hosts that links may lead to: those of the setting, and those that we wrote of before the other side did.

    `said` is what was written, oldest first, and whether by us. What we only quote is theirs.
    """
    found = {host.strip().lower() for host in setting.split(",") if host.strip()}
    theirs = set[str]()
    for is_ours, text in said:
        if is_ours:
            found |= _hosts_in("\n".join(line for line in text.splitlines() if not _QUOTED.match(line))) - theirs
        else:
            theirs |= _hosts_in(text) - found
    return frozenset(found)


def _hosts_in(text: str) -> set[str]:
    found = set[str]()
    for link in (*_URL.findall(text), *_BARE_HOST.findall(text)):
        try:
            parts = urlsplit(link if "://" in link else f"https://{link}")
        except ValueError:
            continue
        if parts.scheme.lower() in ("http", "https") and parts.hostname and parts.username is None:
            found.add(parts.hostname.rstrip(".").lower())
    return found
