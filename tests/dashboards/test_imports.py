"""The page Import."""

import json
from collections.abc import Callable

from streamlit.testing.v1 import AppTest

from tests.dashboards.double import Double
from tests.dashboards.double_imports import DONE


def texts(page: AppTest) -> str:
    return " ".join(element.value for element in page.text)


def press(page: AppTest, label: str) -> None:
    next(button for button in page.button if button.label == label).click().run()
    assert not page.exception


def test_nothing_is_written_before_it_was_looked_through(open_page: Callable[..., AppTest], double: Double) -> None:
    page = open_page("imports")
    page.file_uploader[0].set_value([("deals.csv", b"Nr,stage,Wert\n1,New,5\n", "text/csv")]).run()
    assert double.imports == []
    press(page, "Look it through")
    assert double.imports[0]["deals"] == b"Nr,stage,Wert\n1,New,5\n"
    assert json.loads(double.imports[0]["options"])["day_first"] is None
    shown = texts(page)
    assert "because row 3 can be nothing else" in shown
    assert "2 created, 0 updated, 0 unchanged, 1 failed" in shown
    press(page, "Import")
    assert len(double.imports) == 2


def test_an_import_that_is_done_shows_what_became_of_it_and_can_be_taken_back(
    open_page: Callable[..., AppTest], double: Double
) -> None:
    page = open_page("imports")
    assert "3 of 3 rows: 2 created, 0 updated, 0 unchanged, 1 failed" in texts(page)
    # free text is text
    assert "![x](http://evil.example)" in texts(page)
    assert not [element for element in page.markdown if "evil.example" in element.value]
    assert "Deals: wert = amount, since 1 May 2026, 11:30" in texts(page)
    press(page, "Forget")
    press(page, "Take it back")
    assert double.imports == [{"forgotten": "h1"}, {"reverted": DONE["id"]}]
    assert "1 records were taken back, 1 were changed or are used and stay" in texts(page)
