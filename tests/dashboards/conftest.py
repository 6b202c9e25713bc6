"""The double of the API on a port of its own, and pages that look at it."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dashboards import client, session
from tests.dashboards.counting import sample_deals
from tests.dashboards.double import Double, healthy, serving


@pytest.fixture
def double() -> Iterator[Double]:
    """A fresh double: no faults, nothing asked yet. What the API would have refused fails the test."""
    double = Double(deals=sample_deals(datetime.now(UTC).date()), freshness=healthy())
    yield double
    assert double.refused == []


@pytest.fixture
def api_url(double: Double, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The double's address, served over real HTTP and known to the dashboards."""
    with serving(double) as url:
        monkeypatch.setenv("SLUICE_API_URL", url)
        st.cache_data.clear()
        yield url
        client.close()


@pytest.fixture
def sign_in(api_url: str) -> session.SignIn:
    """A manager who has signed in."""
    assert api_url
    return client.log_in("manager@example.com", "sluice-demo")


@pytest.fixture
def open_page(sign_in: session.SignIn) -> Callable[..., AppTest]:
    """Opens a page (`funnel`, `team`, `data_health`) as the signed-in manager, with an address and choices kept."""

    def open_page(name: str, *, kept: dict[str, Any] | None = None, **address: str) -> AppTest:
        script = (
            f"from dashboards.views import {name}\n"
            "from dashboards import client, session, states\n"
            "who = session.current()\n"
            "with states.explained():\n"
            f"    {name}.render(who, client.me(who))\n"
        )
        page = AppTest.from_string(script, default_timeout=60)
        page.session_state["sign_in"] = sign_in
        if kept is not None:
            page.session_state["choices"] = dict(kept)
        for key, value in address.items():
            page.query_params[key.rstrip("_")] = value
        return page.run()

    return open_page
