"""Files of imports: nobody else reads them, refused ones leave nothing, finished ones stay for the stated days."""

import asyncio
import os
import stat
import threading
import time
from pathlib import Path
from typing import Any

from api.imports.worker import work
from api.kernel.database import Database as Pool
from tests.imports.conftest import Importer

_WEEKS = 21 * 24 * 60 * 60


async def test_files_are_private_and_go_when_their_import_has_long_ended(importer: Importer) -> None:
    old = await importer.run({"deals": "external_id,stage\n1,Nowhere\n"})
    young = await importer.run({"deals": "external_id,stage\n2,Nowhere\n"})
    folders = {path.name: path for path in importer.files_path.glob("*/*")}
    for folder in folders.values():
        assert stat.S_IMODE(folder.stat().st_mode) == stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
    orphan = importer.files_path / str(importer.account.organization_id) / old["id"].replace(old["id"][:8], "00000000")
    orphan.mkdir()
    aged = "update imports set completed_at = completed_at - interval '21 days' where id = %s returning id"
    importer.rows(aged, old["id"])
    for folder in (*folders.values(), orphan):
        os.utime(folder, (time.time() - _WEEKS,) * 2)
    stop = threading.Event()
    pool = Pool(importer.database.worker_url, pool_size=2)
    worker = asyncio.create_task(work(pool, files_path=importer.files_path, stop=stop, keep_days=7))
    try:
        async with asyncio.timeout(20):
            while folders[old["id"]].exists() or orphan.exists():  # noqa: ASYNC110 # the disk tells nobody
                await asyncio.sleep(0.05)
    finally:
        stop.set()
        await worker
        await pool.close()
    assert _files(folders[young["id"]])
    # what was wrong is still known, only the rows themselves are gone
    assert "no stage of this name" in await importer.errors(old["id"])


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_one_rule_for_money_and_instants_over_http_and_in_files(importer: Importer) -> None:
    [pipeline] = (await importer.account.read("/v1/pipelines"))["items"]
    deal = {"title": "x", "pipeline_id": pipeline["id"]}
    largest = 10**15
    cases: list[tuple[dict[str, Any], str]] = [
        ({"currency": "ZZZ", "amount_minor": 1}, "EUR-no,New,1,ZZZ,"),
        ({"amount_minor": largest + 1, "currency": "KWD"}, 'big,New,"1,000,000,000,000.001",KWD,'),
        ({"amount_minor": -largest - 1, "currency": "KWD"}, 'small,New,"-1,000,000,000,000.001",KWD,'),
        ({"occurred_at": "0"}, "0,New,1,,0"),
        ({"occurred_at": "1899-12-31T00:00:00Z"}, "old,New,1,,1899-12-31"),
    ]
    for body, _ in cases:
        answer = await importer.account.post("/v1/deals", json={**deal, **body})
        assert answer.status_code == 422, (body, answer.text)
    rows = "".join(f"{row}\n" for _, row in cases)
    done = await importer.run({"deals": f"external_id,stage,amount,currency,created_at\n{rows}"})
    assert done["counts"]["failed"] == len(cases), await importer.errors(done["id"])
    for sign in (1, -1):
        made = {**deal, "amount_minor": sign * largest, "currency": "KWD"}
        assert (await importer.account.post("/v1/deals", json=made)).status_code == 201
    done = await importer.run(
        {"deals": 'external_id,stage,amount,currency\n1,New,"1,000,000,000,000.000",KWD\n2,New,-50.00,EUR\n'}
    )
    assert done["counts"]["created"] == 2, await importer.errors(done["id"])
    assert importer.one("select amount_minor from deals where external_id = '1'") == largest


async def test_users_without_a_known_heading_are_refused_in_a_sentence(importer: Importer) -> None:
    answer = await importer.send({"users": "foo,bar\n1,2\n"})
    assert answer.status_code == 422, answer.text
    assert "email or name" in answer.json()["detail"]


async def test_a_reverted_import_takes_back_what_nobody_touched(importer: Importer) -> None:
    await importer.run({"deals": "external_id,stage\nbefore,New\n"})
    done = await importer.run({"deals": "external_id,stage\nbefore,Qualified\n1,New\n2,New\n3,New\n"})
    touched = importer.one("select id from deals where external_id = '2'")
    await importer.account.patch(f"/v1/deals/{touched}", json={"title": "Mine now"})
    answer = await importer.account.post(f"/v1/imports/{done['id']}/revert")
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["reverted"], found["remaining"], found["kept_count"]) == (2, 0, 1)
    assert [one["external_id"] for one in found["kept"]] == ["2"]
    deals = (await importer.account.read("/v1/deals"))["items"]
    assert {deal["external_id"] for deal in deals} == {"before", "2"}
    types = importer.rows(
        "select type from event_log where aggregate_type = 'import' and aggregate_id = %s", done["id"]
    )
    assert [row["type"] for row in types].count("import.reverted") == 1
    again = (await importer.account.post(f"/v1/imports/{done['id']}/revert")).json()
    assert (again["reverted"], again["remaining"]) == (0, 0)
    third = await importer.run({"deals": "external_id,stage\nbefore,Qualified\n1,New\n2,New\n3,New\n"})
    assert (third["counts"]["created"], third["counts"]["unchanged"]) == (2, 2)
