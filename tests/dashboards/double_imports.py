"""The double's imports: whatever is sent looks fine, one of them is done already, and can be taken back."""

from typing import Any

from fastapi import FastAPI, Request

Row = dict[str, Any]

_COUNTS = {"total": 3, "done": 3, "created": 2, "updated": 0, "unchanged": 0, "failed": 1}
DONE: Row = {
    "id": "0192f0c1-2a3b-7c4d-8e5f-0a1b2c3d4e5f",
    "state": "completed",
    "files": [{"name": "deals *old*.csv", "entity": "deals", "size": 9}],
    "counts": _COUNTS,
    "warnings": ["deals.csv: not imported: ![x](http://evil.example)."],
    "error": None,
    "created_at": "2026-05-01T09:30:00Z",
    "completed_at": "2026-05-01T09:30:05Z",
}
LEARNED: Row = {
    "id": "h1",
    "entity": "deals",
    "heading": "wert",
    "column_name": "amount",
    "confirmed_at": "2026-05-01T09:30:00Z",
    "confirmed_by": None,
}
PREVIEW: Row = {
    "files": [
        {
            "name": "deals.csv",
            "entity": "deals",
            "headings": ["Nr", "stage", "Wert"],
            "known_columns": ["external_id", "stage", "amount"],
            "map": {"Nr": "external_id", "stage": "stage"},
            "guesses": ["deals.csv: amount read as 1.234,56, because row 3 can be nothing else."],
            "first_rows": [{"external_id": "1", "stage": "New"}],
        }
    ],
    "counts": {"deals": {"created": 2, "updated": 0, "unchanged": 0, "failed": 1}},
    "would_create": {"users": ["Kim"]},
    "problems": [{"file": "deals.csv", "row": 4, "field": "stage", "value": "x", "problem": "No.", "fix": "Do."}],
    "problem_count": 1,
    "warnings": [],
}


def serve_imports(app: FastAPI, sent: list[Row]) -> None:
    """Serve `/v1/imports`; what is sent is kept in `sent`."""

    @app.get("/v1/imports")
    def list_imports() -> Row:
        return {"items": [DONE], "next_cursor": None}

    @app.get("/v1/imports/headings")
    def list_headings() -> Row:
        return {"items": [LEARNED], "next_cursor": None}

    @app.delete("/v1/imports/headings/{heading_id}", status_code=204)
    def forget(heading_id: str) -> None:
        sent.append({"forgotten": heading_id})

    @app.post("/v1/imports/preview")
    async def preview(request: Request) -> Row:
        sent.append(await _form(request))
        return PREVIEW

    @app.post("/v1/imports")
    async def start(request: Request) -> Row:
        sent.append(await _form(request))
        return {"id": "new"}

    @app.post("/v1/imports/{import_id}/revert")
    def revert(import_id: str) -> Row:
        sent.append({"reverted": import_id})
        kept = [{"kind": "deal", "id": "d", "external_id": "D-2", "why": "It was changed after the import."}]
        return {"reverted": 1, "remaining": 0, "kept_count": 1, "kept": kept}


async def _form(request: Request) -> Row:
    async with request.form() as form:
        return {name: value if isinstance(value, str) else await value.read() for name, value in form.items()}
