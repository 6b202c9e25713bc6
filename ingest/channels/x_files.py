"""Files at X: the picture or video that goes with a message, and those that came with one.

What is to go is uploaded in parts and may have to be worked on by X before a message can have it. What came is named by
an address of X's; only the numbers in it are believed, and asked for at the API.
"""

import asyncio
import re
from collections.abc import Mapping
from typing import Any, Protocol

import httpx

from ingest.channels.api import Json

#: X takes them in parts of this size, and works on a video for some minutes.
_PART, _LONGEST_SECONDS = 1_000_000, 300
#: A larger one is only named: whoever wants it opens X.
_LARGEST_FILE = 20_000_000
_CATEGORIES = {"image/gif": "dm_gif", "video/mp4": "dm_video"}
_TYPES = {"photo": "image/jpeg", "video": "video/mp4", "animated_gif": "video/mp4"}
_PLACE = re.compile(r"/dm/(\d{1,20})/(\d{1,20})/([A-Za-z0-9_.-]{1,200})(?:[:?]|$)")


class Asking(Protocol):
    """X's API as a signed-in account has it."""

    async def ask(self, method: str, path: str, **request: Any) -> httpx.Response:  # noqa: ANN401 # httpx's own
        """An answer, whatever it says."""


class NotTakenError(Exception):
    """X does not take a file; `reason` is what the send is told."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


async def upload(client: Asking, file: Json, content: bytes) -> str:
    """Give X a file; answers the id by which a message has it.

    Raises:
        NotTakenError: X does not want it.
        httpx.HTTPError, OSError: X does not answer; nothing was sent.
    """
    kind = file["type"]
    begin = {"media_category": _CATEGORIES.get(kind, "dm_image"), "media_type": kind, "total_bytes": len(content)}
    path = "/2/media/upload"
    media = (await _said(client, "POST", f"{path}/initialize", json=begin))["id"]
    for place, start in enumerate(range(0, len(content), _PART)):
        part = {"media": (file["name"], content[start : start + _PART])}
        await _said(client, "POST", f"{path}/{media}/append", data={"segment_index": str(place)}, files=part)
    told = await _said(client, "POST", f"{path}/{media}/finalize")
    waited = 0
    while (work := told.get("processing_info") or {}).get("state") in ("pending", "in_progress"):
        seconds = max(1, int(work.get("check_after_secs") or 1))
        waited += seconds
        if waited > _LONGEST_SECONDS:
            raise NotTakenError("file_not_ready")
        await asyncio.sleep(seconds)
        told = await _said(client, "GET", path, params={"media_id": media, "command": "STATUS"})
    if work.get("state") == "failed":
        raise NotTakenError("file_not_taken")
    return str(media)


async def _said(client: Asking, method: str, path: str, **request: Any) -> Json:  # noqa: ANN401 # httpx's own
    answer = await client.ask(method, path, **request)
    if 400 <= answer.status_code < 500:
        raise NotTakenError(f"file_http_{answer.status_code}")
    if answer.status_code >= 500:
        raise OSError(f"X answers {answer.status_code}")
    try:
        data = answer.json().get("data") or {}
    except (ValueError, AttributeError):
        raise OSError("X answers what is no JSON") from None
    if path.endswith("/append"):
        return {}
    if not (isinstance(data, dict) and str(data.get("id", "")).isdigit()):
        raise OSError("X does not say what the file is called")
    return data


def described(event: Json, media: Mapping[str, Json]) -> list[Json]:
    """What files of an event are, without what is in them."""
    return [
        {
            "name": _name(key, media.get(key, {})),
            "type": _TYPES.get(media.get(key, {}).get("type", ""), "unknown"),
            "size": 0,
        }
        for key in keys_of(event)
    ]


def keys_of(event: Json) -> list[str]:
    """What X calls the files of an event."""
    keys = (event.get("attachments") or {}).get("media_keys") or ()
    return [key for key in keys if isinstance(key, str)]


def _name(key: str, media: Json) -> str:
    place = _PLACE.search(_address(media))
    return (place[3] if place else key)[:300]


def _address(media: Json) -> str:
    variants = [one.get("url") for one in media.get("variants") or () if isinstance(one, dict)]
    given = [media.get("url"), *variants, media.get("preview_image_url")]
    return next((one for one in given if isinstance(one, str)), "")


async def received(client: Asking, event: Json, media: Mapping[str, Json]) -> list[tuple[str, bytes]]:
    """The files of an event that can be had, by name."""
    found = []
    for key in keys_of(event):
        one = media.get(key, {})
        place = _PLACE.search(_address(one))
        if place is None:
            continue
        answer = await client.ask("GET", f"/2/dm_conversations/media/{place[1]}/{place[2]}/{place[3]}")
        if answer.status_code == 200 and 0 < len(answer.content) <= _LARGEST_FILE:
            found.append((_name(key, one), answer.content))
    return found
