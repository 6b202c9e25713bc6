"""Rows of a users file: users, their roles, their teams and managers."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import polars as pl

from api.identity import records
from api.identity.rules import NewUser, OwnersAreForOwners, User, update_user
from api.imports.batch import Batch, Line, RowResult
from api.imports.directory import Directory, UnknownNameError
from api.imports.options import Creatable
from api.imports.people import ACTS_AS, add_users, new_user, user_named
from api.imports.prepare import FILE, ROW
from api.imports.presets import Entity
from api.imports.teams import TeamNameError, TeamsOfFile
from api.teams.rules import Team
from contracts.access import Role

Row = Mapping[str, Any]
_NO_MANAGER = "Give the manager's e-mail address, or let the import create missing users."


async def write_users(batch: Batch, directory: Directory, frame: pl.DataFrame) -> None:
    """Write all rows of the import's users files; teams need the whole picture at once."""
    rows: Sequence[Row] = frame.to_dicts()
    managers = {row["manager"].lower(): row["manager"] for row in rows if row["manager"]}
    known = await _write_people(batch, directory, rows, managers=managers)
    await _add_managers(batch, directory, managers)
    leads = _leads(batch, directory, [row for row, _ in known])
    teams_of_file = await TeamsOfFile.hold(batch)
    # teams first: a member's event follows its team's
    teams = _teams(teams_of_file, [(row, leads[row["manager"]]) for row, _ in known if _has_lead(row, leads)])
    for row, (user, result) in known:
        if not _has_lead(row, leads):
            _fail(batch, row, "manager", problem="There is no such manager, or several have the name.", fix=_NO_MANAGER)
            continue
        team = teams.get(_line(row))
        if row["team"] and team is None:
            _fail(batch, row, "team", problem="This is no name for a team.")
            continue
        has_moved = team is not None and teams_of_file.enrol(user, team, since=row["since"])
        is_update = has_moved and result is RowResult.UNCHANGED
        batch.count(Entity.USERS, RowResult.UPDATED if is_update else result)
    teams_of_file.write()


async def _write_people(
    batch: Batch, directory: Directory, rows: Sequence[Row], *, managers: Mapping[str, str]
) -> list[tuple[Row, tuple[User, RowResult]]]:
    found: list[tuple[Row, User | None]] = []
    for row in rows:
        try:
            found.append((row, directory.find_user(row["email"] or row["name"])))
        except UnknownNameError as error:
            _fail(batch, row, "name", problem=str(error), fix=error.fix)
    unknown = [row for row, user in found if user is None]
    made = await add_users(batch, directory, [_new_user(row, managers) for row in unknown])
    new = dict(zip((_line(row) for row in unknown), made, strict=True))
    updated = await _change_roles(batch, {user.id: Role(row["role"]) for row, user in found if user and row["role"]})
    return [
        (row, (new[_line(row)], RowResult.CREATED))
        if user is None
        else (row, (user, RowResult.UPDATED if user.id in updated else RowResult.UNCHANGED))
        for row, user in found
    ]


def _new_user(row: Row, managers: Mapping[str, str]) -> NewUser:
    leads_somebody = {(row["email"] or "").lower(), (row["name"] or "").lower()} & managers.keys()
    role = Role(row["role"]) if row["role"] else Role.MANAGER if leads_somebody else Role.REP
    return new_user(row["email"], row["name"], role)


async def _change_roles(batch: Batch, roles: Mapping[UUID, Role]) -> set[UUID]:
    """Give users other roles; answers whose changed. Names are the people's own."""
    changes = []
    for user in await records.lock_users(batch.unit, list(roles)) if roles else []:
        try:
            changes.append(update_user(user, batch.unit.now, changes={"role": roles[user.id]}, by=ACTS_AS))
        except OwnersAreForOwners:
            batch.warnings.append("An owner's role is not changed by an import.")
    decided = [change for change in changes if change is not None]
    records.write_users(batch.unit, decided)
    return {change.after.id for change in decided}


async def _add_managers(batch: Batch, directory: Directory, managers: Mapping[str, str]) -> None:
    if not batch.options.may_create(Creatable.USERS):
        return
    missing = [user_named(name, Role.MANAGER) for name in managers.values() if directory.is_unknown(name)]
    made = await add_users(batch, directory, missing)
    batch.note_created("users", [user.name for user in made])


def _leads(batch: Batch, directory: Directory, rows: Sequence[Row]) -> dict[str | None, User | None]:
    leads: dict[str | None, User | None] = {None: None}
    for reference in {row["manager"] for row in rows} - {None}:
        try:
            leads[reference] = directory.find_user(reference)
        except UnknownNameError as error:
            batch.warnings.append(f"{reference}: {error}")
    return leads


def _has_lead(row: Row, leads: Mapping[str | None, User | None]) -> bool:
    return row["manager"] is None or leads.get(row["manager"]) is not None


def _teams(teams: TeamsOfFile, rows: Sequence[tuple[Row, User | None]]) -> dict[Line, Team]:
    """The team that each row's user belongs to."""
    at: dict[str, list[tuple[Row, User | None]]] = {}
    for row, manager in rows:
        if row["team"]:
            at.setdefault(row["team"].lower(), []).append((row, manager))
    chosen: dict[Line, Team] = {}
    for members in at.values():
        try:
            team = teams.path(members[0][0]["team"])
        except TeamNameError:
            continue
        led = teams.with_managers(team, {m.id: m for _, m in members if m is not None}.values())
        chosen |= {_line(row): led[manager.id] if manager else team for row, manager in members}
    return chosen


def _fail(
    batch: Batch, row: Row, column: str, *, problem: str, fix: str = "Check it, or let users be created."
) -> None:
    batch.fail(_line(row), column, value=row[column], problem=problem, fix=fix)


def _line(row: Row) -> Line:
    return Line(row[FILE], row[ROW])
