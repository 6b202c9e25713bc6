"""What the double answers about people, teams, invitations, sign-ins, keys and the audit log."""

from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse

Row = dict[str, Any]

PEOPLE = [
    {
        "id": f"u{number}",
        "version": 1,
        "name": name,
        "email": f"{name.lower()}@example.com",
        "role": role,
        "record_scope": scope,
        "is_active": True,
    }
    for number, (name, role, scope) in enumerate((("Mara", "owner", "all"), ("Rene *bold*", "rep", "own")))
]
TEAMS = [
    {"id": "t1", "version": 1, "name": "North", "parent_team_id": None, "manager_id": "u0", "is_active": True},
    {"id": "t2", "version": 1, "name": "Nearer north", "parent_team_id": "t1", "manager_id": None, "is_active": True},
]
SESSION = {
    "id": "s1",
    "user_id": "u0",
    "is_present": True,
    "address": "127.0.0.1",
    "user_agent": "Firefox",
    "has_second_factor": False,
    "created_at": "2026-05-01T09:30:00Z",
    "rotated_at": "2026-05-01T09:30:00Z",
    "expires_at": "2026-06-01T09:30:00Z",
}
ORGANIZATION = {
    "id": "o1", "version": 1, "name": "Northwind", "time_zone": "Europe/Berlin", "currency": "EUR", "week_start": 1,
    "fiscal_year_start_month": 1, "requires_second_factor": False,
}  # fmt: skip
KEY = {
    "id": "k1",
    "user_id": "u0",
    "name": "Export",
    "hint": "wxyz",
    "scopes": ["deals:read"],
    "role": None,
    "expires_at": None,
    "last_used_at": None,
    "revoked_at": None,
    "created_at": "2026-05-01T09:30:00Z",
}
ENTRY = {
    "position": 1,
    "at": "2026-05-01T09:30:00Z",
    "action": "user.updated",
    "actor": "user",
    "actor_id": "u0",
    "address": "203.0.113.7",
    "correlation_id": None,
    "resource": "user",
    "resource_id": "u1",
    "before": {"role": "rep"},
    "after": {"role": "manager"},
    "hash": "00",
}


def serve_access(app: FastAPI, changed: list[tuple[str, Row]]) -> None:
    """Add the paths; what is written is noted in `changed`."""

    def listed(path: str, items: list[Any]) -> None:
        app.add_api_route(path, lambda: {"items": items, "next_cursor": None}, methods=["GET"])

    listed("/v1/users", PEOPLE)
    listed("/v1/teams", TEAMS)
    listed("/v1/invitations", [])
    listed("/v1/sessions", [SESSION])
    listed("/v1/api-keys", [KEY])
    listed("/v1/api-keys/scopes", ["deals:read", "metrics:read"])
    listed("/v1/audit", [ENTRY])
    listed("/v1/me/organizations", [{"id": "o1", "name": "Northwind", "role": "owner", "is_present": True}])

    asked: list[Row] = []
    listed("/v1/feature-flags", [{"flag": "ai_drafts", "is_on": True}, {"flag": "webhooks", "is_on": True}])
    listed("/v1/roles", [{"role": "rep", "scopes": ["deals:read", "deals:write", "metrics:read"]}])
    listed("/v1/teams/{team_id}/members", [{"user_id": "u1", "started_at": "2026-05-01T09:30:00Z"}])

    app.add_api_route("/v1/organizations/{organization_id}", lambda: ORGANIZATION, methods=["GET"])

    @app.get("/v1/organizations/{organization_id}/deletion")
    def deletion() -> Any:
        missing = {"code": "not_found", "detail": "There is no such deletion.", "status": 404, "title": "Not found"}
        return asked[-1] if asked else JSONResponse(missing, 404, media_type="application/problem+json")

    @app.post("/v1/organizations/{organization_id}/deletion", status_code=202)
    def ask_for_deletion(body: Row) -> Row:
        changed.append(("deletion", body))
        asked.append({"asked_by": "u0", "asked_at": "2026-05-01T09:30:00Z", "due_at": "2026-05-15T09:30:00Z"})
        return asked[-1]

    @app.delete("/v1/organizations/{organization_id}/deletion", status_code=204)
    def keep_after_all() -> None:
        asked.clear()

    @app.get("/v1/users/{user_id}")
    def user(user_id: str) -> Row:
        return next(one for one in PEOPLE if one["id"] == user_id)

    @app.patch("/v1/users/{user_id}")
    def change_user(user_id: str, body: Row) -> Row:
        changed.append((user_id, body))
        return PEOPLE[0]

    @app.post("/v1/invitations", status_code=201)
    def invite(body: Row) -> Row:
        changed.append(("invitation", body))
        return body | {"id": "i1", "is_mailed": False, "link": "https://crm.example.com/?link=join&token=abc"}

    @app.post("/v1/api-keys", status_code=201)
    def make_key(body: Row) -> Row:
        changed.append(("key", body))
        return KEY | body | {"key": "slk_secret"}

    @app.post("/v1/me/second-factor", status_code=201)
    def begin_factor() -> Row:
        return {"seed": "JBSWY3DPEHPK3PXP", "uri": "otpauth://totp/x"}
