"""The worker: progress that only grows, a crash in the middle, one organization out of another's sight, previews."""

import asyncio
import csv
import io
from typing import Any

from tests.imports.conftest import DEADLINE_SECONDS, Importer
from tests.imports.processes import start_worker_process

_DEALS = 3_000


def _files() -> dict[str, str]:
    deals = ["external_id,stage,owner_email,company,amount,source,created_at"]
    history = ["deal_external_id,stage,entered_at"]
    for number in range(_DEALS):
        stage = ("New", "Qualified", "Won")[number % 3]
        bad = "--" if number % 1_000 == 999 else ""
        deals.append(f"{number},{stage},Rep {number % 7},Company {number % 300},{bad}{number}.50,Web,2025-01-01")
        history += [f"{number},{name},2025-01-{day:02}" for day, name in ((1, "New"), (5, "Qualified"), (9, "Won"))][
            : number % 3 + 1
        ]
    return {"deals": "\n".join(deals), "deal_stage_history": "\n".join(history)}


_FINGERPRINT = """
select d.external_id, d.version, d.amount_minor, d.status, s.name as stage, u.name as owner, c.name as company,
    (select string_agg(e.type || e.occurred_at::text, ',' order by e.aggregate_version)
     from event_log e where e.aggregate_id = d.id) as path
from deals d join stages s on s.id = d.stage_id join users u on u.id = d.owner_id
join companies c on c.id = d.company_id order by 1"""


async def test_a_killed_worker_s_job_goes_on_with_the_same_result(importer: Importer) -> None:
    other = Importer(await importer.account.api.sign_up(), importer.database, importer.files_path)
    options: dict[str, Any] = {"create_missing": True}
    queued = await importer.upload(_files(), **options)
    first = start_worker_process(importer.database, importer.files_path.parent)
    seen = await _watch(importer, queued["id"], until=1_000)
    first.kill()
    assert seen[-1]["state"] == "running"
    second = start_worker_process(importer.database, importer.files_path.parent)
    try:
        seen += await _watch(importer, queued["id"], until=None)
    finally:
        second.stop()
    done = [job["counts"]["done"] for job in seen if job["state"] != "queued"]
    assert done == sorted(done)
    # how far it came is seen before its end, in however few of its steps somebody looks
    assert any(0 < one < done[-1] for one in done)
    final = seen[-1]
    assert final["state"] == "completed"
    assert final["progress"]["deals"]["created"] == _DEALS - 3
    assert final["progress"]["deals"]["failed"] == 3
    assert all(figures["done"] == figures["total"] for figures in final["progress"].values())

    calm = await other.run(_files(), **options)
    assert calm["progress"] == final["progress"]
    where = " where d.organization_id = %s order by 1"
    query = _FINGERPRINT.replace(" order by 1", where)
    disturbed = importer.rows(query, importer.account.organization_id)
    assert disturbed == importer.rows(query, other.account.organization_id)
    assert len(disturbed) == _DEALS - 3
    assert _problem_rows(await importer.errors(queued["id"])) == _problem_rows(await other.errors(calm["id"]))
    # neither organization sees the other's import
    assert (await other.account.get(f"/v1/imports/{queued['id']}")).status_code == 404
    assert (await other.account.get(f"/v1/imports/{queued['id']}/errors")).status_code == 404
    assert [job["id"] for job in (await other.account.read("/v1/imports"))["items"]] == [calm["id"]]


def _problem_rows(errors: str) -> list[tuple[str, str]]:
    return [(row["sluice_file"], row["sluice_row"]) for row in csv.DictReader(io.StringIO(errors))]


async def _watch(importer: Importer, import_id: str, *, until: int | None) -> list[dict[str, Any]]:
    """All states seen until so many rows are done, or until the end."""
    seen: list[dict[str, Any]] = []
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            job = await importer.account.read(f"/v1/imports/{import_id}")
            seen.append(job)
            is_far = until is not None and job["counts"]["done"] >= until
            if is_far or job["state"] in ("completed", "failed"):
                return seen
            await asyncio.sleep(0.02)


async def test_a_preview_says_what_would_happen_and_writes_nothing(importer: Importer) -> None:
    before = importer.one("select count(*) from event_log")
    files = {
        "deals": "external_id,stage,owner_email,company,amount\n1,Demo,Rae,Acme,5\n2,New,,,x\n",
        "users": "name,team\nSue,East\n",
    }
    answer = await importer.send(files, create_missing=True, preview=True)
    assert answer.status_code == 200, answer.text
    preview = answer.json()
    assert preview["counts"]["deals"] == {"created": 1, "updated": 0, "unchanged": 0, "failed": 1}
    assert preview["would_create"]["stages"] == ["Sales: Demo (open)"]
    assert preview["would_create"]["companies"] == ["Acme"]
    assert preview["would_create"]["users"] == ["Rae"]
    [problem] = preview["problems"]
    assert (problem["file"], problem["row"], problem["field"], problem["value"]) == ("deals.csv", 3, "amount", "x")
    [deals, _] = preview["files"]
    assert deals["first_rows"][0]["external_id"] == "1"
    for table in ("deals", "companies", "teams", "imports", "import_problems"):
        assert importer.one(f"select count(*) from {table}") == 0
    assert importer.one("select count(*) from event_log") == before
    assert importer.one("select count(*) from people where name in ('Rae', 'Sue')") == 0
    parts = {name: (f"{name}.csv", body.encode()) for name, body in files.items()}
    again = await importer.account.post(
        "/v1/imports/preview", files=parts, data={"options": '{"create_missing": true}'}
    )
    assert again.json()["counts"] == preview["counts"]


async def test_an_idempotency_key_makes_one_import(importer: Importer) -> None:
    request = {"files": {"deals": ("deals.csv", b"external_id,stage\n1,New\n")}, "headers": {"Idempotency-Key": "once"}}
    first = await importer.account.post("/v1/imports", **request)
    assert first.status_code == 202, first.text
    assert len((await importer.account.read("/v1/imports"))["items"]) == 1
