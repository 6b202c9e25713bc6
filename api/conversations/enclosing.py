"""Files that go out with a message: such as are attached to records here (`/v1/files`), named by their ids.

The message keeps what they are called and how large they are; a connector fetches them when it sends.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from api.files.records import find_file
from api.kernel.constraints import UnknownReference
from api.kernel.errors import NotFound, Unprocessable
from api.kernel.unit_of_work import UnitOfWork
from contracts.channels import Channel

MOST_FILES = 10
#: As a mail they become a third larger, and many servers take 25 MB.
LARGEST_TOGETHER = 18_000_000
#: What X takes, and how large: one of them with a message.
_OF_X = {
    "image/jpeg": 5_000_000,
    "image/png": 5_000_000,
    "image/webp": 5_000_000,
    "image/gif": 15_000_000,
    "video/mp4": LARGEST_TOGETHER,
}


class FilesNotTaken(Unprocessable):
    """X takes one picture or video with a message, and no other files."""

    code, pointer = "files_not_taken", "/file_ids"
    detail = "X takes one picture or MP4 video with a message. Send a link, or use another channel."


class FilesTooLarge(Unprocessable):
    """Nobody's mail server takes that much, and X takes less."""

    code, pointer = "files_too_large", "/file_ids"

    def __init__(self, size: int, most: int) -> None:
        super().__init__(f"These files have {size:,} bytes together; {most:,} can be sent at most.")


async def enclosed(
    unit: UnitOfWork, file_ids: Sequence[UUID], channel: Channel, *, owners: frozenset[UUID] | None
) -> list[dict[str, Any]]:
    """What a message says of the files that go with it, if `owners` may see them.

    Raises:
        UnknownReference, FilesNotTaken, FilesTooLarge: as they say.
    """
    found: list[dict[str, Any]] = []
    for file_id in dict.fromkeys(file_ids):
        try:
            file = await find_file(unit, file_id, owners=owners)
        except NotFound:
            raise UnknownReference("file_ids", "file") from None
        named = {"name": file.name, "type": file.media_type, "size": file.size_bytes}
        found.append({**named, "file_id": str(file_id)})
    if channel is Channel.X and (len(found) > 1 or any(one["type"] not in _OF_X for one in found)):
        raise FilesNotTaken
    most = min([LARGEST_TOGETHER, *(_OF_X[one["type"]] for one in found if channel is Channel.X)])
    if (size := sum(one["size"] for one in found)) > most:
        raise FilesTooLarge(size, most)
    return found
