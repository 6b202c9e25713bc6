"""Rules of teams with plain objects: whatever order commands come in, the tree is a tree and nobody is in two teams."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.kernel.constraints import UnknownReference
from api.kernel.errors import CrmError, NotFound
from api.teams import rules
from api.teams.rules import Membership, Roster, Team

NOW = datetime(2026, 5, 1, tzinfo=UTC)
EVER = datetime(1970, 1, 1, tzinfo=UTC)
KIM, LEE = UUID(int=1), UUID(int=2)


def roster_of(*names: str) -> tuple[Roster, list[UUID]]:
    """An organization with open teams of these names, side by side."""
    roster = Roster([], [])
    for name in names:
        roster.apply([rules.create_team(roster, NOW, name=name)])
    return roster, list(roster.teams)


def times_of(roster: Roster, user_id: UUID, team_id: UUID) -> Membership | None:
    present = roster.present(user_id)
    return present if present is not None and present.team_id == team_id else None


class TestAddMember:
    def test_ends_the_membership_elsewhere_at_the_same_instant(self) -> None:
        roster, (north, south) = roster_of("North", "South")
        roster.apply(rules.add_member(roster, NOW, team_id=north, user_id=KIM, occurred_at=EVER))
        changes = rules.add_member(roster, NOW, team_id=south, user_id=KIM, occurred_at=NOW)
        told = [(change.event.type, change.after.id, change.occurred_at) for change in changes if change.event]
        assert told == [("team.member.removed", north, NOW), ("team.member.added", south, NOW)]
        roster.apply(changes)
        assert times_of(roster, KIM, south) is not None
        assert roster.members(north) == []

    def test_where_the_user_is_already_nothing_happens(self) -> None:
        roster, (north,) = roster_of("North")
        roster.apply(rules.add_member(roster, NOW, team_id=north, user_id=KIM, occurred_at=EVER))
        assert rules.add_member(roster, NOW, team_id=north, user_id=KIM, occurred_at=NOW) == []
        assert rules.add_member(roster, NOW, team_id=north, user_id=KIM) == []

    def test_an_earlier_beginning_corrects_the_membership(self) -> None:
        roster, (north,) = roster_of("North")
        roster.apply(rules.add_member(roster, NOW, team_id=north, user_id=KIM))
        changes = rules.add_member(roster, NOW, team_id=north, user_id=KIM, occurred_at=EVER)
        assert [(change.event.type, change.occurred_at) for change in changes if change.event] == [
            ("team.member.added", EVER)
        ]
        roster.apply(changes)
        member = times_of(roster, KIM, north)
        assert member is not None
        assert (member.started_at, len(roster.members(north))) == (EVER, 1)

    def test_an_earlier_beginning_reaches_into_no_other_membership(self) -> None:
        roster, (north, south) = roster_of("North", "South")
        roster.apply(rules.add_member(roster, NOW, team_id=south, user_id=KIM, occurred_at=EVER))
        roster.apply(rules.add_member(roster, NOW, team_id=north, user_id=KIM, occurred_at=NOW))
        with pytest.raises(rules.MembershipOverlap):
            rules.add_member(roster, NOW, team_id=north, user_id=KIM, occurred_at=NOW - timedelta(days=1))

    def test_does_not_reach_into_what_is_known_of_the_past(self) -> None:
        roster, (north, south) = roster_of("North", "South")
        roster.apply(rules.add_member(roster, NOW, team_id=north, user_id=KIM, occurred_at=EVER))
        roster.apply(rules.remove_member(roster, NOW, team_id=north, user_id=KIM, occurred_at=NOW))
        with pytest.raises(rules.MembershipOverlap):
            rules.add_member(roster, NOW, team_id=south, user_id=KIM, occurred_at=NOW - timedelta(days=1))
        assert roster.free_from(KIM) == NOW
        assert rules.add_member(roster, NOW, team_id=south, user_id=KIM, occurred_at=NOW)

    def test_into_a_closed_or_unknown_team_or_into_the_future_is_refused(self) -> None:
        roster, (north,) = roster_of("North")
        roster.apply(rules.update_team(roster, NOW, team_id=north, changes={"is_active": False}))
        with pytest.raises(rules.TeamClosed):
            rules.add_member(roster, NOW, team_id=north, user_id=KIM)
        with pytest.raises(NotFound):
            rules.add_member(roster, NOW, team_id=UUID(int=9), user_id=KIM)
        with pytest.raises(rules.InTheFuture):
            rules.add_member(roster, NOW, team_id=north, user_id=KIM, occurred_at=NOW + timedelta(hours=1))


class TestTree:
    def test_a_team_goes_neither_below_itself_nor_below_a_closed_or_unknown_one(self) -> None:
        roster, (top, other) = roster_of("Top", "Other")
        roster.apply([rules.create_team(roster, NOW, name="Low", parent_team_id=top)])
        low = roster.named("low")
        assert low is not None
        for below in (top, low.id):
            with pytest.raises(rules.TeamCycle):
                rules.update_team(roster, NOW, team_id=top, changes={"parent_team_id": below})
        roster.apply(rules.update_team(roster, NOW, team_id=other, changes={"is_active": False}))
        with pytest.raises(rules.TeamClosed):
            rules.update_team(roster, NOW, team_id=top, changes={"parent_team_id": other})
        with pytest.raises(UnknownReference):
            rules.create_team(roster, NOW, name="New", parent_team_id=UUID(int=9))

    def test_closing_tells_of_every_member_before_the_team(self) -> None:
        roster, (north,) = roster_of("North")
        for user in (KIM, LEE):
            roster.apply(rules.add_member(roster, NOW, team_id=north, user_id=user, occurred_at=EVER))
        changes = rules.update_team(roster, NOW, team_id=north, changes={"is_active": False})
        told = [(c.event.type, c.after.version) for c in changes if c.event and isinstance(c.after, Team)]
        assert told == [("team.member.removed", 4), ("team.member.removed", 5), ("team.updated", 6)]

    def test_a_name_is_free_again_once_its_team_is_closed(self) -> None:
        roster, (north,) = roster_of("North")
        with pytest.raises(rules.TeamNameTaken):
            rules.create_team(roster, NOW, name="NORTH")
        roster.apply(rules.update_team(roster, NOW, team_id=north, changes={"is_active": False}))
        roster.apply([rules.create_team(roster, NOW, name="NORTH")])
        with pytest.raises(rules.TeamNameTaken):
            rules.update_team(roster, NOW, team_id=north, changes={"is_active": True})


#: What people do to four teams and two users, at instants of a month.
COMMANDS = st.lists(
    st.tuples(
        st.sampled_from(["put", "take", "move", "free", "close", "reopen"]),
        st.integers(0, 3),
        st.integers(0, 3),
        st.sampled_from([KIM, LEE]),
        st.integers(0, 30).map(lambda days: NOW - timedelta(days=days)),
    ),
    max_size=40,
)


@given(commands=COMMANDS)
def test_in_any_order_the_tree_has_no_cycle_and_times_in_teams_never_overlap(
    commands: list[tuple[str, int, int, UUID, datetime]],
) -> None:
    roster, teams = roster_of("A", "B", "C", "D")
    memberships: dict[UUID, Membership] = {}
    for verb, one, other, user, at in commands:
        before = {team.id: team.version for team in roster.teams.values()}
        try:
            changes = _do(roster, verb, teams[one], teams[other], user, at)
        except CrmError:
            continue
        roster.apply(changes)
        memberships |= {change.after.id: change.after for change in changes if isinstance(change.after, Membership)}
        events = [change.after.id for change in changes if change.event is not None]
        assert all(roster.teams[id_].version == version + events.count(id_) for id_, version in before.items())
    for team in roster.teams.values():
        above, seen = team, {team.id}
        while above.parent_team_id is not None:
            above = roster.teams[above.parent_team_id]
            assert above.id not in seen
            seen.add(above.id)
    times: dict[UUID, list[Membership]] = defaultdict(list)
    for membership in sorted(memberships.values(), key=lambda one: (one.started_at, one.ended_at is None)):
        assert membership.ended_at is not None or roster.teams[membership.team_id].is_active
        times[membership.user_id].append(membership)
    for of_user in times.values():
        assert all(a.ended_at is not None and a.ended_at <= b.started_at for a, b in pairwise(of_user))


def _do(roster: Roster, verb: str, one: UUID, other: UUID, user: UUID, at: datetime) -> rules.Changes:
    if verb == "put":
        return rules.add_member(roster, NOW, team_id=one, user_id=user, occurred_at=at)
    if verb == "take":
        return rules.remove_member(roster, NOW, team_id=one, user_id=user, occurred_at=at)
    changes: dict[str, dict[str, object]] = {
        "move": {"parent_team_id": other},
        "free": {"parent_team_id": None},
        "close": {"is_active": False},
        "reopen": {"is_active": True},
    }
    return rules.update_team(roster, NOW, team_id=one, changes=changes[verb], occurred_at=at)


def test_what_changes_nothing_is_no_event() -> None:
    roster, (north,) = roster_of("North")
    assert len(rules.update_team(roster, NOW, team_id=north, changes={"manager_id": KIM})) == 1
    assert rules.update_team(roster, NOW, team_id=north, changes={"manager_id": None}) == []
