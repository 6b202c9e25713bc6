"""Rules of users and sign-ins with plain objects."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.identity import rules
from api.identity.rules import NewUser, SignIn, User
from contracts.access import RecordScope, Role

NOW = datetime(2026, 5, 1, tzinfo=UTC)
GRACE = timedelta(seconds=30)


def made(role: Role, **fields: Any) -> User:
    return rules.create_user(NewUser(email="Kim@Example.com", name="Kim", role=role, **fields), NOW, by=None).after


class TestUsers:
    def test_an_address_has_one_spelling(self) -> None:
        assert made(Role.REP).email == "kim@example.com"

    @pytest.mark.parametrize("by", [Role.ADMIN, Role.MANAGER])
    def test_only_an_owner_makes_or_changes_an_owner(self, by: Role) -> None:
        with pytest.raises(rules.OwnersAreForOwners):
            rules.create_user(NewUser(email="o@example.com", name="O", role=Role.OWNER), NOW, by=by)
        for user, changes in ((made(Role.OWNER), {"role": Role.REP}), (made(Role.REP), {"role": Role.OWNER})):
            with pytest.raises(rules.OwnersAreForOwners):
                rules.update_user(user, NOW, changes=changes, by=by, has_other_owner=True)

    @pytest.mark.parametrize("changes", [{"role": Role.REP}, {"is_active": False}])
    def test_the_last_owner_stays(self, changes: dict[str, Any]) -> None:
        owner = made(Role.OWNER)
        with pytest.raises(rules.LastOwner):
            rules.update_user(owner, NOW, changes=changes, by=Role.OWNER)
        assert rules.update_user(owner, NOW, changes=changes, by=Role.OWNER, has_other_owner=True) is not None
        assert rules.update_user(owner, NOW, changes={"name": "K"}, by=Role.OWNER) is not None

    def test_a_role_brings_its_scope_unless_one_is_named(self) -> None:
        rep = made(Role.REP)
        manager = rules.update_user(rep, NOW, changes={"role": Role.MANAGER}, by=Role.ADMIN)
        assert manager is not None
        assert manager.after.record_scope is RecordScope.SUBTREE
        named = {"role": Role.MANAGER, "record_scope": RecordScope.OWN}
        change = rules.update_user(rep, NOW, changes=named, by=Role.ADMIN)
        assert change is not None
        assert change.after.record_scope is RecordScope.OWN

    def test_what_changes_nothing_is_no_event_but_a_password_is(self) -> None:
        rep = made(Role.REP)
        same = {"role": Role.REP, "name": "Kim"}
        assert rules.update_user(rep, NOW, changes=same, by=Role.ADMIN) is None
        change = rules.update_user(rep, NOW, changes=same, by=Role.ADMIN, has_new_password=True)
        assert change is not None
        assert (change.after.version, change.after.name) == (2, "Kim")


class TestRefresh:
    @given(asked=st.lists(st.tuples(st.integers(-3, 0), st.integers(0, 60)), max_size=20))
    def test_a_token_is_good_once_and_its_predecessor_for_the_grace(self, asked: list[tuple[int, int]]) -> None:
        sign_in = SignIn(id=UUID(int=1), user_id=UUID(int=2), expires_at=NOW + timedelta(days=1), rotated_at=NOW)
        now = NOW
        for behind, seconds in asked:
            now += timedelta(seconds=seconds)
            change = rules.refresh(sign_in, now, generation=sign_in.generation + behind, is_active=True, grace=GRACE)
            if sign_in.revoked_at is not None:
                assert change is None
                continue
            assert change is not None
            is_repeat = behind == -1 and now - sign_in.rotated_at <= GRACE
            assert change.after.generation == sign_in.generation + (behind == 0)
            assert (change.after.revoked_because == "reuse") == (behind < 0 and not is_repeat)
            sign_in = change.after

    def test_of_a_disabled_user_or_after_its_end_is_refused(self) -> None:
        sign_in = SignIn(id=UUID(int=1), user_id=UUID(int=2), expires_at=NOW, rotated_at=NOW)
        assert rules.refresh(sign_in, NOW, generation=1, is_active=True, grace=GRACE) is None
        later = replace(sign_in, expires_at=NOW + GRACE)
        assert rules.refresh(later, NOW, generation=1, is_active=False, grace=GRACE) is None
        assert rules.refresh(later, NOW, generation=1, is_active=True, grace=GRACE) is not None
