"""The double's records of one kind, written as the API's are: versions as ETags, If-Match, Idempotency-Key."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Header, Response

Row = dict[str, Any]
Problem = Callable[..., Response]


def serve_notes(app: FastAPI, notes: dict[str, Row], *, problem: Problem) -> None:
    """Serve `/v1/notes` over the records in `notes`."""
    _serve_reading(app, notes)
    _serve_creating(app, notes)
    _serve_changing(app, notes, problem=problem)


def _serve_reading(app: FastAPI, notes: dict[str, Row]) -> None:
    @app.get("/v1/notes")
    def list_notes() -> Row:
        return {"items": list(notes.values()), "next_cursor": None}

    @app.get("/v1/notes/{note_id}")
    def read_note(note_id: str, response: Response) -> Row:
        response.headers["ETag"] = f'"{notes[note_id]["version"]}"'
        return notes[note_id]


def _serve_creating(app: FastAPI, notes: dict[str, Row]) -> None:
    kept: dict[str, Row] = {}

    @app.post("/v1/notes", status_code=201)
    def create_note(body: Row, idempotency_key: str | None = Header(default=None)) -> Row:
        if idempotency_key in kept:
            return kept[str(idempotency_key)]
        note = {"id": f"n{len(notes) + 1}", "body": body["body"], "version": 1}
        notes[note["id"]] = note
        if idempotency_key is not None:
            kept[idempotency_key] = note
        return note


def _serve_changing(app: FastAPI, notes: dict[str, Row], *, problem: Problem) -> None:
    def stale(note_id: str, if_match: str | None) -> bool:
        return if_match != f'"{notes[note_id]["version"]}"'

    @app.patch("/v1/notes/{note_id}", response_model=None)
    def change_note(note_id: str, body: Row, if_match: str | None = Header(default=None)) -> Row | Response:
        if stale(note_id, if_match):
            return problem(412, "precondition_failed", "It was changed since.")
        notes[note_id] |= body | {"version": notes[note_id]["version"] + 1}
        return notes[note_id]

    @app.delete("/v1/notes/{note_id}", response_model=None, status_code=204)
    def delete_note(note_id: str, if_match: str | None = Header(default=None)) -> Response | None:
        if stale(note_id, if_match):
            return problem(412, "precondition_failed", "It was changed since.")
        del notes[note_id]
        return None
