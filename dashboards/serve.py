"""The process `sluice dashboards`: the pages on their own web server, with the route that sets the cookie."""

import logging
import threading
from pathlib import Path
from urllib.parse import urlsplit

import streamlit as st
import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from contracts.settings import DashboardSettings
from dashboards import single_sign_on
from dashboards.session import SIGN_INS, set_cookie

#: The script that Streamlit runs for every page; its `.streamlit/config.toml` lies beside it.
SCRIPT = Path(__file__).with_name("app.py")

_LONGEST_TICKET = 200
_LARGEST_MESSAGE = 50 * 1024 * 1024

log = logging.getLogger(__name__)


def run(stop: threading.Event) -> None:
    """Serve the dashboards until `stop` is set. Raises RuntimeError if the server cannot start or ends by itself."""
    settings = DashboardSettings()
    server = uvicorn.Server(
        uvicorn.Config(
            application(),
            host=settings.dashboards_host,
            port=settings.dashboards_port,
            ws="websockets-sansio",
            ws_max_size=_LARGEST_MESSAGE,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=3,
        )
    )
    # Streamlit turns the log of every request on, and sets its level anew when it starts: only a filter stays.
    logging.getLogger("uvicorn.access").addFilter(lambda _record: False)
    # In a thread, so that the signals stay with the caller; a thread that ends also ends the waiting.
    thread = threading.Thread(target=_serve, args=(server, stop), name="dashboards")
    thread.start()
    stop.wait()
    server.should_exit = True
    thread.join(timeout=10)
    if not server.started:
        raise RuntimeError(f"The dashboards cannot listen on {settings.dashboards_host}:{settings.dashboards_port}.")


def application() -> st.App:
    """The pages and the cookie route as one ASGI application. One per process."""
    return st.App(
        SCRIPT,
        routes=[
            Route("/sign-in-cookie", _set_cookie, methods=["POST"]),
            Route("/today", _first_page),
            *single_sign_on.ROUTES,
        ],
        on_script_error=_apologise,
    )


def _serve(server: uvicorn.Server, stop: threading.Event) -> None:
    try:
        server.run()
    except SystemExit:
        log.error("The dashboards could not start.")
    finally:
        stop.set()


async def _first_page(request: Request) -> Response:
    """The first page has no name in the address; whoever guesses one by the others' gets there all the same."""
    return RedirectResponse(f"./?{request.url.query}" if request.url.query else "./")


async def _set_cookie(request: Request) -> Response:
    """Exchange a ticket for the cookie. Only for our own pages: no other site may sign a browser in."""
    if not _is_from_our_page(request):
        return PlainTextResponse("Forbidden", status_code=403)
    ticket = (await request.body())[:_LONGEST_TICKET].decode(errors="replace")
    key = SIGN_INS.redeem(ticket)
    if key is None:
        return PlainTextResponse("This ticket has been used or is too old.", status_code=410)
    response = PlainTextResponse("", status_code=204)
    set_cookie(request, response, key)
    return response


def _is_from_our_page(request: Request) -> bool:
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    # Over plain HTTP browsers send no Sec-Fetch-Site, but they name the page's origin with every POST.
    return urlsplit(request.headers.get("origin", "")).netloc == request.headers.get("host")


def _apologise(error: Exception) -> bool:
    """Log what a page did not expect, and tell the person without a stack trace."""
    log.error("A page failed.", exc_info=error)
    st.error(
        "**This page could not be shown.** Your data is safe. Reload the page; if it happens again, "
        "tell your administrator what you were looking at.",
        icon=":material/error:",
    )
    return True
