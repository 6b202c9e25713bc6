"""The page Campaigns."""

from collections.abc import Callable

from streamlit.testing.v1 import AppTest

from tests.dashboards.double import Double
from tests.dashboards.double_campaigns import recipient_rows, trial_rows


def click(page: AppTest, label: str) -> None:
    next(button for button in page.button if button.label == label).click().run()
    assert not page.exception


def test_a_campaign_is_built_started_and_paused(open_page: Callable[..., AppTest], double: Double) -> None:
    page = open_page("campaigns")
    page.text_area[0].set_value("They asked at the fair")
    next(one for one in page.selectbox if one.label == "On what ground").set_value("consent")
    next(one for one in page.text_input if one.label == "Only if").set_value("deal.amount > 100.0")
    click(page, "Save and add a wording to the last step")
    campaign = double.campaigns[0]
    assert (campaign["legal_basis"], campaign["basis_note"]) == ("consent", "They asked at the fair")
    click(page, "Save and add a step")
    first, second = campaign["steps"]
    assert (first["when"], [one["text"] for one in first["variants"]]) == ("deal.amount > 100.0", ["Hello", "Hello"])
    assert (second["kind"], second["wait_days"]) == ("email", 3.0)
    click(page, "Start")
    assert campaign["state"] == "running"
    assert any("Of 2 messages nobody knows" in one.value for one in page.warning)
    texts = [one.value for one in page.text]
    assert "Begun within a day: 20 of the 50 messages that it may begin by now; the number grows daily." in texts
    assert "Sales works, and may begin 30 more messages today." in texts
    assert "Old was closed by its provider; what it began cannot go on." in texts
    click(page, "End it for their whole company")
    assert campaign["stopped"] == {"company_id": "o1"}
    click(page, "End it for them")
    assert campaign["stopped"] == {"contact_id": "c1"}
    click(page, "Pause")
    assert campaign["state"] == "paused"


def test_whom_a_campaign_is_for_stays_when_its_view_is_gone(open_page: Callable[..., AppTest], double: Double) -> None:
    [campaign] = double.campaigns
    campaign.update(view_id="v-gone", account_ids=["a-gone"])
    double.problems["/v1/campaigns/k1/audience"] = (422, "unknown_reference", "There is no such view.")
    page = open_page("campaigns")
    audience = next(one for one in page.selectbox if one.label == "Audience: a saved view of contacts")
    assert audience.options[audience.index or 0] == "A view that was deleted, or is not yours"
    assert [one.label for one in page.button if one.label in ("Save", "Add")] == ["Save"]
    page.text_area[0].set_value("They asked at the fair")
    click(page, "Save")
    assert (campaign["basis_note"], campaign["view_id"]) == ("They asked at the fair", "v-gone")
    assert campaign["account_ids"] == ["a-gone"]


def test_what_is_typed_into_one_campaign_is_not_in_another(open_page: Callable[..., AppTest], double: Double) -> None:
    [first] = double.campaigns
    step = {**first["steps"][0], "variants": [{"text": "Hello from the other"}]}
    double.campaigns.append({**first, "id": "k2", "name": "Another", "steps": [step]})
    page = open_page("campaigns")
    next(one for one in page.text_area if one.label == "Text").set_value("Typed, and not saved").run()
    next(one for one in page.selectbox if one.label == "Campaign").set_value("k2").run()
    assert next(one for one in page.text_area if one.label == "Text").value == "Hello from the other"


def test_why_it_does_not_start_is_shown(open_page: Callable[..., AppTest], double: Double) -> None:
    double.problems["/v1/campaigns/k1/start"] = (422, "merge_field_missing", "Ada has no company.name.")
    page = open_page("campaigns")
    click(page, "Start")
    assert "Ada has no company.name." in [one.value for one in page.error]


def test_the_audience_the_preview_and_the_results_are_said_in_words(
    open_page: Callable[..., AppTest], double: Double
) -> None:
    double.figures = [*trial_rows(), *recipient_rows()]
    page = open_page("campaigns")
    texts = [one.value for one in page.text]
    assert "1: No address on a channel of the campaign" in texts
    assert "They lack company.name" in page.warning[0].value
    assert "From sales@us.example to a@b.example" in texts
    [came] = [one.value for one in page.dataframe if "People" in one.value and "Answered" in list(one.value["People"])]
    assert list(came["Of all"]) == ["100 %", "100 %", "75 %", "50 %", "25 %", "25 %"]
    assert (
        "Step 1, variant A: 80 % (56 of 70) answered, +20.0 pts against those held out. That is hardly chance: with"
        " 95 % confidence the true difference lies between +5.2 pts and +33.4 pts."
    ) in texts


def test_addresses_that_nothing_is_sent_to_are_added_and_tried_again(
    open_page: Callable[..., AppTest], double: Double
) -> None:
    double.me = {**double.me, "role": "admin"}
    page = open_page("campaigns")

    def shown() -> list[str]:
        return next(list(one.value["Address"]) for one in page.dataframe if "Channel" in one.value)

    assert shown() == ["full@b.example"]
    next(one for one in page.text_area if one.label.startswith("Add e-mail")).set_value("a@b.example\nc@b.example")
    click(page, "Send nothing to these")
    assert shown() == ["full@b.example", "a@b.example", "c@b.example"]
    click(page, "Let it be tried again")
    assert shown() == ["a@b.example", "c@b.example"]
