"""`/v1/messages/{id}/attachments/{part}`: a file that came with a mail, out of the mail as it is kept, and the mail
itself (`/v1/messages/{id}/original`).

Of a long mail only the beginning is kept, so a large file may not be: then the mailbox has it.
"""

from base64 import b64decode
from email import message_from_bytes
from email.message import Message
from typing import Annotated
from urllib.parse import quote
from uuid import UUID

from fastapi import Path, Response
from sqlalchemy import bindparam, select

from api.conversations import records
from api.db.statements import compiled
from api.edge.dependencies import CurrentCaller, Unit
from api.edge.routing import problems, slice_router
from api.kernel.errors import CrmError, NotFound
from api.kernel.visibility import owners_seen
from api.models.message import MessagePayload

router = slice_router(prefix="/messages", tags=["messages"])

_FIRST_PAYLOAD = compiled(
    select(MessagePayload.payload)
    .where(
        MessagePayload.organization_id == bindparam("organization_id"),
        MessagePayload.message_id == bindparam("message_id"),
    )
    .order_by(MessagePayload.id)
    .limit(1)
)


class AttachmentNotKept(CrmError):
    """Only the mailbox has it."""

    status, code, title = 404, "attachment_not_kept", "Not kept here"
    detail = "This file is too large to be kept here. Open the mail in its mailbox."


@router.get(
    "/{message_id}/attachments/{part}",
    response_class=Response,
    responses={**problems(NotFound, AttachmentNotKept), 200: {"content": {"application/octet-stream": {}}}},
)
async def download_attachment(
    message_id: UUID,
    part: Annotated[str, Path(pattern=r"^[1-9]\d{0,3}(\.[1-9]\d{0,3}){0,19}$")],
    caller: CurrentCaller,
    unit: Unit,
) -> Response:
    """Download a file that came with a mail. Browsers save it, whatever it is, and show it nowhere."""
    message = await records.find_message(unit, message_id, owners=await owners_seen(unit, caller))
    known = next((one for one in message.details.get("attachments", ()) if one.get("part") == part), None)
    kept = await unit.fetch(_FIRST_PAYLOAD, message_id=message_id)
    if known is None or not kept:
        raise NotFound("attachment")
    content = _content(b64decode(kept[0].payload.get("raw_base64", "")), part)
    if content is None or len(content) < known["size"]:
        raise AttachmentNotKept
    headers = {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(known['name'], safe='')}",
        "X-Content-Type-Options": "nosniff",
    }
    return Response(content, media_type="application/octet-stream", headers=headers)


@router.get(
    "/{message_id}/original",
    response_class=Response,
    responses={**problems(NotFound, AttachmentNotKept), 200: {"content": {"message/rfc822": {}}}},
)
async def download_original(message_id: UUID, caller: CurrentCaller, unit: Unit) -> Response:
    """Download a mail as it came, to the byte: what is signed or encrypted is for a program that has the keys."""
    await records.find_message(unit, message_id, owners=await owners_seen(unit, caller))
    kept = await unit.fetch(_FIRST_PAYLOAD, message_id=message_id)
    if not kept or "raw_base64" not in kept[0].payload:
        raise NotFound("original")
    raw = b64decode(kept[0].payload["raw_base64"])
    if len(raw) < kept[0].payload["size"]:
        raise AttachmentNotKept
    headers = {"Content-Disposition": "attachment; filename=mail.eml", "X-Content-Type-Options": "nosniff"}
    return Response(raw, media_type="message/rfc822", headers=headers)


def _content(raw: bytes, part: str) -> bytes | None:
    """What a part of a mail holds; None where the mail ends before it."""
    found: object = message_from_bytes(raw)
    for number in part.split("."):
        inside = found.get_payload() if isinstance(found, Message) else None
        if not isinstance(inside, list) or len(inside) < int(number):
            return None
        found = inside[int(number) - 1]
    content = found.get_payload(decode=True) if isinstance(found, Message) else None
    return content if isinstance(content, bytes) else None
