"""The page Drafts."""

from collections.abc import Callable

from streamlit.testing.v1 import AppTest

from tests.dashboards.double import Double


def click(page: AppTest, label: str) -> None:
    next(button for button in page.button if button.label == label).click().run()
    assert not page.exception


def test_what_is_shown_is_what_is_approved_and_sent(open_page: Callable[..., AppTest], double: Double) -> None:
    page = open_page("drafts")
    assert page.text_area[0].value == "400 seats cost $1,000."
    assert "cost \\$0.00 of \\$20.00" in page.caption[0].value
    assert "prompt reply@1, from deal.stage; $0.0003." in page.text[0].value
    page.text_area[0].set_value("400 seats cost $900.")
    click(page, "Approve and send")
    assert (double.drafts[0]["state"], double.drafts[0]["text"]) == ("sent", "400 seats cost $900.")
    assert "No draft waits" in page.info[0].value


def test_a_draft_is_rejected(open_page: Callable[..., AppTest], double: Double) -> None:
    page = open_page("drafts")
    click(page, "Reject")
    assert double.drafts[0]["state"] == "rejected"
