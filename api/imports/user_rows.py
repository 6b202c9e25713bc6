"""Rows of a users file: users, their roles, their teams and managers."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from api.imports.batch import Batch, Line, RowResult
from api.imports.directory import Directory, UnknownNameError
from api.imports.options import Creatable
from api.imports.people import UserWish, add_users, change_role, wish_for
from api.imports.prepare import FILE, ROW
from api.imports.presets import Entity
from api.imports.teams import Roster, TeamNameError
from api.models.team import Team
from api.models.user import User
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
    roster = await Roster.load(batch)
    # teams first: a member's event follows its team's
    teams = _teams(roster, [(row, leads[row["manager"]]) for row, _ in known if _has_lead(row, leads)])
    for row, (user, result) in known:
        if not _has_lead(row, leads):
            _fail(batch, row, "manager", problem="There is no such manager, or several have the name.", fix=_NO_MANAGER)
            continue
        team = teams.get(_line(row))
        if row["team"] and team is None:
            _fail(batch, row, "team", problem="This is no name for a team.")
            continue
        has_moved = team is not None and roster.enrol(user, team, since=row["since"])
        batch.count(Entity.USERS, RowResult.UPDATED if has_moved and result is RowResult.UNCHANGED else result)


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
    made = await add_users(batch, directory, [_wish(row, managers) for row in unknown])
    new = dict(zip((_line(row) for row in unknown), made, strict=True))
    return [
        (row, (user, _update(batch, user, row)) if user is not None else (new[_line(row)], RowResult.CREATED))
        for row, user in found
    ]


def _wish(row: Row, managers: Mapping[str, str]) -> UserWish:
    leads_somebody = {(row["email"] or "").lower(), (row["name"] or "").lower()} & managers.keys()
    role = Role(row["role"]) if row["role"] else Role.MANAGER if leads_somebody else Role.REP
    return UserWish(email=row["email"], name=row["name"], role=role)


def _update(batch: Batch, user: User, row: Row) -> RowResult:
    """An owner stays one: a file does not take an organization from its owner. Names are the people's own."""
    if not row["role"] or row["role"] in (user.role, ""):
        return RowResult.UNCHANGED
    if user.role == Role.OWNER:
        batch.warnings.append("An owner's role is not changed by an import.")
        return RowResult.UNCHANGED
    change_role(batch, user, Role(row["role"]))
    return RowResult.UPDATED


async def _add_managers(batch: Batch, directory: Directory, managers: Mapping[str, str]) -> None:
    if not batch.options.may_create(Creatable.USERS):
        return
    missing = []
    for reference in managers.values():
        try:
            missing += [] if directory.find_user(reference) else [wish_for(reference, Role.MANAGER)]
        except UnknownNameError:
            continue
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


def _teams(roster: Roster, rows: Sequence[tuple[Row, User | None]]) -> dict[Line, Team]:
    """The team that each row's user belongs to."""
    at: dict[str, list[tuple[Row, User | None]]] = {}
    for row, manager in rows:
        if row["team"]:
            at.setdefault(row["team"].lower(), []).append((row, manager))
    chosen: dict[Line, Team] = {}
    for members in at.values():
        try:
            team = roster.path(members[0][0]["team"])
        except TeamNameError:
            continue
        led = roster.with_managers(team, {m.id: m for _, m in members if m is not None}.values())
        chosen |= {_line(row): led[manager.id] if manager else team for row, manager in members}
    return chosen


def _fail(
    batch: Batch, row: Row, column: str, *, problem: str, fix: str = "Check it, or let users be created."
) -> None:
    batch.fail(_line(row), column, value=row[column], problem=problem, fix=fix)


def _line(row: Row) -> Line:
    return Line(row[FILE], row[ROW])
