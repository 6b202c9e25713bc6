"""The page of webhooks."""

from collections.abc import Callable

from streamlit.testing.v1 import AppTest

from tests.dashboards.double import Double


def _press(page: AppTest, label: str) -> None:
    next(button for button in page.button if button.label == label).click().run()


def test_a_webhooks_secret_is_shown_once(open_page: Callable[..., AppTest], double: Double) -> None:
    page = open_page("webhooks")
    page.text_input[0].input("https://hooks.example.com/new")
    page.multiselect[0].select("deal.deleted")
    _press(page, "Make it")
    assert [code.value for code in page.code] == ["whsec_secret"]
    made = {"url": "https://hooks.example.com/new", "event_types": ["deal.deleted"]}
    assert double.changed == [("webhook", made)]
    assert not open_page("webhooks").code


def test_a_webhook_is_disabled_on_the_version_that_was_read(open_page: Callable[..., AppTest], double: Double) -> None:
    page = open_page("webhooks")
    _press(page, "Turn off")
    assert not page.exception
    assert double.changed == [("w1", {"state": "disabled"})]


def test_a_failed_delivery_shows_why_and_is_sent_again(open_page: Callable[..., AppTest], double: Double) -> None:
    page = open_page("webhooks")
    row = page.dataframe[1].value.iloc[0]
    assert (row["State"], row["Answer"], row["What went wrong"]) == ("Failed", 500, "It answered 500.")
    _press(page, "Send it again")
    assert double.changed == [("d1", {"webhook": "w1"})]
