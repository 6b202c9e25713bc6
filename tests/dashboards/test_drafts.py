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
    assert page.text[0].value == (
        "Written by small from the deal's stage. It cost $0.0003. Its instructions: Reply, version 1."
    )
    page.text_area[0].set_value("400 seats cost $900.")
    click(page, "Approve and send")
    assert (double.drafts[0]["state"], double.drafts[0]["text"]) == ("sent", "400 seats cost $900.")
    assert "No draft waits" in page.info[0].value


def test_a_draft_is_rejected(open_page: Callable[..., AppTest], double: Double) -> None:
    page = open_page("drafts")
    click(page, "Reject")
    assert double.drafts[0]["state"] == "rejected"


def test_what_drafts_may_cost_and_see_is_chosen_and_what_was_not_written_is_told(
    open_page: Callable[..., AppTest], double: Double
) -> None:
    double.me = {**double.me, "role": "admin"}
    double.drafts.append({**double.drafts[0], "id": "d9", "state": "failed", "failure": "The model took too long."})
    page = open_page("drafts")
    assert "Reply, version 1: The model took too long." in [one.value for one in page.text]
    next(one for one in page.text_area if one.label.startswith("Hosts")).set_value("docs.us.example\nus.example")
    page.number_input[0].set_value(5.0)
    click(page, "Keep")
    page = open_page("drafts")
    assert next(one for one in page.text_area if one.label.startswith("Hosts")).value == "docs.us.example\nus.example"


def test_before_the_first_draft_there_are_no_results_yet(open_page: Callable[..., AppTest], double: Double) -> None:
    steps = ("generated", "approved", "sent", "replied", "moved")
    double.figures = [{"group": None, "stage_id": one, "entered": 0, "share_of_cohort": None} for one in steps]
    page = open_page("drafts")
    assert not page.exception
    assert "No results yet" in " ".join(one.value for one in page.markdown)
