"""The pages of people, keys, the audit log and one's own account."""

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from tests.dashboards.double import Double
from tests.dashboards.double_access import KEY


def _texts(page: AppTest) -> str:
    return "\n".join(element.value for element in page.text)


def test_people_shows_the_tree_of_teams_as_text(open_page: Callable[..., AppTest]) -> None:
    page = open_page("people")
    assert "North, led by Mara (mara@example.com)" in _texts(page)
    assert "↳ Nearer north" in _texts(page)


def test_a_role_is_changed_on_the_version_that_was_read(open_page: Callable[..., AppTest], double: Double) -> None:
    page = open_page("people")
    page.selectbox(key="person").select("u1").run()
    page.selectbox[1].select("manager")
    next(button for button in page.button if button.label == "Save").click().run()
    assert double.changed == [("u1", {"role": "manager", "record_scope": "own", "is_active": True})]


def test_an_invitation_without_mail_shows_its_link(open_page: Callable[..., AppTest], double: Double) -> None:
    page = open_page("people")
    page.text_input[0].input("new@example.com")
    next(button for button in page.button if button.label == "Invite").click().run()
    assert not page.exception
    assert [code.value for code in page.code] == ["https://crm.example.com/?link=join&token=abc"]
    assert double.changed[0][1]["email"] == "new@example.com"


def test_a_key_is_shown_once(open_page: Callable[..., AppTest], double: Double) -> None:
    page = open_page("keys")
    page.text_input[0].input("Nightly")
    page.multiselect[0].select("deals:read")
    next(button for button in page.button if button.label == "Make it").click().run()
    assert [code.value for code in page.code] == ["slk_secret"]
    assert double.changed[0][1]["scopes"] == ["deals:read"]
    assert not open_page("keys").code


def test_moments_are_those_of_the_organizations_clock(
    open_page: Callable[..., AppTest], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(KEY, "last_used_at", "2026-05-01T23:30:00Z")
    monkeypatch.setitem(KEY, "expires_at", "2026-05-31T22:30:00Z")
    [keys] = open_page("keys").dataframe
    row = keys.value.iloc[0]
    assert (row["Last used"], row["Until"], row["State"]) == ("2 May 2026, 01:30", "1 Jun 2026, 00:30", "ended")
    [sign_ins] = open_page("account").dataframe
    assert sign_ins.value.iloc[0]["Since"] == "1 May 2026, 11:30"
    assert any(one.label.startswith("1 May 2026, 11:30 · ") for one in open_page("imports").expander)


def test_the_audit_log_names_people(open_page: Callable[..., AppTest]) -> None:
    page = open_page("audit")
    [table] = page.dataframe
    row = table.value.iloc[0]
    assert (row["Who"], row["About"], row["Before"], row["After"]) == (
        "Mara", "Rene *bold*", "role: rep", "role: manager",
    )  # fmt: skip


def test_a_second_factor_begins_with_a_key_to_enter(open_page: Callable[..., AppTest]) -> None:
    page = open_page("account")
    next(button for button in page.button if button.label == "Set up an authenticator").click().run()
    assert [code.value for code in page.code] == ["JBSWY3DPEHPK3PXP"]


def test_an_owner_has_the_organization_deleted_and_keeps_it_after_all(
    open_page: Callable[..., AppTest], double: Double
) -> None:
    double.me = {**double.me, "role": "owner"}
    page = open_page("organization")
    for field, text in zip(page.text_input[1:], ("Northwind", "my password", ""), strict=True):
        field.input(text)
    next(button for button in page.button if button.label == "Delete it in 14 days").click().run()
    assert double.changed == [
        ("deletion", {"name": "Northwind", "current_password": "my password", "code": None}),
    ]
    [warning] = page.error
    assert "on 2026-05-15 at" in warning.value
    next(button for button in page.button if button.label == "Keep it after all").click().run()
    assert not page.error
    assert len(page.text_input) == 4
