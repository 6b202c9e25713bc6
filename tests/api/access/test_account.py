"""What people do with their own passwords, addresses, second factors, sign-ins and organizations."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import psycopg
import pyotp
import pytest
import pytest_asyncio

from contracts.access import Role
from tests.conftest import Database
from tests.eventually import eventually
from tests.factories import PASSWORD, Account, Api, new_email, start_api
from tests.mailbox import Mailbox, smtp_server

_NEW = "quite another phrase"


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with smtp_server() as running:
        yield running


@pytest_asyncio.fixture
async def mailing(api_database: Database, mailbox: Mailbox) -> AsyncIterator[Api]:
    """The API with a mail server."""
    started = await start_api(api_database, mail=mailbox.settings)
    yield started
    await started.close()


async def login(api: Api, email: str, password: str, **fields: Any) -> httpx.Response:
    return await api.http.post("/v1/auth/login", json={"email": email, "password": password, **fields})


async def links_to(mailbox: Mailbox, address: str, *, count: int = 1) -> list[str]:
    """The tokens in the newest mail to an address, once it has come."""

    def come() -> list[Any]:
        return [mail for mail in mailbox.mails if mail["To"] == address]

    await asyncio.to_thread(eventually, lambda: len(come()) >= count, what="a mail")
    return re.findall(r"token=(\S+)", come()[-1].get_content())


class TestOwnPassword:
    async def test_a7_a_change_ends_all_sign_ins_everywhere(self, api: Api, owner: Account) -> None:
        second = await api.sign_up(email=owner.email)
        answer = await owner.post("/v1/me/password", json={"current_password": PASSWORD, "new_password": _NEW})
        assert answer.status_code == 204, answer.text
        for account in (owner, second):
            assert (await account.get("/v1/me")).status_code == 401
            refreshed = await api.http.post("/v1/auth/refresh", json={"refresh_token": account.refresh_token})
            assert refreshed.status_code == 401
        assert (await login(api, owner.email, PASSWORD)).status_code == 401
        assert (await login(api, owner.email, _NEW)).status_code == 200

    @pytest.mark.parametrize(
        ("current", "new", "code"),
        [("wrong", _NEW, "wrong_password"), (PASSWORD, "password123", "weak_password")],
    )
    async def test_it_takes_the_present_password_and_a_good_new_one(
        self, owner: Account, current: str, new: str, code: str
    ) -> None:
        answer = await owner.post("/v1/me/password", json={"current_password": current, "new_password": new})
        assert (answer.status_code, answer.json()["code"]) == (422, code)
        assert (await owner.get("/v1/me")).status_code == 200

    async def test_a_stolen_password_can_be_changed_though_it_was_used_for_another_sign_up(
        self, api: Api, owner: Account
    ) -> None:
        rep = await owner.add_user()
        await api.sign_up(email=rep.email)  # by whoever stole the password
        answer = await rep.post("/v1/me/password", json={"current_password": PASSWORD, "new_password": _NEW})
        assert answer.status_code == 204
        assert (await login(api, rep.email, PASSWORD)).status_code == 401


class TestForgottenPassword:
    async def test_a_link_by_mail_sets_it_once_and_proves_the_address(self, mailing: Api, mailbox: Mailbox) -> None:
        owner = await mailing.sign_up()
        await mailing.http.post("/v1/auth/password/forgotten", json={"email": owner.email.upper()})
        [token] = await links_to(mailbox, owner.email)
        body = {"token": token, "password": _NEW}
        answers = await asyncio.gather(*(mailing.http.post("/v1/auth/password", json=body) for _ in range(5)))
        assert sorted(answer.status_code for answer in answers) == [204, 422, 422, 422, 422]
        assert (await owner.get("/v1/me")).status_code == 401
        assert (await login(mailing, owner.email, _NEW)).status_code == 200

    async def test_a2_the_answer_is_the_same_for_an_unknown_address(self, mailing: Api, mailbox: Mailbox) -> None:
        owner = await mailing.sign_up()
        answers = [
            await mailing.http.post("/v1/auth/password/forgotten", json={"email": email})
            for email in (owner.email, new_email("nobody"))
        ]
        assert [(answer.status_code, answer.content) for answer in answers] == [(202, b"")] * 2
        await links_to(mailbox, owner.email)
        assert len(mailbox.mails) == 1

    async def test_a_link_of_another_key_or_altered_is_refused(
        self, mailing: Api, mailbox: Mailbox, api_database: Database
    ) -> None:
        other = await start_api(
            api_database, mail=mailbox.settings, secret_key="another key of another installation, long enough"
        )
        owner = await mailing.sign_up()
        await other.http.post("/v1/auth/password/forgotten", json={"email": owner.email})
        [token] = await links_to(mailbox, owner.email)
        await other.close()
        for bad in (token, "", "A" * 100, token[:-2] + "AA"):
            answer = await mailing.http.post("/v1/auth/password", json={"token": bad, "password": _NEW})
            assert (answer.status_code, answer.json()["code"]) == (422, "link_not_good"), bad

    async def test_a_password_that_was_changed_meanwhile_ends_the_link(self, mailing: Api, mailbox: Mailbox) -> None:
        owner = await mailing.sign_up()
        await mailing.http.post("/v1/auth/password/forgotten", json={"email": owner.email})
        [token] = await links_to(mailbox, owner.email)
        await owner.post("/v1/me/password", json={"current_password": PASSWORD, "new_password": _NEW})
        answer = await mailing.http.post("/v1/auth/password", json={"token": token, "password": "a third long phrase"})
        assert answer.json()["code"] == "link_not_good"

    async def test_a4_whoever_proved_the_address_gets_the_only_link(self, mailing: Api, mailbox: Mailbox) -> None:
        strangers = [
            await mailing.sign_up(email="victim@example.org", password=f"strangers phrase {n}") for n in range(7)
        ]
        victim = await mailing.sign_up(email="victim@example.org")
        await victim.post("/v1/me/prove-address")
        [token] = await links_to(mailbox, victim.email)
        assert (await mailing.http.post("/v1/auth/address", json={"token": token})).status_code == 204
        await mailing.http.post("/v1/auth/password/forgotten", json={"email": victim.email})
        [reset] = await links_to(mailbox, victim.email, count=2)
        answer = await mailing.http.post("/v1/auth/password", json={"token": reset, "password": _NEW})
        assert answer.status_code == 204
        assert (await mailing.sign_in(victim.email, _NEW)).user_id == victim.user_id
        assert (await strangers[0].get("/v1/me")).status_code == 200


async def test_strangers_who_registered_an_address_first_lock_nobody_out(api: Api) -> None:
    email = new_email("victim")
    for number in range(8):
        await api.sign_up(email=email, password=f"strangers phrase {number}")
    victim = await api.sign_up(email=email)
    assert (await api.sign_in(email)).user_id == victim.user_id


@pytest.mark.parametrize(
    ("registered", "typed"),
    [
        ("İnfo@example.com", "İnfo@example.com"),
        ("rene\u0301@example.com", "ren\u00e9@example.com"),
        ("RENÉ2@Example.com", "rene\u03012@example.COM"),
        ("stra\u00dfe@example.com", "STRASSE@example.com"),
    ],
)
async def test_an_address_is_one_however_its_letters_are_composed(api: Api, registered: str, typed: str) -> None:
    account = await api.sign_up(email=registered)
    assert (await api.sign_in(typed)).user_id == account.user_id


async def test_passwords_that_an_earlier_version_hashed_still_work(api: Api, api_database: Database) -> None:
    from_before = "$argon2id$v=19$m=64,t=1,p=1$"
    owner = await api.sign_up()
    hasher = api.app.state.services.passwords._hasher
    with psycopg.connect(api_database.admin_url, autocommit=True) as admin:
        admin.execute("update people set password_hash = %s where email = %s", [hasher.hash(PASSWORD), owner.email])
        for _ in range(2):
            assert (await login(api, owner.email, PASSWORD)).status_code == 200
        assert (await login(api, owner.email, "wrong phrase")).status_code == 401
        row = admin.execute("select password_hash from people where email = %s", [owner.email]).fetchone()
    assert row is not None
    assert row[0] == await api.app.state.services.passwords.hash(PASSWORD, email=owner.email)
    assert row[0].startswith(from_before)


class TestSecondFactor:
    async def _add(self, account: Account) -> tuple[pyotp.TOTP, list[str]]:
        seed = await account.made("/v1/me/second-factor")
        assert seed["seed"] in seed["uri"]
        totp = pyotp.TOTP(seed["seed"])
        confirmed = await account.made("/v1/me/second-factor/confirm", json={"code": totp.now()})
        return totp, confirmed["recovery_codes"]

    async def test_a4_a_code_is_good_once_of_20_at_once_and_not_after_a_restart(
        self, api: Api, owner: Account, api_database: Database
    ) -> None:
        totp, _ = await self._add(owner)
        code = totp.at(int(time.time()), counter_offset=1)
        answers = await asyncio.gather(*(login(api, owner.email, PASSWORD, code=code) for _ in range(20)))
        assert sorted(answer.status_code for answer in answers)[:2] == [200, 401]
        restarted = await start_api(api_database)
        assert (await login(restarted, owner.email, PASSWORD, code=code)).status_code in {401, 429}
        await restarted.close()

    async def test_a4_the_password_alone_is_not_enough_and_says_so_only_to_who_has_it(
        self, api: Api, owner: Account
    ) -> None:
        await self._add(owner)
        assert (await login(api, owner.email, PASSWORD)).json()["code"] == "second_factor_needed"
        wrong = (await login(api, owner.email, "wrong phrase")).json()
        assert (wrong["code"], wrong["detail"]) == ("wrong_credentials", "E-mail address or password is wrong.")
        assert (await login(api, owner.email, PASSWORD, code="000000")).status_code == 401

    async def test_a4_recovery_codes_are_good_once_each_and_kept_as_digests(
        self, api: Api, owner: Account, api_database: Database
    ) -> None:
        totp, codes = await self._add(owner)
        assert len(set(codes)) == 10
        for code, status in ((codes[0], 200), (codes[0], 401), (codes[1].upper(), 200)):
            assert (await login(api, owner.email, PASSWORD, code=code)).status_code == status
        with psycopg.connect(api_database.admin_url) as admin:
            rows = str(admin.execute("select * from second_factors").fetchall())
        assert totp.secret not in rows
        assert codes[2] not in rows

    async def test_a4_neither_a_reset_nor_a_refresh_goes_around_it(self, mailing: Api, mailbox: Mailbox) -> None:
        owner = await mailing.sign_up()
        await self._add(owner)
        await mailing.http.post("/v1/auth/password/forgotten", json={"email": owner.email})
        [token] = await links_to(mailbox, owner.email)
        await mailing.http.post("/v1/auth/password", json={"token": token, "password": _NEW})
        assert (await login(mailing, owner.email, _NEW)).json()["code"] == "second_factor_needed"

    async def test_a4_other_sign_ins_end_when_it_is_added_or_removed(self, api: Api, owner: Account) -> None:
        before = await api.sign_in(owner.email)
        _, codes = await self._add(owner)
        assert (await before.get("/v1/me")).status_code == 401
        assert (await owner.get("/v1/me")).status_code == 200
        assert (await owner.post("/v1/me/second-factor")).json()["code"] == "second_factor_in_use"
        assert (await owner.post("/v1/me/second-factor/remove", json={"code": "000000"})).status_code == 422
        assert (await owner.post("/v1/me/second-factor/remove", json={"code": codes[0]})).status_code == 204
        assert (await login(api, owner.email, PASSWORD)).status_code == 200

    async def test_a4_an_organization_that_asks_for_it_lets_nobody_do_anything_else(self, owner: Account) -> None:
        rep = await owner.add_user(role=Role.REP)
        await self._add(owner)
        path = f"/v1/organizations/{owner.organization_id}"
        assert (await owner.patch(path, json={"requires_second_factor": True})).status_code == 200
        assert (await rep.get("/v1/deals")).json()["code"] == "second_factor_required"
        assert (await rep.get("/v1/me")).status_code == 200
        await self._add(rep)
        assert (await rep.get("/v1/deals")).status_code == 200


class TestSessions:
    async def test_a7_they_are_listed_and_revoked(self, api: Api, owner: Account) -> None:
        other = await api.sign_in(owner.email)
        listed = (await owner.read("/v1/sessions"))["items"]
        assert [session["is_present"] for session in listed] == [False, True]
        assert listed[0]["user_agent"].startswith("python-httpx")
        assert (await owner.call("DELETE", f"/v1/sessions/{listed[0]['id']}")).status_code == 204
        assert (await other.get("/v1/me")).status_code == 401
        assert len((await owner.read("/v1/sessions"))["items"]) == 1

    async def test_those_of_others_are_the_administrators_affair(self, owner: Account, stranger: Account) -> None:
        rep = await owner.add_user()
        [session] = (await owner.read("/v1/sessions", params={"user_id": str(rep.user_id)}))["items"]
        [own] = (await rep.read("/v1/sessions", params={"user_id": str(owner.user_id)}))["items"]
        assert own["user_id"] == str(rep.user_id)
        [boss] = (await owner.read("/v1/sessions"))["items"]
        assert (await rep.call("DELETE", f"/v1/sessions/{boss['id']}")).status_code == 404
        assert (await stranger.call("DELETE", f"/v1/sessions/{session['id']}")).status_code == 404
        assert (await owner.call("DELETE", f"/v1/sessions/{session['id']}")).status_code == 204
        assert (await rep.get("/v1/me")).status_code == 401


class TestOrganizations:
    async def test_one_chooses_and_switches(self, api: Api, owner: Account, stranger: Account) -> None:
        second = await api.sign_up(email=owner.email, organization_name="Second")
        listed = (await owner.read("/v1/me/organizations"))["items"]
        assert [(one["name"], one["is_present"]) for one in listed] == [("Acme", True), ("Second", False)]
        tokens = await owner.made("/v1/auth/switch", json={"organization_id": str(second.organization_id)})
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        me = (await api.http.get("/v1/me", headers=headers)).json()
        assert me["id"] == str(second.user_id)
        foreign = {"organization_id": str(stranger.organization_id)}
        assert (await owner.post("/v1/auth/switch", json=foreign)).status_code == 404


class TestInvitations:
    async def test_a_link_by_mail_makes_a_user_in_their_team(self, mailing: Api, mailbox: Mailbox) -> None:
        owner = await mailing.sign_up()
        team = await owner.made("/v1/teams", json={"name": "North"})
        body = {"email": new_email("New"), "role": "manager", "team_id": team["id"]}
        made = await owner.made("/v1/invitations", json=body)
        assert (made["is_mailed"], made["link"]) == (True, None)
        [token] = await links_to(mailbox, made["email"])
        joining = {"token": token, "password": PASSWORD, "name": "Kim New"}
        answers = await asyncio.gather(*(mailing.http.post("/v1/auth/join", json=joining) for _ in range(4)))
        assert sorted(answer.status_code for answer in answers) == [201, 422, 422, 422]
        joined = await mailing.sign_in(body["email"])
        me = await joined.read("/v1/me")
        assert (me["name"], me["role"], me["team_id"]) == ("Kim New", "manager", team["id"])
        assert (await owner.read("/v1/invitations"))["items"] == []

    async def test_without_mail_the_link_is_handed_over_and_can_be_revoked(self, api: Api, owner: Account) -> None:
        made = await owner.made("/v1/invitations", json={"email": new_email("new")})
        token = made["link"].partition("token=")[2]
        again = await owner.post("/v1/invitations", json={"email": made["email"].upper()})
        assert (again.status_code, again.json()["code"]) == (409, "already_invited")
        assert (await owner.call("DELETE", f"/v1/invitations/{made['id']}")).status_code == 204
        answer = await api.http.post("/v1/auth/join", json={"token": token, "password": PASSWORD})
        assert answer.json()["code"] == "link_not_good"

    async def test_with_the_password_of_elsewhere_one_keeps_one_sign_in(
        self, api: Api, owner: Account, stranger: Account
    ) -> None:
        made = await owner.made("/v1/invitations", json={"email": stranger.email})
        token = made["link"].partition("token=")[2]
        answer = await api.http.post("/v1/auth/join", json={"token": token, "password": PASSWORD})
        assert answer.status_code == 201, answer.text
        assert len((await stranger.read("/v1/me/organizations"))["items"]) == 2

    async def test_they_are_the_administrators_affair_and_owners_are_the_owners(self, owner: Account) -> None:
        rep, admin = await owner.add_user(), await owner.add_user(role=Role.ADMIN)
        assert (await rep.post("/v1/invitations", json={"email": new_email("x")})).status_code == 403
        answer = await admin.post("/v1/invitations", json={"email": new_email("x"), "role": "owner"})
        assert answer.json()["code"] == "owners_are_for_owners"
        taken = await admin.post("/v1/invitations", json={"email": rep.email})
        assert taken.json()["code"] == "email_taken"


async def test_a_sign_in_is_no_change_of_the_user(api: Api, owner: Account) -> None:
    path = f"/v1/users/{owner.user_id}"
    before = await owner.get(path)
    await api.sign_in(owner.email)
    after = await owner.get(path)
    assert (after.headers["ETag"], after.json()) == (before.headers["ETag"], before.json())
    changed = await owner.call("PATCH", path, json={"name": "Else"}, headers={"If-Match": before.headers["ETag"]})
    assert changed.status_code == 200
    assert changed.headers["ETag"] != before.headers["ETag"]
