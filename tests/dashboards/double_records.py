"""The double's contacts, companies, deals, tasks and custom fields: one of each, and whatever is made or changed."""

from typing import Any

from fastapi import FastAPI, Response

Row = dict[str, Any]

_AT = "2026-05-01T09:30:00Z"
_COMMON: Row = {
    "version": 1, "owner_id": None, "external_id": None, "created_at": _AT, "updated_at": _AT,
    "custom": {"f1": "Blue", "f2": "c1"}, "source": "Website",
}  # fmt: skip
RECORDS: dict[str, Row] = {
    "deals": _COMMON | {
        "id": "d1", "title": "400 seats", "pipeline_id": "new", "stage_id": "new-0", "status": "open",
        "amount_minor": 1_250_000, "currency": "EUR", "company_id": "co1", "contact_id": "ct1",
        "close_date": "2026-09-30", "lost_reason": None, "closed_at": None, "stage_entered_at": _AT,
    },
    "contacts": _COMMON | {"id": "ct1", "name": "Ada", "email": "ada@acme.example", "phone": None, "company_id": "co1",
        "emails": [{"type": "work", "value": "ada@acme.example", "is_primary": True}], "phones": [],
        "handles": [{"type": "telegram", "value": "@ada", "shown": "@ada"}],
    },
    "companies": _COMMON | {
        "id": "co1", "name": "Acme", "domain": "acme.example", "industry": "Tea", "employee_count": 4, "country": "DE",
    },
}  # fmt: skip
_TASK: Row = {
    "id": "t1", "version": 1, "title": "Call", "due_at": _AT, "remind_at": None, "deal_id": "d1", "contact_id": None,
    "company_id": None, "completed_at": None,
}  # fmt: skip
_FILE: Row = {
    "id": "fi1", "version": 1, "name": "offer.pdf", "media_type": "application/pdf", "size_bytes": 48_213,
    "sha256": "0" * 64, "is_scanned": False, "uploaded_by": None, "deal_id": "d1", "contact_id": None,
    "company_id": None, "activity_id": None, "message_id": None, "created_at": _AT,
}  # fmt: skip
_FIELD: Row = {
    "version": 1,
    "is_required": False,
    "is_unique": False,
    "is_personal": True,
    "is_retired": False,
    "value_kind": None,
    "computing": None,
}


_DEED: Row = {
    "event_id": "e2", "type": "deal.stage.changed", "occurred_at": _AT, "from_stage_id": None, "to_stage_id": "new-0",
    "rule": {
        "id": "r1", "name": "Big *ones*", "version": 3, "event_id": "e1", "fired_at": _AT,
        "facts": {"deal.amount": 12_500.0}, "score": 0.81, "score_model": "3",
    },
}  # fmt: skip


#: Lists that are there, with nothing in them.
_EMPTY = (
    "bulk", "distribution-rules", "distributions", "duplicates", "exchange-rates", "merges", "products", "recycle-bin",
)  # fmt: skip


def _fields() -> list[Row]:
    choices = [{"id": "c1", "label": "Red"}]
    texts = [
        _FIELD | {"id": "f1", "name": "Colour", "record_kind": kind, "type": "text", "choices": []}
        for kind in ("deal", "contact", "company")
    ]
    size = {"id": "f2", "name": "Size", "record_kind": "deal", "type": "choice", "choices": choices}
    return [*texts, _FIELD | size | {"is_personal": False}]


def serve_records(app: FastAPI, changed: list[tuple[str, Row]]) -> None:
    """Add the paths; what is written is noted in `changed`."""

    def listed(path: str, items: list[Any]) -> None:
        app.add_api_route(path, lambda: {"items": items, "next_cursor": None}, methods=["GET"])

    listed("/v1/tasks", [_TASK])
    listed("/v1/files", [_FILE])
    for name in _EMPTY:
        listed(f"/v1/{name}", [])

    @app.get("/v1/custom-fields")
    def fields(record_kind: str | None = None) -> Row:
        return {"items": [one for one in _fields() if record_kind in (None, one["record_kind"])], "next_cursor": None}

    line = {"id": "l1", "product_id": None, "name": "Seat", "quantity": "400", "unit_price_minor": 3_125}
    line |= {"discount_percent": "0", "total_minor": 1_250_000}

    @app.get("/v1/deals/d1/line-items")
    def lines() -> Row:
        return {"items": [line], "currency": "EUR", "total_minor": 1_250_000, "next_cursor": None}

    for plural, record in RECORDS.items():
        _serve_list(app, plural, record)
        _serve_one(app, plural, record, changed)


def _serve_list(app: FastAPI, plural: str, record: Row) -> None:
    @app.get(f"/v1/{plural}")
    def records(stage_id: str | None = None) -> Row:
        found = [record] if stage_id in (None, record.get("stage_id")) else []
        return {"items": found, "next_cursor": None}


def _serve_one(app: FastAPI, plural: str, record: Row, changed: list[tuple[str, Row]]) -> None:
    path = f"/v1/{plural}/{record['id']}"

    @app.get(path)
    def read(response: Response) -> Row:
        response.headers["ETag"] = f'"{record["version"]}"'
        return record

    @app.get(f"{path}/timeline")
    def timeline() -> Row:
        item = {"kind": "note", "type": "note", "at": _AT, "data": {"body": "Likes it", "title": None}}
        return {"items": [item], "next_cursor": None}

    @app.get(f"{path}/history")
    def history() -> Row:
        return {"items": [_DEED], "next_cursor": None}

    @app.post(f"/v1/{plural}", status_code=201)
    def create(body: Row) -> Row:
        changed.append((plural, body))
        return record | body

    @app.patch(path)
    def change(body: Row) -> Row:
        changed.append((record["id"], body))
        return record | body
