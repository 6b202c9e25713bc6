"""The double of the API on a port of its own, and pages that look at it."""

import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import streamlit as st
import uvicorn
from streamlit.testing.v1 import AppTest

from dashboards import client, session
from tests.dashboards.double import Double, application, healthy, sample_deals

PAGES = Path(client.__file__).parent


@pytest.fixture
def double() -> Double:
    """A fresh double: no faults, nothing asked yet."""
    return Double(deals=sample_deals(datetime.now(UTC).date()), freshness=healthy())


@pytest.fixture
def api_url(double: Double, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The double's address, served over real HTTP and known to the dashboards."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        server = uvicorn.Server(uvicorn.Config(application(double), log_level="warning", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        monkeypatch.setenv("SLUICE_API_URL", url)
        st.cache_data.clear()
        yield url
        server.should_exit = True
        thread.join()
        client.close()


@pytest.fixture
def sign_in(api_url: str) -> session.SignIn:
    """A manager who has signed in."""
    assert api_url
    return client.log_in("manager@example.com", "sluice-demo")


@pytest.fixture
def open_page(sign_in: session.SignIn) -> Callable[..., AppTest]:
    """Opens a page (`funnel`, `team`, `data_health`) as the signed-in manager, with an address's parameters."""

    def open_page(name: str, **address: str) -> AppTest:
        script = (
            f"from dashboards.views import {name}\n"
            "from dashboards import client, session, states\n"
            "who = session.current()\n"
            "with states.explained():\n"
            f"    {name}.render(who, client.me(who))\n"
        )
        page = AppTest.from_string(script, default_timeout=60)
        page.session_state["sign_in"] = sign_in
        for key, value in address.items():
            page.query_params[key.rstrip("_")] = value
        return page.run()

    return open_page
