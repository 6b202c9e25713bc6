"""Routes beside the pages: away to a provider and back, with a cookie that binds the way back to this browser."""

import asyncio
from html import escape
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from contracts.calls import sign_in as calls
from contracts.settings import DashboardSettings
from dashboards import transport
from dashboards.session import SIGN_INS, SignIn, is_secure, set_cookie

_COOKIE, _PATH, _SECONDS = "sluice_sso", "/sso", 600
#: Cookies that are for our own pages alone come along only after a step that begins on a page of ours.
_ONWARD = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="robots" content="noindex">'
    '<meta http-equiv="refresh" content="0;url={url}"><title>Sluice</title><p><a href="{url}">{text}</a></p></html>'
)


async def _begin(request: Request) -> Response:
    """Send the browser to a provider."""
    back = DashboardSettings().public_url.rstrip("/") + f"{_PATH}/return"
    try:
        call = calls.begin_provider_sign_in(request.path_params["provider"], {"redirect_uri": back})
        begun = await asyncio.to_thread(transport.ask_signed_out, call)
    except transport.ApiError as error:
        return _onward("/", error.message, status=502)
    response = RedirectResponse(begun["authorization_url"], status_code=303)
    # lax: it has to come along when the provider sends the browser back
    response.set_cookie(
        _COOKIE,
        begun["ticket"],
        max_age=_SECONDS,
        httponly=True,
        samesite="lax",
        secure=is_secure(request),
        path=_PATH,
    )
    return response


async def _return(request: Request) -> Response:
    """Take the browser back: sign it in, or let a page ask for what is missing."""
    state, code, iss = (request.query_params.get(name) for name in ("state", "code", "iss"))
    ticket = request.cookies.get(_COOKIE)
    if not ticket or not state or not code:
        return _done(_onward("/", "The sign-in was not finished. Begin again.", status=400))
    try:
        call = calls.finish_provider_sign_in({"ticket": ticket, "state": state, "code": code, "iss": iss})
        answer = await asyncio.to_thread(transport.ask_signed_out, call)
    except transport.ApiError as error:
        return _done(_onward("/", error.message, status=403))
    if answer["tokens"] is None:
        page = {"link": "link-identity", "second_factor": "second-factor"}[answer["step"]]
        return _done(_onward("/?" + urlencode({"link": page, "token": answer["token"] or ""}), "Go on"))
    sign_in = SignIn(answer["tokens"]["access_token"], answer["tokens"]["refresh_token"])
    SIGN_INS.keep(sign_in)
    response = _onward("/", "Go on to Sluice")
    set_cookie(request, response, sign_in.key)
    return _done(response)


def _onward(url: str, text: str, *, status: int = 200) -> HTMLResponse:
    page = _ONWARD if status == 200 else _ONWARD.replace('"0;url', '"6;url')
    page = page.format(url=escape(url), text=escape(text))
    return HTMLResponse(page, status, {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})


def _done(response: Response) -> Response:
    """A ticket is good for one way back."""
    response.delete_cookie(_COOKIE, path=_PATH)
    return response


ROUTES = [
    Route(f"{_PATH}/begin/{{provider}}", _begin, methods=["GET"]),
    Route(f"{_PATH}/return", _return, methods=["GET"]),
]
