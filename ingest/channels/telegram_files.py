"""Files at Telegram: what came with a message, and what goes with one."""

import logging
from typing import Any

from telethon import errors, functions, types

from ingest.channels.api import Json

_log = logging.getLogger(__name__)

#: A larger one is only named: whoever wants it opens Telegram.
_LARGEST_FILE = 20_000_000
#: Words under a file are no longer than this; longer ones go before it.
LONGEST_CAPTION = 1_024


async def received(client: Any, message: Any) -> list[tuple[str, bytes]]:  # noqa: ANN401 # Telethon has no types
    """The file that came with a message, if there is one that can be kept.

    Raises:
        FloodWaitError: Telegram wants to be left alone.
    """
    is_file = isinstance(message.media, (types.MessageMediaDocument, types.MessageMediaPhoto))
    if not is_file or message.file is None or (message.file.size or 0) > _LARGEST_FILE:
        return []
    try:
        content = await client.download_media(message, bytes)
    except errors.FloodWaitError:
        raise
    except errors.RPCError as refused:
        _log.warning("a file of message %s cannot be had: %s", message.id, refused)
        return []
    return [(message.file.name or f"file{message.file.ext or ''}", content)] if content else []


async def as_media(client: Any, file: Json, content: bytes) -> Any:  # noqa: ANN401 # Telethon has no types
    """A file of ours as it goes with a message, shown under its own name."""
    uploaded = await client.upload_file(content, file_name=file["name"])
    named = types.DocumentAttributeFilename(file["name"])
    return types.InputMediaUploadedDocument(uploaded, file["type"], [named], force_file=True)


def requests(peer: Any, text: str, media: list[Any], ids: list[int]) -> list[Any]:  # noqa: ANN401 # no types
    """What is asked of Telegram for a message with files: the first request is the message, and says its words."""
    asked, left = [], list(media)
    if left and len(text.encode("utf-16-le")) // 2 <= LONGEST_CAPTION:
        asked.append(functions.messages.SendMediaRequest(peer, left.pop(0), text, random_id=ids[0]))
    else:
        asked.append(functions.messages.SendMessageRequest(peer, text, random_id=ids[0]))
    asked += [
        functions.messages.SendMediaRequest(peer, one, "", random_id=number)
        for one, number in zip(left, ids[1:], strict=False)
    ]
    return asked


def described(file: Any) -> list[Json]:  # noqa: ANN401 # Telethon has no types
    """What a message's file is, without what is in it; nothing where it has none."""
    if not file:
        return []
    return [{"name": (file.name or "file")[:300], "type": file.mime_type or "unknown", "size": file.size or 0}]
