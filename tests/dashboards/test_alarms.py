"""The page of watched figures."""

from collections.abc import Callable

from streamlit.testing.v1 import AppTest

from tests.dashboards.double import Double


def _press(page: AppTest, label: str) -> None:
    next(button for button in page.button if button.label == label).click().run()


def test_a_figure_is_watched_in_its_own_unit(open_page: Callable[..., AppTest], double: Double) -> None:
    page = open_page("alarms")
    row = page.dataframe[0].value.iloc[0]
    assert (row["Now"], row["Tells when it"], row["State"]) == ("€251,000.50", "reaches €250,000", "Alarm")
    page.text_input[0].input("1,240.50")
    _press(page, "Watch")
    page.selectbox[1].select("Win rate")
    page.text_input[0].input("a lot")
    _press(page, "Watch")
    assert [error.value for error in page.error] == ["Write a number such as 12, or 62 %."]
    page.text_input[0].input("62 %")
    _press(page, "Watch")
    _press(page, "Stop watching")
    assert not page.exception
    made = [(body.get("metric"), body.get("threshold")) for _, body in double.changed]
    assert made == [("bookings", 124_050), ("win_rate", 0.62), (None, None)]
    assert [one.value for one in open_page("today").warning] == ["\\*Won\\*, this quarter\\: €251,000.50"]
