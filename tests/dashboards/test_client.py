import threading

import pytest

from dashboards import client
from dashboards.session import SignIn, SignIns
from tests.dashboards.double import Double

FUNNEL = {"pipeline_id": "new", "from": "2020-01-01", "to": "2035-01-01", "cohort": "created", "order": "reached"}


class TestSignIn:
    def test_a_wrong_password_is_said_so(self, api_url: str) -> None:
        assert api_url
        with pytest.raises(client.RefusedError, match="password is not right"):
            client.log_in("manager@example.com", "wrong")

    def test_no_api_is_said_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SLUICE_API_URL", "http://127.0.0.1:1")
        with pytest.raises(client.UnreachableError, match="cannot be reached"):
            client.log_in("manager@example.com", "sluice-demo")
        client.close()


class TestRefresh:
    def test_an_expired_token_is_replaced_unseen(self, double: Double, sign_in: SignIn) -> None:
        first = sign_in.access_token
        double.expire_access()
        assert client.me(sign_in).organization.name == "Northwind Traders"
        assert sign_in.access_token != first
        assert len(double.questions("/v1/auth/refresh")) == 1

    def test_many_tabs_share_one_refresh(self, double: Double, sign_in: SignIn) -> None:
        double.expire_access()
        failed: list[Exception] = []

        def ask(number: int) -> None:
            try:
                client.funnel(sign_in, {**FUNNEL, "window_days": number})
            except client.ApiError as error:
                failed.append(error)

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(1, 9)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        assert len(double.questions("/v1/auth/refresh")) == 1

    def test_a_sign_in_that_ended_asks_to_sign_in_again(self, double: Double, sign_in: SignIn) -> None:
        double.end_sign_ins()
        with pytest.raises(client.SignedOutError, match="sign in again"):
            client.me(sign_in)
        assert sign_in.ended


class TestSignOut:
    def test_revokes_the_sign_in_even_with_an_expired_token(self, double: Double, sign_in: SignIn) -> None:
        double.expire_access()
        client.log_out(sign_in)
        assert (double.access, double.refresh) == (set(), set())


class TestAnswers:
    def test_the_same_question_is_asked_once_until_the_figures_change(self, double: Double, sign_in: SignIn) -> None:
        for version in ("v1", "v1", "v2"):
            client.funnel(sign_in, FUNNEL, version=version)
        assert len(double.questions("/v1/metrics/funnel")) == 2

    def test_another_sign_in_never_gets_a_kept_answer(self, double: Double, sign_in: SignIn) -> None:
        client.funnel(sign_in, FUNNEL)
        client.funnel(client.log_in("manager@example.com", "sluice-demo"), FUNNEL)
        assert len(double.questions("/v1/metrics/funnel")) == 2

    def test_all_pages_of_the_deals_are_fetched(self, double: Double, sign_in: SignIn) -> None:
        deals = client.deals_behind(sign_in, "funnel", {**FUNNEL, "stage_id": "new-0", "measure": "entered"})
        assert len(deals.items) == deals.total.count > 400
        assert deals.next_cursor is None
        assert len(double.questions("/v1/metrics/funnel/rows")) == -(-deals.total.count // 200)

    @pytest.mark.parametrize(
        ("status", "code", "error"),
        [
            (503, "warehouse_not_ready", client.NotReadyError),
            (403, "forbidden", client.ForbiddenError),
            (422, "parameter_invalid", client.RefusedError),
            (500, "internal", client.RefusedError),
        ],
    )
    def test_a_problem_becomes_a_message_and_is_not_kept(
        self, double: Double, sign_in: SignIn, status: int, code: str, error: type[client.ApiError]
    ) -> None:
        double.problems["/v1/metrics/funnel"] = (status, code, "Because of this.")
        with pytest.raises(error) as caught:
            client.funnel(sign_in, FUNNEL)
        assert (caught.value.code, caught.value.reference) == (code, "0190-test")
        assert (caught.value.message == "Because of this.") is (status < 500 or status == 503)
        double.problems.clear()
        assert client.funnel(sign_in, FUNNEL).rows


class TestCookies:
    def test_a_ticket_works_once_and_soon(self) -> None:
        sign_ins, sign_in = SignIns(), SignIn("access", "refresh")
        ticket, late = sign_ins.keep(sign_in, now=0.0), sign_ins.keep(sign_in, now=0.0)
        assert sign_ins.redeem(ticket, now=1.0) == sign_in.key
        assert sign_ins.redeem(ticket, now=1.0) is None
        assert sign_ins.redeem(late, now=31.0) is None
        assert sign_ins.redeem("", now=1.0) is None

    def test_an_idle_sign_in_is_forgotten(self) -> None:
        sign_ins, sign_in = SignIns(), SignIn("access", "refresh")
        sign_ins.keep(sign_in, now=0.0)
        assert sign_ins.find(sign_in.key, now=11 * 3600.0) is sign_in
        assert sign_ins.find(sign_in.key, now=22 * 3600.0) is sign_in
        assert sign_ins.find(sign_in.key, now=35 * 3600.0) is None

    def test_signing_out_ends_it_in_every_tab(self) -> None:
        sign_ins, sign_in = SignIns(), SignIn("access", "refresh")
        sign_ins.keep(sign_in)
        sign_ins.forget(sign_in)
        assert sign_ins.find(sign_in.key) is None
        assert sign_in.ended


class TestWriting:
    def test_a_change_names_the_version_that_was_read(self, double: Double, sign_in: SignIn) -> None:
        double.notes["n1"] = {"id": "n1", "body": "Call back", "version": 1}
        note = client.get(sign_in, "/v1/notes/n1")
        changed = client.patch(sign_in, "/v1/notes/n1", {"body": "Called"}, etag=note.etag)
        assert (changed["body"], changed["version"]) == ("Called", 2)

    def test_a_change_of_what_somebody_else_changed_is_refused(self, double: Double, sign_in: SignIn) -> None:
        double.notes["n1"] = {"id": "n1", "body": "Call back", "version": 1}
        first = client.get(sign_in, "/v1/notes/n1")
        client.patch(sign_in, "/v1/notes/n1", {"body": "Called"}, etag=first.etag)
        with pytest.raises(client.StaleError):
            client.delete(sign_in, "/v1/notes/n1", etag=first.etag)
        assert double.notes["n1"]["body"] == "Called"
        client.delete(sign_in, "/v1/notes/n1", etag=client.get(sign_in, "/v1/notes/n1").etag)
        assert double.notes == {}

    def test_a_form_sent_twice_does_it_once(self, double: Double, sign_in: SignIn) -> None:
        for _ in range(2):
            client.post(sign_in, "/v1/notes", {"body": "Call back"}, key="form-1")
        assert [note["body"] for note in client.get_all(sign_in, "/v1/notes")] == ["Call back"]
        assert len(double.notes) == 1

    def test_the_field_that_is_wrong_is_named(self, double: Double, sign_in: SignIn) -> None:
        with pytest.raises(client.RefusedError) as refused:
            client.post(sign_in, "/v1/notes", {"body": ""})
        assert set(refused.value.fields) == {"body"}
        double.refused.clear()

    def test_an_expired_token_is_replaced_unseen(self, double: Double, sign_in: SignIn) -> None:
        double.expire_access()
        client.post(sign_in, "/v1/notes", {"body": "Call back"})
        assert len(double.notes) == 1
