"""The double's rules: one that is there, templates, its log and its replay."""

from typing import Any

from fastapi import FastAPI, Response

from api.kernel.actions import action_kinds

Row = dict[str, Any]

DOCUMENT: Row = {
    "trigger": {"kind": "time_in_stage", "days": 14.0, "stage_id": None},
    "when": "deal.amount > 1000.0",
    "actions": [{"do": "task.create", "with": {"title": "Move on"}}],
    "debounce_minutes": 0.0, "cool_down_hours": 0.0, "most_per_hour": 1000, "hold_days": 30.0, "window": None,
    "on_imports": False, "metrics": {},
}  # fmt: skip


def serve_rules(app: FastAPI, changed: list[tuple[str, Row]]) -> None:
    """Serve `/v1/rules`; what is changed is noted."""
    rule: Row = {"id": "r1", "name": "**Stalled** deal", "mode": "live", "version": 3, "document": DOCUMENT}
    rule["disabled_because"] = None
    record: Row = {"subject_type": "deal", "subject_id": "d1", "subject_title": "400 *seats*"}
    run: Row = {"fired_at": "2026-11-20T10:00:00Z", **record, "outcome": "skipped_stale", "rule_version": 3}
    run |= {"detail": "deal.stage.changed came after what the rule saw.", "facts": {"deal.amount": 2000.0}}

    @app.get("/v1/rules")
    def rules() -> Row:
        return {"items": [rule], "next_cursor": None}

    @app.get("/v1/notifications")
    def notifications() -> Row:
        told = {"id": "n1", "text": "A *hot* deal is yours now", "rule_id": "r1", "read_at": None}
        return {"items": [told | {"subject_type": "deal", "subject_id": "d1", "created_at": "2026-11-20T10:00:00Z"}]}

    @app.get("/v1/rules/templates")
    def templates() -> list[Row]:
        return [{"key": "stalled", "name": "Stalled deal", "about": "", "document": DOCUMENT, "fill_in": []}]

    @app.get("/v1/rules/vocabulary")
    def vocabulary() -> Row:
        """As the API has it."""
        actions = [
            {"name": kind.name, "title": kind.title, "subjects": [], "parameters": kind.parameters.model_json_schema()}
            for kind in action_kinds().values()
        ]
        return {"events": ["deal.created", "deal.closed"], "actions": actions, "deal_fields": ["amount", "stage"]}

    @app.get("/v1/rules/r1")
    def read(response: Response) -> Row:
        response.headers["ETag"] = f'"{rule["version"]}"'
        return rule

    @app.patch("/v1/rules/r1")
    def change(body: Row) -> Row:
        changed.append(("/v1/rules/r1", body))
        rule.update(body, version=rule["version"] + 1)
        return rule

    @app.get("/v1/rules/r1/runs")
    def runs() -> Row:
        return {"items": [run], "next_cursor": None}

    @app.get("/v1/rules/r1/undo")
    def undo() -> list[Row]:
        moved = {"before": {"stage_id": "s1"}, "after": {"stage_id": "s2"}, "now": {"stage_id": "s2"}, "can_undo": True}
        return [{**record, **moved, "fired_at": "2026-11-20T10:00:00Z"}]

    @app.post("/v1/rules/r1/backtest")
    def backtest() -> Row:
        fired = {**record, "at": "2026-11-20T10:00:00Z", "facts": {}, "status_now": "won"}
        fired["next_by_people"] = "deal.stage.changed"
        return {
            "fired": 1, "records": 1, "won": 3, "lost": 1, "open": 0, "others_won": 1, "others_lost": 1,
            "firings": [fired],
        }  # fmt: skip
