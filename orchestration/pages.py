"""Dagster's web server behind `guard`, in one process: `python -m orchestration.pages [ARGUMENT…]`.

The program serves by `uvicorn.run`, which is told to serve the guard instead, whatever the program hands it. Beside
Dagster's own pages lie the documentation of the dbt project and what Great Expectations found.
"""

import sys
from typing import Any

import uvicorn
from starlette.datastructures import MutableHeaders
from starlette.routing import Mount, Router
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contracts.settings import OperatorSettings, OrchestrationSettings
from orchestration import program
from orchestration.docs import docs_folder
from orchestration.guard import Guard

_serve = uvicorn.run

_NOTHING_FROM_ELSEWHERE = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data:; font-src 'self' data:; frame-ancestors 'none'; form-action 'none'; base-uri 'none'"
)


def guarded(app: ASGIApp) -> Guard:
    """What is served in place of the pages."""
    settings, orchestration = OperatorSettings(), OrchestrationSettings()
    here = [f"{name}:{orchestration.dagster_port}" for name in ("127.0.0.1", "localhost", "[::1]")]
    docs = _closed(StaticFiles(directory=docs_folder(orchestration), html=True, check_dir=False))
    pages = Router(routes=[Mount("/docs", docs)], default=app)
    return Guard(pages, token=settings.dagster_token.get_secret_value(), hosts=[*here, *settings.dagster_hosts])


def _closed(app: ASGIApp) -> ASGIApp:
    """The same app, whose pages load nothing from elsewhere: it would act as the operator who looks at them."""

    async def closed(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_closed(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Content-Security-Policy"] = _NOTHING_FROM_ELSEWHERE
            await send(message)

        await app(scope, receive, send_closed)

    return closed


def _serve_guarded(app: ASGIApp, **options: Any) -> None:  # noqa: ANN401  # uvicorn's own
    _serve(guarded(app), **options)


def main(arguments: list[str]) -> None:
    """Run the web server with these arguments."""
    uvicorn.run = _serve_guarded  # type: ignore[assignment]
    program.main(["dagster_webserver", *arguments])


if __name__ == "__main__":
    main(sys.argv[1:])
