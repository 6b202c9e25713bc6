"""What every page of the navigation owes, whoever adds it."""

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from dashboards.pages import View, find_views

VIEWS = find_views()


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.path)
def test_every_page_opens_under_its_title(view: View, open_page: Callable[..., AppTest]) -> None:
    page = open_page(view.path.replace("-", "_"))
    assert not page.exception
    assert not page.error
    assert [title.value for title in page.title] == [view.page.title]


def test_pages_have_places_of_their_own_and_today_comes_first() -> None:
    assert VIEWS[0].path == "today"
    places = [(view.path, view.page.title, (view.page.group, view.page.position)) for view in VIEWS]
    assert all(len(set(column)) == len(VIEWS) for column in zip(*places, strict=True))
