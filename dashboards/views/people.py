"""People, their roles and teams, and who is invited: for administrators."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, get_args

import streamlit as st

from contracts.calls import sign_in as sessions
from contracts.calls import teams as team_calls
from contracts.calls import users as user_calls
from contracts.calls.schemas import InvitationRead, RecordScope, Role, SessionRead, TeamRead, UserRead
from dashboards import client, forms, money, states, tables
from dashboards.answers import Me
from dashboards.pages import Page
from dashboards.session import SignIn

PAGE = Page("People", icon="group", group="Admin", position=1, roles=frozenset({"owner", "admin"}))

_ROLES: tuple[Role, ...] = get_args(Role)
_SCOPES: dict[RecordScope, str] = {
    "own": "own records",
    "team": "the team's",
    "subtree": "all teams below",
    "all": "everybody's",
}
_NO_TEAM = "no team"


def render(sign_in: SignIn, me: Me) -> None:
    """Draw the page."""
    st.title("People", anchor=False)
    with states.explained():
        users = client.ask_all(sign_in, partial(user_calls.list_users, limit=100))
        listed = client.ask_all(sign_in, partial(team_calls.list_teams, limit=100))
        teams = [team for team in listed if team["is_active"]]
        people, invited, in_teams, roles = st.tabs(["People", "Invitations", "Teams", "Roles"])
        with people, states.explained():
            _people(sign_in, users)
        with invited, states.explained():
            _invitations(sign_in, me, teams)
        with in_teams, states.explained():
            _teams(sign_in, users, teams)
        with roles, states.explained():
            _roles(sign_in)


def _people(sign_in: SignIn, users: Sequence[UserRead]) -> None:
    rows = [
        {
            "Name": user["name"],
            "E-mail": user["email"],
            "Role": user["role"],
            "Sees": _SCOPES[user["record_scope"]],
            "Active": user["is_active"],
        }
        for user in users
    ]
    tables.show(rows)
    by_id = {user["id"]: user for user in users}
    chosen = st.selectbox("Change", list(by_id), format_func=lambda one: _called(by_id[one]), key="person")
    user = client.ask(sign_in, user_calls.read_user(chosen))
    with st.form(f"user_{chosen}"):
        role = st.selectbox("Role", _ROLES, _ROLES.index(user["role"]))
        scopes = list(_SCOPES)
        scope = st.selectbox("Sees", scopes, scopes.index(user["record_scope"]), format_func=_SCOPES.__getitem__)
        is_active = st.checkbox("Active", user["is_active"], help="Whoever is not loses access at once.")
        done = st.form_submit_button("Save", type="primary")
    if done:
        client.ask(
            sign_in,
            user_calls.update_user(
                chosen,
                {"role": role, "record_scope": scope, "is_active": is_active},
                version=user["version"],
            ),
        )
        st.rerun()
    _sign_ins(sign_in, chosen)


def _sign_ins(sign_in: SignIn, user_id: str) -> None:
    going_on: list[SessionRead] = client.ask_all(sign_in, partial(sessions.list_sessions, user_id=user_id, limit=100))
    st.text("1 sign-in goes on." if len(going_on) == 1 else f"{len(going_on)} sign-ins go on.")
    others = [session for session in going_on if not session["is_present"]]
    if others and st.button("End them", icon=":material/logout:"):
        for session in others:
            client.ask(sign_in, sessions.revoke_session(session["id"]))
        st.rerun()


def _invitations(sign_in: SignIn, me: Me, teams: Sequence[TeamRead]) -> None:
    zone = me.organization.zone
    waiting: list[InvitationRead] = client.ask_all(sign_in, partial(user_calls.list_invitations, limit=100))
    rows = [
        {"E-mail": one["email"], "Role": one["role"], "Until": money.instant(one["expires_at"], zone)}
        for one in waiting
    ]
    if rows:
        tables.show(rows)
    else:
        st.text("Nobody is invited.")
    names = {None: _NO_TEAM} | {team["id"]: team["name"] for team in teams}
    with st.form("invite", clear_on_submit=True):
        email = st.text_input("E-mail address")
        roles = _ROLES if me.role == "owner" else _ROLES[1:]
        role = st.selectbox("Role", roles, roles.index("rep"))
        team = st.selectbox("Team", list(names), format_func=names.__getitem__)
        done = st.form_submit_button("Invite", type="primary")
    if done and email.strip():
        made = client.ask(sign_in, user_calls.invite({"email": email.strip(), "role": role, "team_id": team}))
        if made["is_mailed"]:
            st.success(f"An invitation is on its way to {states.plain(made['email'])}.")
        else:
            st.info("No mail server is configured. Give this link to the person, and to nobody else:")
            st.code(made["link"] or "", language=None)
    if waiting:
        by_id = {one["id"]: one["email"] for one in waiting}
        taken = st.selectbox("Take back", list(by_id), format_func=by_id.__getitem__)
        if st.button("Take it back"):
            client.ask(sign_in, user_calls.revoke_invitation(taken))
            st.rerun()


def _teams(sign_in: SignIn, users: Sequence[UserRead], teams: Sequence[TeamRead]) -> None:
    names = {user["id"]: _called(user) for user in users}
    for depth, team in _as_tree(teams):
        manager = names.get(team["manager_id"] or "")
        led = f", led by {manager}" if manager else ""
        st.text(f"{'↳ ' * depth}{team['name']}{led}")
    if not teams:
        st.text("There are no teams yet.")
    parents = {None: "none"} | {team["id"]: team["name"] for team in teams}
    managers = {None: "nobody"} | names
    with st.form("team", clear_on_submit=True):
        name = st.text_input("New team")
        parent = st.selectbox("Below", list(parents), format_func=parents.__getitem__)
        manager_id = st.selectbox("Led by", list(managers), format_func=managers.__getitem__)
        made = st.form_submit_button("Make it", type="primary")
    if made and name.strip():
        client.ask(
            sign_in,
            team_calls.create_team({"name": name.strip(), "parent_team_id": parent, "manager_id": manager_id}),
        )
        st.rerun()
    if teams:
        called = {team["id"]: team["name"] for team in teams}
        with st.form("member"):
            who = st.selectbox("Person", list(names), format_func=names.__getitem__)
            into = st.selectbox("Joins", list(called), format_func=called.__getitem__)
            joins = st.form_submit_button("Move them", help="A person is in one team at a time.")
        if joins:
            client.ask(sign_in, team_calls.add_team_member(into, {"user_id": who}))
            st.success("Done.")
        _one_team(sign_in, teams, parents, managers)


def _one_team(
    sign_in: SignIn, teams: Sequence[TeamRead], parents: Mapping[Any, str], managers: Mapping[Any, str]
) -> None:
    """A team as it is: who is in it, what it is called, where it belongs."""
    by_id = {team["id"]: team for team in teams}
    chosen = st.selectbox("Team", list(by_id), format_func=lambda one: by_id[one]["name"], key="team")
    team = by_id[chosen]
    shown = forms.with_present({one: name for one, name in parents.items() if one != chosen}, team["parent_team_id"])
    leaders = forms.with_present(managers, team["manager_id"])
    for member in client.ask_all(sign_in, partial(team_calls.list_team_members, chosen, limit=100)):
        text, button = st.columns([4, 1], vertical_alignment="center")
        text.text(managers.get(member["user_id"], member["user_id"]))
        if button.button("Take out", key=f"out {chosen} {member['user_id']}"):
            client.ask(sign_in, team_calls.remove_team_member(chosen, member["user_id"], version=team["version"]))
            st.rerun()
    with st.form(f"team {chosen}"):
        name = st.text_input("Name", team["name"])
        above, below = list(shown), list(leaders)
        parent = st.selectbox("Below", above, above.index(team["parent_team_id"]), format_func=shown.__getitem__)
        leads = st.selectbox("Led by", below, below.index(team["manager_id"]), format_func=leaders.__getitem__)
        is_active = st.checkbox("Active", value=True, help="A team that is not ends, and its people are in none.")
        is_sent = st.form_submit_button("Save the team")
    if is_sent and name.strip():
        client.ask(
            sign_in,
            team_calls.update_team(
                chosen,
                {"name": name.strip(), "parent_team_id": parent, "manager_id": leads, "is_active": is_active},
                version=team["version"],
            ),
        )
        st.rerun()


def _roles(sign_in: SignIn) -> None:
    """The matrix: what each role reads and writes. Whose records, the record scope says."""
    found = client.ask(sign_in, user_calls.list_roles())["items"]
    areas = sorted({scope.partition(":")[0] for one in found for scope in one["scopes"]})
    rows = [
        {"Area": area.replace("_", " ").capitalize()}
        | {one["role"].capitalize(): _may(set(one["scopes"]), area) for one in found}
        for area in areas
    ]
    tables.show(rows, height="content")
    st.caption("Whose records somebody sees is set per person: their own, the team's, all teams below, or everybody's.")


def _may(scopes: set[str], area: str) -> str:
    words = {"read": "reads", "write": "writes"}
    return " and ".join(word for action, word in words.items() if f"{area}:{action}" in scopes) or "–"


def _as_tree(teams: Sequence[TeamRead], parent: str | None = None, depth: int = 0) -> list[tuple[int, TeamRead]]:
    """Teams with their depth, each below the one that it belongs to."""
    known = {team["id"] for team in teams}
    here = [
        team
        for team in teams
        if team["parent_team_id"] == parent or (parent is None and team["parent_team_id"] not in known)
    ]
    return [row for team in here for row in ((depth, team), *_as_tree(teams, team["id"], depth + 1))]


def _called(user: UserRead) -> str:
    return f"{user['name']} ({user['email']})"
