"""The pages Inbox and Accounts."""

from collections.abc import Callable

from streamlit.testing.v1 import AppTest

from tests.dashboards.double import Double
from tests.dashboards.double_inbox import HOSTILE


def texts(page: AppTest) -> list[str]:
    return [element.value for element in page.text]


def press(page: AppTest, label: str) -> None:
    next(button for button in page.button if button.label == label).click().run()
    assert not page.exception


def test_shows_what_strangers_wrote_as_text(open_page: Callable[..., AppTest]) -> None:
    page = open_page("inbox")
    assert HOSTILE in texts(page)
    assert "File: offer.pdf (12 bytes), not kept here" in texts(page)
    assert not any("script" in element.value for element in page.markdown)


def test_answers_notes_and_closes(open_page: Callable[..., AppTest], double: Double) -> None:
    page = open_page("inbox")
    page.text_area[0].set_value("With pleasure")
    press(page, "Send")
    assert double.inbox["messages"][-1]["text"] == "With pleasure"
    assert any("waits to be sent" in caption.value for caption in page.caption)
    page.text_area[0].set_value("Ask Kim")
    press(page, "Keep as a note")
    assert double.inbox["messages"][-1]["direction"] == "note"
    page.text_area[0].set_value("As every time")
    press(page, "Keep to use again")
    assert double.inbox["canned"][-1] == {"id": "k2", "title": "As every time", "text": "As every time"}
    page.button(key="open-c1").click().run()
    assert double.inbox["conversation"]["unread_count"] == 0
    press(page, "Close")
    assert double.inbox["conversation"]["status"] == "closed"


def test_a_conversation_is_begun_from_an_account_that_works(open_page: Callable[..., AppTest], double: Double) -> None:
    double.inbox["account"] |= {"state": "active", "reason": None}
    page = open_page("inbox")
    to = next(one for one in page.text_input if one.label == "Handle or number, as @ada")
    to.set_value(" @ben ")
    page.text_area[0].set_value("Shall we talk?")
    press(page, "Send")
    expected = {"account_id": "a1", "address": "@ben", "subject": None, "text": "Shall we talk?"}
    assert double.inbox["started"] == expected
    assert page.query_params["id"] == "c1"


def test_an_account_says_what_it_waits_for_and_what_is_missing(
    open_page: Callable[..., AppTest], double: Double
) -> None:
    double.inbox["missing"] = 1
    page = open_page("accounts")
    assert "Telegram has sent a code. Enter it here." in [warning.value for warning in page.warning]
    assert [metric.value for metric in page.metric] == ["50%", "3", "97"]
    assert "1 payload too large" in page.dataframe[0].value["Failed"].to_list()
    assert "Messages are missing here" in page.error[0].value
    page.text_input[0].set_value("12345")
    press(page, "Keep")
    assert double.inbox["secret"] == {"code": "12345"}
    page.number_input[0].set_value(40)
    press(page, "Save")
    assert double.inbox["account"]["daily_limit"] == 40


def test_a_business_bot_is_added_and_asks_for_its_token(open_page: Callable[..., AppTest], double: Double) -> None:
    double.inbox["account"]["settings"] = {"business_bot": True}
    double.inbox["account"] |= {"reason": "token_needed", "not_compared": "bots_may_list_nothing"}
    page = open_page("accounts")
    assert "cannot be compared, because Telegram lets a bot list no messages" in page.info[0].value
    token = next(one for one in page.text_input if one.label.startswith("Token of the bot"))
    token.set_value("7:token")
    press(page, "Keep")
    assert double.inbox["secret"] == {"bot_token": "7:token"}
    next(one for one in page.selectbox if one.label == "Channel").set_value("telegram").run()
    next(one for one in page.radio if one.label == "How").set_value("bot").run()
    next(one for one in page.text_input if one.label == "Name").set_value("Helper")
    next(one for one in page.text_input if one.label == "Name of the bot, as @helper").set_value("@helper")
    press(page, "Add")
    added = double.inbox["added"]
    assert (added["channel"], added["address"], added["settings"]) == ("telegram", "@helper", {"business_bot": True})


def test_a_banned_account_asks_for_nothing_and_can_be_put_away(
    open_page: Callable[..., AppTest], double: Double
) -> None:
    double.inbox["account"] |= {"state": "banned", "reason": "account_banned"}
    page = open_page("accounts")
    assert any("Its provider has closed it for good." in one.value for one in page.warning)
    assert "Keep" not in [button.label for button in page.button]
    press(page, "Put it away")
    assert double.inbox["account"]["state"] == "revoked"
    press(page, "Connect it again")
    assert double.inbox["account"]["state"] == "connecting"


def test_an_account_is_given_to_somebody(open_page: Callable[..., AppTest], double: Double) -> None:
    page = open_page("accounts")
    who = next(one for one in page.selectbox if one.label == "Who works with it")
    who.select_index(1).run()
    assert not page.exception
    assert double.inbox["account"]["user_id"] is not None
    next(one for one in page.selectbox if one.label == "Team").select_index(1).run()
    assert not page.exception
    assert double.inbox["account"]["team_id"] == "t1"
    assert any("No connector holds it now" in one.value for one in page.caption)
    assert page.dataframe[1].value.to_dict("records")[0]["Person"] == "Mara"


def test_accounts_are_ordered_renewed_and_handed_back(open_page: Callable[..., AppTest], double: Double) -> None:
    page = open_page("rentals")
    [row] = page.dataframe[0].value.to_dict("records")
    assert (row["Price"], row["State"]) == ("$25 a month", "Yours, not renewed: the payment was declined")
    months = next(one for one in page.number_input if one.label == "Months, paid at once")
    months.set_value(4).run()
    press(page, "Order it")
    press(page, "Renew it")
    press(page, "Hand it back now")
    (first, ordered), *others = double.inbox["rental_calls"]
    assert (first, ordered["offer_id"], ordered["price_minor"], ordered["months"]) == ("order", "tg-18", 2500, 4)
    assert others == [("renew", {"months": 1}), ("hand-back", {})]


def test_a_reply_is_drafted_and_waits_for_a_decision(open_page: Callable[..., AppTest], double: Double) -> None:
    page = open_page("inbox")
    page.button(key=next(str(one.key) for one in page.button if str(one.key).startswith("open-"))).click().run()
    press(page, "Draft a reply")
    draft = double.drafts[-1]
    assert (draft["kind"], draft["state"], draft["conversation_id"]) == ("reply", "generated", "c1")
    words = next(one for one in page.text_area if one.label == "Text")
    assert words.value == "400 seats cost $1,000."
    words.set_value("400 seats cost $900.")
    press(page, "Save the text")
    assert (draft["state"], draft["text"]) == ("edited", "400 seats cost $900.")
    press(page, "Approve and send")
    assert draft["state"] == "sent"
    assert "Approve and send" not in [one.label for one in page.button]


def test_why_a_reply_cannot_be_drafted_is_said(open_page: Callable[..., AppTest], double: Double) -> None:
    double.problems["/v1/drafts/stream"] = (402, "ai_budget_spent", "Drafts of this month have cost $20.")
    page = open_page("inbox")
    page.button(key=next(str(one.key) for one in page.button if str(one.key).startswith("open-"))).click().run()
    press(page, "Draft a reply")
    assert "Drafts of this month have cost" in page.error[0].value


def test_says_who_else_is_there_and_labels_and_lets_sleep(open_page: Callable[..., AppTest], double: Double) -> None:
    double.inbox["others"] = [{"user_id": "nobody-known", "is_typing": False}]
    page = open_page("inbox")
    assert "A colleague looks at this conversation too" in page.warning[0].value
    assert "Labels: pricing" in texts(page)
    labels = next(field for field in page.text_input if field.label.startswith("Labels"))
    labels.set_value("pricing, urgent")
    press(page, "Keep labels")
    assert double.inbox["conversation"]["labels"] == ["pricing", "urgent"]
    press(page, "Sleep: a day")
    assert double.inbox["conversation"]["status"] == "snoozed"


def test_what_is_new_is_heard_of_while_a_conversation_is_gone(
    open_page: Callable[..., AppTest], double: Double
) -> None:
    double.problems["/v1/conversations/c1/presence"] = (404, "not_found", "There is no such conversation.")
    page = open_page("inbox")
    assert page.session_state["inbox-heard"] == {"after": 7, "stream": "s1"}


def test_on_linkedin_a_person_sends_and_says_so(open_page: Callable[..., AppTest], double: Double) -> None:
    double.inbox["conversation"]["channel"] = "linkedin"
    page = open_page("inbox")
    page.text_area[0].set_value("Shall we talk?")
    press(page, "Send")
    assert any("LinkedIn lets only you send" in caption.value for caption in page.caption)
    assert "Send again" not in [button.label for button in page.button]
    press(page, "It was sent")
    assert double.inbox["confirmed"] == ["m2"]
