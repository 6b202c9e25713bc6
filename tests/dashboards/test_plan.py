"""The page Plan."""

from collections.abc import Callable

from streamlit.testing.v1 import AppTest

from tests.dashboards.double import Double
from tests.dashboards.double_billing import OFF, SUBSCRIPTION


def texts(page: AppTest) -> str:
    return " ".join(element.value for element in page.text)


def test_says_what_is_paid_and_that_a_payment_is_late(open_page: Callable[..., AppTest]) -> None:
    page = open_page("plan")
    assert page.header[1].value == "Team, payment is late"
    assert "5 seats, $125 a month, paid monthly. The next invoice comes on 1 Dec 2026." in texts(page)
    assert "from 15 Nov 2026 on" in page.warning[0].value
    assert page.dataframe[1].value[["Total", "Coupons", "Tax"]].values.tolist() == [["$125.00", "$10.00", ""]]


def test_holds_use_against_the_plan_and_says_what_goes_beyond_costs(open_page: Callable[..., AppTest]) -> None:
    page = open_page("plan")
    assert (page.metric[0].label, page.metric[0].value) == ("People", "5 of 5")
    assert (page.metric[1].value, page.metric[2].value) == ("7 of 5", "620 of 500")
    captions = [caption.value for caption in page.caption]
    assert captions[:3] == [
        "No more are allowed on this plan.",
        "What goes beyond is paid for, up to 20.",
        "What goes beyond is paid for, up to 2,500.",
    ]
    assert page.dataframe[0].value[["Counted", "Each", "Costs"]].values.tolist() == [
        ["120", "$0.05", "$6.00"],
        ["14", "$0.50", "$7.00"],
    ]
    assert captions[3].startswith("$13.00 in all")


def test_shows_tax_ids_adds_and_removes_them(open_page: Callable[..., AppTest]) -> None:
    page = open_page("plan")
    assert "Invoices bear none yet." in texts(page)
    page.text_input[0].set_value("DE123456789")
    next(button for button in page.button if button.label == "Add tax id").click().run()
    assert "VAT number (EU): DE123456789 (being checked)" in texts(page)
    next(button for button in page.button if button.label == "Remove").click().run()
    assert not page.exception
    assert "Invoices bear none yet." in texts(page)


def test_changes_seats(open_page: Callable[..., AppTest], double: Double) -> None:
    page = open_page("plan")
    page.number_input[0].set_value(9)
    page.checkbox[0].uncheck()
    next(button for button in page.button if button.label == "Change").click().run()
    assert not page.exception
    assert (double.billing["subscription"]["seats"], double.billing["subscription"]["pays_usage"]) == (9, False)


def test_offers_plans_after_the_last_one_ended(open_page: Callable[..., AppTest], double: Double) -> None:
    double.billing["subscription"] = {**SUBSCRIPTION, "ended_at": "2026-11-20T10:00:00Z", "status": "canceled"}
    page = open_page("plan")
    page.number_input[0].set_value(7)
    next(button for button in page.button if button.label == "Go to checkout").click().run()
    assert not page.exception
    [link] = page.get("link_button")
    assert link.proto.url == "https://checkout.stripe.test/team-7"


def test_where_billing_is_off_it_says_so(open_page: Callable[..., AppTest], double: Double) -> None:
    double.billing |= OFF
    page = open_page("plan")
    assert "Billing is off" in page.info[0].value
    assert "SLUICE_STRIPE_SECRET_KEY" in texts(page)
    assert page.metric[0].value == "4"
    assert page.dataframe[0].value[["Plan", "A seat", "Accounts"]].values.tolist() == [
        ["Free", "nothing", "1"],
        ["Team", "$25 a month", "5; up to 20 at $0.50 a day"],
    ]
