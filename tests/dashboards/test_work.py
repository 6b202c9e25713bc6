"""A rep's and an administrator's pages, against the API itself: they write, and show what is there then."""

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import streamlit as st
import uvicorn
from pydantic import SecretStr
from streamlit.testing.v1 import AppTest

from api.main import create_app
from contracts.settings import DatabaseSettings
from dashboards import client, session
from tests.conftest import Database
from tests.factories import PASSWORD, api_settings, new_email

Open = Callable[..., AppTest]


@pytest.fixture
def url(make_database: Callable[[], Database], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """The API over HTTP, known to the dashboards."""
    app = create_app(
        api_settings(files_path=tmp_path), DatabaseSettings(database_url=SecretStr(make_database().app_url))
    )
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        bound.listen()
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        address = f"http://127.0.0.1:{bound.getsockname()[1]}"
        monkeypatch.setenv("SLUICE_API_URL", address)
        st.cache_data.clear()
        yield address
        client.close()
        server.should_exit = True
        thread.join()


@pytest.fixture
def who(url: str) -> session.SignIn:
    """The owner of a new organization."""
    email = new_email("owner")
    body = {"email": email, "password": PASSWORD, "name": "Robin", "organization_name": "Acme"}
    assert httpx.post(f"{url}/v1/auth/signup", json=body).status_code == 201
    return client.log_in(email, PASSWORD)


@pytest.fixture
def opened(who: session.SignIn) -> Open:
    """Opens a page as that person, with an address's parameters."""

    def opened(name: str, **address: str) -> AppTest:
        script = (
            f"from dashboards.views import {name}\n"
            "from dashboards import client, session\n"
            "who = session.current()\n"
            f"{name}.render(who, client.me(who))\n"
        )
        page = AppTest.from_string(script, default_timeout=60)
        page.session_state["sign_in"] = who
        for key, value in address.items():
            page.query_params[key] = value
        return page.run()

    return opened


def press(page: AppTest, label: str) -> AppTest:
    """Press the first button of this label."""
    return next(button for button in page.button if button.label == label).click().run()


def said(page: AppTest) -> str:
    assert not page.exception
    kinds = (page.text, page.caption, page.warning, page.error, page.header)
    return "\n".join(str(element.value) for kind in kinds for element in kind)


def deal(who: session.SignIn, **fields: Any) -> dict[str, Any]:
    [pipeline] = client.pipelines(who)
    return client.post(who, "/v1/deals", {"title": "400 *seats*", "pipeline_id": pipeline.id, **fields}).body


def test_a_task_is_added_and_done_on_my_day(opened: Open, who: session.SignIn) -> None:
    deal(who)
    page = opened("my_day")
    page.text_input[0].input("Call <Ada>")
    page = press(page, "Add")
    assert "Later or undated (1)" in [expander.label for expander in page.expander]
    assert "Call <Ada>" in said(page)
    assert "400 *seats*" in str(page.dataframe[0].value)
    press(page, "Done")
    assert client.get(who, "/v1/tasks", {"is_completed": "false"})["items"] == []


def test_a_deal_is_moved_and_noted_and_its_text_stays_text(opened: Open, who: session.SignIn) -> None:
    made = deal(who)
    board = opened("deals")
    assert "400 *seats*" in said(board)
    page = opened("deals", id=made["id"])
    stages = client.pipelines(who)[0].stages
    page.selectbox[0].select(stages[1].id)
    page = press(page, "Move")
    assert client.get(who, f"/v1/deals/{made['id']}")["stage_id"] == stages[1].id
    page.text_area[0].input("**Likes** it")
    page = press(page, "Add")
    assert "**Likes** it" in said(page)


def test_a_conflict_shows_both_values_and_lets_people_decide(opened: Open, who: session.SignIn) -> None:
    made = client.post(who, "/v1/contacts", {"name": "Ada"}).body
    path = f"/v1/contacts/{made['id']}"
    page = opened("contacts", id=made["id"])
    page.text_input[0].input("Ada L.")
    client.patch(who, path, {"name": "Ada K."}, etag='"1"')
    page = press(page, "Save")
    assert "Nothing of yours is saved yet" in said(page)
    assert list(page.dataframe[0].value.iloc[0]) == ["Name", "Ada L.", "Ada K."]
    assert client.get(who, path)["name"] == "Ada K."
    press(page, "Save mine")
    assert client.get(who, path)["name"] == "Ada L."


def test_what_somebody_else_changed_meanwhile_is_shown_and_not_overwritten(opened: Open, who: session.SignIn) -> None:
    seat = client.post(who, "/v1/products", {"name": "Seat", "unit_price_minor": 900, "currency": "EUR"}).body
    [pipeline] = client.pipelines(who)
    stage = f"/v1/pipelines/{pipeline.id}/stages/{pipeline.stages[0].id}"
    for view, path in (("products", f"/v1/products/{seat['id']}"), ("pipelines", stage)):
        page = opened(view)
        field(page, "Name").input("Mine")
        client.patch(who, path, {"name": "Theirs"}, etag='"1"')
        page = press(page, "Save")
        assert "Somebody changed this while you did" in said(page)
        assert field(page, "Name").value == "Theirs"
        field(page, "Name").input("Mine after all")
        press(page, "Save")
        found = [*client.get_all(who, "/v1/products"), *client.get_all(who, "/v1/pipelines")[0]["stages"]]
        assert next(one["name"] for one in found if path.endswith(one["id"])) == "Mine after all"


def test_a_contact_shows_its_files_and_goes_into_the_bin(opened: Open, who: session.SignIn) -> None:
    made = client.post(who, "/v1/contacts", {"name": "Ada"}).body
    client.upload(who, "/v1/files", [("file", ("my **offer**.txt", b"Hi"))], contact_id=made["id"])
    page = opened("contacts", id=made["id"])
    assert "my offer.txt (2 bytes, not scanned)" in said(page)
    page = press(page, "Delete this contact")
    assert not page.exception
    [binned] = client.get(who, "/v1/recycle-bin", {"kind": "contact"})["items"]
    assert binned["id"] == made["id"]


def test_fields_and_stages_are_set_up(opened: Open, who: session.SignIn) -> None:
    page = opened("custom_fields")
    page.text_input[0].input("Seats")
    press(page, "Add")
    [field] = client.get(who, "/v1/custom-fields")["items"]
    assert (field["name"], field["record_kind"], field["is_personal"]) == ("Seats", "deal", True)
    made = deal(who)
    assert "Seats" in [widget.label for widget in opened("deals", id=made["id"]).text_input]
    page = opened("pipelines")
    assert len(page.dataframe) == 1


def test_stages_are_reordered_emptied_retired_and_brought_back(opened: Open, who: session.SignIn) -> None:
    [pipeline] = client.pipelines(who)
    first, second = pipeline.stages[:2]
    made = deal(who, stage_id=first.id)

    def stages() -> list[str]:
        return [one["name"] for one in client.get(who, f"/v1/pipelines/{pipeline.id}")["stages"]]

    before, page = stages(), opened("pipelines")
    field(page, "Place").select(2)
    page = press(page, "Save")
    assert stages()[:2] == [before[1], before[0]]
    retiring = page.selectbox(key=f"retire {pipeline.id}").select(first.id).run()
    assert "Open deals are in this stage: 1. Say where they go" in said(retiring)
    retiring.selectbox(key=f"target {pipeline.id}").select(second.id).run()
    page = press(retiring, "Move 1")
    assert client.get(who, f"/v1/deals/{made['id']}")["stage_id"] == second.id
    page = page.selectbox(key=f"retire {pipeline.id}").select(first.id).run()
    page = press(page, "Retire")
    assert first.name not in stages()
    press(page, "Bring it back")
    assert first.name in stages()


def test_a_pipeline_is_renamed_retired_and_taken_back(opened: Open, who: session.SignIn) -> None:
    page = opened("pipelines")
    field(page, "Name of the pipeline").input("Europe")
    page = press(page, "Rename")
    page = press(page, "Retire the pipeline")
    assert "Europe (retired)" in said(page)
    page = press(page, "Take it back into use")
    assert [one["name"] for one in client.get_all(who, "/v1/pipelines") if one["is_active"]] == ["Europe"]


def test_a_deal_is_made_with_all_that_belongs_to_it(opened: Open, who: session.SignIn) -> None:
    size = client.post(
        who,
        "/v1/custom-fields",
        {"record_kind": "deal", "name": "Seats", "type": "number", "is_required": True, "is_personal": False},
    )
    company = client.post(who, "/v1/companies", {"name": "Acme"})
    page = opened("deals", new="1", company_id=company["id"])
    stage = client.pipelines(who)[0].stages[1]
    field(page, "Title").input("400 *seats*")
    field(page, "Amount").input("12,50.5")
    field(page, "Stage").select(stage.id)
    owner = field(page, "Owner")
    owner.select_index(owner.options.index("Nobody"))
    page = press(page, "Create")
    wrong = "\n".join(element.value for element in page.markdown)
    assert "Write an amount such as 1240.50." in wrong
    assert "This is needed." in wrong
    assert field(page, "Title").value == "400 *seats*"  # nothing that was typed is lost
    field(page, "Amount").input("1,240.50")
    field(page, "Seats").set_value(400.0)
    press(page, "Create")
    [made] = client.get(who, "/v1/deals")["items"]
    assert (made["title"], made["amount_minor"], made["stage_id"]) == ("400 *seats*", 124_050, stage.id)
    assert (made["owner_id"], made["company_id"], made["custom"]) == (None, company["id"], {size["id"]: 400})
    assert page.query_params["id"] in (made["id"], [made["id"]])


def test_who_left_stays_in_the_fields_that_name_them(opened: Open, who: session.SignIn) -> None:
    body = {"email": new_email("gone"), "name": "Gone", "password": PASSWORD, "role": "rep"}
    gone = client.post(who, "/v1/users", body)
    named = {"record_kind": "deal", "type": "person", "name": "Sold by", "is_personal": False}
    seller, note = (
        client.post(who, "/v1/custom-fields", named),
        client.post(who, "/v1/custom-fields", {**named, "type": "text", "name": "Note"}),
    )
    made = deal(who)
    path = f"/v1/deals/{made['id']}"
    client.patch(who, path, {"custom": {seller["id"]: gone["id"]}}, etag=client.get(who, path).etag)
    at = f"/v1/users/{gone['id']}"
    client.patch(who, at, {"is_active": False}, etag=client.get(who, at).etag)
    page = opened("deals", id=made["id"])
    assert field(page, "Sold by").value == gone["id"]
    field(page, "Note").input("By phone")
    assert not press(page, "Save fields").exception
    assert client.get(who, path)["custom"] == {seller["id"]: gone["id"], note["id"]: "By phone"}


def test_what_the_api_refuses_stands_beside_its_field(opened: Open, who: session.SignIn) -> None:
    page = opened("contacts", new="1")
    field(page, "Name").input("Ada")
    field(page, "E-mail").input("no address")
    page = press(page, "Create")
    order = [element.label if element.type == "text_input" else element.value for element in in_order(page)]
    assert "not a valid email address" in order[order.index("E-mail") + 1]
    field(page, "E-mail").input("ada@acme.example")
    press(page, "Create")
    [made] = client.get(who, "/v1/contacts")["items"]
    assert (made["name"], made["email"]) == ("Ada", "ada@acme.example")
    assert made["owner_id"] == client.me(who).id


def test_an_amount_and_an_owner_are_changed_in_whole_units(opened: Open, who: session.SignIn) -> None:
    made = deal(who, amount_minor=5_000, currency="EUR")
    page = opened("deals", id=made["id"])
    assert field(page, "Amount").value == "50.00"
    field(page, "Amount").input("75.5")
    owner = field(page, "Owner")
    owner.select_index(owner.options.index("Nobody"))
    press(page, "Save")
    now = client.get(who, f"/v1/deals/{made['id']}")
    assert (now["amount_minor"], now["owner_id"], now["title"]) == (7_550, None, "400 *seats*")


def field(page: AppTest, label: str) -> Any:
    """The first field of this label."""
    return next(one for kind in (page.text_input, page.selectbox, page.number_input) for one in kind
                if one.label == label)  # fmt: skip


def in_order(page: AppTest) -> list[Any]:
    """Text fields and what is said of them, as they stand on the page."""
    return [one for one in page.main if one.type in ("text_input", "markdown")]


def test_a_deal_that_lacks_what_a_stage_asks_for_goes_on_with_a_managers_reason(
    opened: Open, who: session.SignIn
) -> None:
    [pipeline] = client.pipelines(who)
    asking = pipeline.stages[1]
    path = f"/v1/pipelines/{pipeline.id}/stages/{asking.id}"
    client.patch(who, path, {"entry_fields": ["close_date"]}, etag='"1"')
    made = deal(who)
    page = opened("deals", id=made["id"])
    page.selectbox[0].select(asking.id)
    press(page, "Move")
    assert "To enter the stage it needs close" in said(page)
    next(field for field in page.text_input if field.label == "Why it may go on without them").input("They sign")
    page.selectbox[0].select(asking.id)
    press(page, "Move")
    assert "To enter the stage" not in said(page)
    assert client.get(who, f"/v1/deals/{made['id']}")["stage_id"] == asking.id


def test_a_pair_that_is_two_is_told_apart_on_the_page(opened: Open, who: session.SignIn) -> None:
    for _ in range(2):
        client.post(who, "/v1/contacts", {"name": "Front desk", "email": "office@acme.example"})
    page = opened("duplicates")
    assert [one.value for one in page.text].count("Front desk") == 2
    page = page.toggle[1].set_value(True).run()  # field by field
    assert not page.exception
    page = press(page, "Not the same")
    assert "Front desk" not in [one.value for one in page.text]
    page = press(page, "Ask again")
    assert [one.value for one in page.text].count("Front desk") == 2


def test_a_list_is_narrowed_by_a_custom_field_and_kept_as_a_view(opened: Open, who: session.SignIn) -> None:
    seats = client.post(
        who, "/v1/custom-fields", {"record_kind": "company", "name": "Seats", "type": "number", "is_personal": False}
    )
    double = {"record_kind": "company", "name": "Twice", "type": "computed"}
    client.post(who, "/v1/custom-fields", {**double, "expression": 'company.custom["Seats"] * 2.0'})
    for name, count in (("Few", 3), ("Many", 40)):
        client.post(who, "/v1/companies", {"name": name, "custom": {seats["id"]: count}})
    page = opened("companies")
    assert list(page.dataframe[0].value["Name"]) == ["Many", "Few"]
    assert list(page.dataframe[0].value["Industry"]) == ["", ""]
    page.selectbox(key="by company").select(f"custom.{seats['id']}").run()
    next(one for one in page.selectbox if one.label == "Is").select(">=")
    page.number_input[0].set_value(10.0)
    page = press(page, "Add the condition")
    assert list(page.dataframe[0].value["Name"]) == ["Many"]
    assert "Seats at least 10" in said(page)
    twice = client.get(who, "/v1/custom-fields", {"record_kind": "company"})["items"][1]["id"]
    page.selectbox(key="by company").select(f"custom.{twice}").run()
    next(one for one in page.selectbox if one.label == "Is").select("<=")
    page.number_input[0].set_value(10.0)
    page = press(page, "Add the condition")
    assert [button for button in page.button if button.label == "Remove"][1:], "both hold, so that nothing is left"
    page = [button for button in page.button if button.label == "Remove"][-1].click().run()
    computed = client.get(who, "/v1/custom-fields", {"record_kind": "company"})["items"][1]["id"]
    next(one for one in page.multiselect if one.label == "Also show").select(computed).run()
    assert list(page.dataframe[0].value["Twice"]) == ["80"]
    page.text_input(key="view name company").input("Large ones")
    press(page, "Keep it")
    [view] = client.get(who, "/v1/views")["items"]
    assert (view["filter"], view["columns"]) == ([[f"custom.{seats['id']}", ">=", 10.0]], [f"custom.{computed}"])
    again = opened("companies", view=view["id"])
    assert (list(again.dataframe[0].value["Name"]), list(again.dataframe[0].value["Twice"])) == (["Many"], ["80"])
    press(again, "Delete this view")
    assert client.get(who, "/v1/views")["items"] == []


def test_an_organization_is_renamed_and_asks_for_second_factors(opened: Open, who: session.SignIn) -> None:
    page = opened("organization")
    page.text_input[0].input("Acme & Sons")
    next(one for one in page.checkbox if one.label == "Everybody needs a second factor").check()
    page.toggle[0].set_value(False)
    press(page, "Save")
    client.me(who)  # who has none can do nothing but this
    with pytest.raises(client.ApiError, match="second factor"):
        client.get(who, f"/v1/organizations/{client.me(who).organization.id}")


def test_features_are_turned_off_by_owners(opened: Open, who: session.SignIn) -> None:
    page = opened("organization")
    page.toggle[0].set_value(False).run()
    found = client.get(who, "/v1/feature-flags")["items"]
    assert {one["flag"]: one["is_on"] for one in found} == {"ai_drafts": False, "webhooks": True}


def test_a_contact_is_erased_by_name_and_the_receipt_says_what_stays(opened: Open, who: session.SignIn) -> None:
    made = client.post(who, "/v1/contacts", {"name": "Ada", "email": "ada@a.example"}).body
    page = opened("contacts", id=made["id"])
    erase = next(button for button in page.button if button.label == "Erase")
    assert erase.disabled
    page.text_input(key=f"erase {made['id']}").input("Ada").run()
    page = press(page, "Erase")
    assert not page.exception
    assert "The contact is erased" in page.success[0].value
    assert "Ada" not in [one["name"] for one in client.get(who, "/v1/contacts")["items"]]


def test_a_team_is_renamed_and_somebody_taken_out(opened: Open, who: session.SignIn) -> None:
    team = client.post(who, "/v1/teams", {"name": "North"}).body
    client.post(who, f"/v1/teams/{team['id']}/members", {"user_id": client.me(who).id})
    page = press(opened("people"), "Take out")
    assert client.get(who, f"/v1/teams/{team['id']}/members")["items"] == []
    next(one for one in page.text_input if one.value == "North").input("South")
    page = press(page, "Save the team")
    assert not page.exception
    assert client.get(who, f"/v1/teams/{team['id']}")["name"] == "South"
    [matrix] = [table.value for table in page.dataframe if "Area" in table.value]
    by_area = matrix.set_index("Area")
    assert (by_area.loc["Audit", "Owner"], by_area.loc["Audit", "Rep"]) == ("reads", "–")
    assert by_area.loc["Deals", "Rep"] == "reads and writes"


def test_a_field_of_all_is_set_as_a_bulk_change(opened: Open, who: session.SignIn) -> None:
    field = {"record_kind": "company", "name": "Region", "type": "text"}
    region = client.post(who, "/v1/custom-fields", field)["id"]
    client.post(who, "/v1/companies", {"name": "Acme"})
    page = opened("companies")
    page.selectbox(key="bulk verb company").select("set").run()
    page.selectbox(key="bulk field company").select(region).run()
    next(one for one in page.text_input if one.label == "Region").input("North").run()
    press(page, "Change them")
    [job] = client.get(who, "/v1/bulk")["items"]
    assert job["action"] == {"do": "company.set", "with": {"custom": {region: "North"}}}


@pytest.mark.parametrize(("view", "kind"), [("deals", "deal"), ("contacts", "contact"), ("companies", "company")])
def test_whatever_may_be_done_to_all_of_a_list_is_known_to_the_api(
    opened: Open, who: session.SignIn, view: str, kind: str
) -> None:
    made = deal(who) if kind == "deal" else client.post(who, f"/v1/{view}", {"name": "Acme"}).body
    assert made["id"]
    page = opened(view, view="list") if kind == "deal" else opened(view)
    for number in range(len(page.selectbox(key=f"bulk verb {kind}").options)):
        page.selectbox(key=f"bulk verb {kind}").select_index(number).run()
        press(page, "How many?")
        assert not [one.value for one in page.error if "no such action" in one.value]
        assert not page.exception
