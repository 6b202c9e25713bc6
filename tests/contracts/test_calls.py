"""The typed calls are those of the API as this tree has it, and travel as they say."""

from pathlib import Path

import httpx

from contracts.calls import deals, files, tasks
from contracts.calls.call import Call, in_query
from runtime.call_generator import FOLDER, openapi, write_calls


def test_the_calls_are_current(tmp_path: Path) -> None:
    for by_hand in ("__init__.py", "call.py"):
        (tmp_path / by_hand).write_text((FOLDER / by_hand).read_text())
    write_calls(openapi(), tmp_path)
    kept, made = ({path.name: path.read_text() for path in folder.glob("*.py")} for folder in (FOLDER, tmp_path))
    stale = sorted(name for name in kept.keys() | made.keys() if kept.get(name) != made.get(name))
    assert not stale, "run ./sluice accept"


def test_a_call_says_all_that_travels() -> None:
    call = deals.move_deal("a/b", {"stage_id": "s"}, version=3, key="k")
    assert call == Call(
        "POST",
        "/v1/deals/a%2Fb/move",
        {"stage_id": "s"},
        headers={"If-Match": '"3"', "Idempotency-Key": "k"},
    )
    listed = tasks.list_tasks(limit=5, filter_="[]")
    assert httpx.QueryParams(list(listed.pairs)) == httpx.QueryParams({"limit": "5", "filter": "[]"})
    assert in_query(is_rotting=True, none=None, several=["a", "b"]) == {"is_rotting": "true", "several": ["a", "b"]}
    assert files.download_file("f").path == "/v1/files/f/content"
