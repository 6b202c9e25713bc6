"""`/v1/unsubscribe/…`: where the link of a mail leads (RFC 8058). Needs no sign-in.

Mail programs and scanners follow links, so reading it changes nothing; what is posted does, once and for good.
"""

from html import escape
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Path, Request
from fastapi.responses import HTMLResponse
from sqlalchemy import text
from uuid_utils.compat import uuid7

from api.campaigns import records
from api.campaigns.hearing import forget_people
from api.campaigns.links import Links
from api.db.statements import compiled
from api.edge.dependencies import Unit
from api.edge.routing import problems, slice_router
from api.kernel.context import Context
from api.kernel.errors import NotFound
from api.kernel.unit_of_work import UnitOfWork, entering
from contracts.events.envelope import ActorKind
from contracts.settings import SecretSettings

router = slice_router(prefix="/unsubscribe", tags=["campaigns"])

_TOUCH = compiled(
    text("""
select t.recipient_id, s.address, c.channel from campaign_touches t
join sends s on s.organization_id = t.organization_id and s.message_id = t.message_id
join conversations c on c.organization_id = t.organization_id and c.id = t.conversation_id
where t.organization_id = :organization_id and t.id = :touch_id
""")
)

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="robots" content="noindex"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"></head>
<body><main><h1>{title}</h1><p>{said}</p>{form}</main></body></html>
"""
_FORM = '<form method="post"><button type="submit">Get no more of these mails</button></form>'

Token = Annotated[str, Path(min_length=1, max_length=200)]


def _links(request: Request) -> Links:
    settings: SecretSettings = request.app.state.services.settings
    return Links(settings, "")


_Links = Annotated[Links, Depends(_links)]


@router.get("/{token}", response_class=HTMLResponse, responses=problems(NotFound))
async def show_unsubscribing(token: Token, links: _Links) -> HTMLResponse:
    """A page with one button. Looking at it changes nothing."""
    if links.read(token) is None:
        raise NotFound("link")
    return _page("Unsubscribe", "Press the button, and you get no more of these mails.", form=_FORM)


@router.post("/{token}", response_class=HTMLResponse, status_code=200, responses=problems(NotFound))
async def unsubscribe(token: Token, links: _Links, unit: Unit) -> HTMLResponse:
    """End it: no cookie, no sign-in, no question. Again is no error."""
    found = links.read(token)
    if found is None:
        raise NotFound("link")
    await _end(unit, *found)
    return _page("You are unsubscribed", "You get no more of these mails.")


async def _end(unit: UnitOfWork, organization_id: UUID, touch_id: UUID) -> None:
    context = Context(organization_id=organization_id, actor=ActorKind.SYSTEM, correlation_id=uuid7())
    unit.open_with(entering(context))
    for row in await unit.fetch(_TOUCH, touch_id=touch_id):
        recipients = await records.lock_recipients(unit, [row.recipient_id])
        await forget_people(unit, recipients, addresses={(row.channel, row.address)}, how="one_click")


def _page(title: str, said: str, *, form: str = "") -> HTMLResponse:
    page = _PAGE.format(title=escape(title), said=escape(said), form=form)
    return HTMLResponse(page, headers={"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})
