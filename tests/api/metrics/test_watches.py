"""`/v1/watches` and their worker, on a real database, a published warehouse and a real mail server."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
import pytest_asyncio
from psycopg.rows import dict_row

from api.edge.consumer import consume
from api.edge.feed import Feed
from api.edge.mail import Mailer
from api.kernel.database import Database as Pool
from api.rules.automaton import Automaton
from api.watches.worker import Looker
from contracts.access import Role
from metrics.answers import Figures
from tests.api.metrics.making import first_pipeline, make_deal
from tests.api.rules.conftest import no_broker, until
from tests.conftest import Database
from tests.factories import Account
from tests.mailbox import Mailbox, smtp_server
from tests.warehouse_builder import duckdb_warehouse

_CREATED = {"name": "Created", "metric": "deals_created", "measure": "deals_created", "period": "this_month"}


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with smtp_server() as server:
        yield server


@pytest_asyncio.fixture
async def looker(database: Database, tmp_path: Path, mailbox: Mailbox) -> AsyncIterator[Looker]:
    pool = Pool(database.worker_url, pool_size=8)
    url = duckdb_warehouse(tmp_path).warehouse_url.get_secret_value()
    made = Looker(pool, Figures(url), Mailer(mailbox.settings))
    yield made
    made.close()
    await pool.close()


def _rows(database: Database, query: str) -> list[dict[str, Any]]:
    with psycopg.connect(database.admin_url, row_factory=dict_row) as admin:
        return admin.execute(query).fetchall()


def _recorded(database: Database) -> list[tuple[str, float | None]]:
    found = _rows(database, "select type, data from event_log where aggregate_type = 'metric' order by position")
    return [(row["type"].removeprefix("metric."), row["data"].get("value")) for row in found]


async def _look(looker: Looker) -> None:
    """Two workers look at once, as two processes would."""
    other = Looker(looker.database, looker.figures, looker.mailer)
    await asyncio.gather(looker.look(), other.look())
    while await looker.send_mails():
        pass


async def test_a_figure_is_recorded_once_and_tells_once_per_crossing(
    owner: Account, refresh: Callable[[], None], looker: Looker, database: Database, mailbox: Mailbox
) -> None:
    pipeline = await first_pipeline(owner)
    watch = await owner.made("/v1/watches", json=_CREATED | {"direction": "above", "threshold": 2, "margin": 1})
    deals = [await make_deal(owner, pipeline)]
    refresh()
    await _look(looker)
    assert _recorded(database) == [("watched", None), ("recorded", 1)]
    refresh()  # nothing is other than it was
    await _look(looker)
    deals += [await make_deal(owner, pipeline), await make_deal(owner, pipeline)]
    refresh()
    await _look(looker)
    assert _recorded(database)[2:] == [("recorded", 3), ("alarm.raised", 3)]
    for deal in deals[:2]:  # it trembles about its threshold, and stays raised as far as the margin
        await owner.delete(f"/v1/deals/{deal['id']}")
        refresh()
        await _look(looker)
    assert _recorded(database)[4:] == [("recorded", 2), ("recorded", 1)]
    assert (await owner.read(f"/v1/watches/{watch['id']}"))["is_raised"]
    await owner.delete(f"/v1/deals/{deals[2]['id']}")
    refresh()
    await _look(looker)
    assert _recorded(database)[6:] == [("recorded", 0), ("alarm.cleared", 0)]
    assert [mail["subject"] for mail in mailbox.mails] == ["Sluice: Created", "Sluice: Created"]
    assert "Created has reached 3; the threshold is 2." in mailbox.mails[0].get_content()
    told = (await owner.read("/v1/notifications"))["items"]
    assert told[0]["text"] == "Created is 0 again; the threshold is 2."
    assert _rows(database, "select 1 from watch_mails") == []
    # another threshold is judged at once, though the figure is what it was
    await owner.patch(f"/v1/watches/{watch['id']}", json={"direction": "below", "threshold": 0})
    await _look(looker)
    assert _recorded(database)[8:] == [("watched", None), ("alarm.raised", 0)]
    assert (await owner.delete(f"/v1/watches/{watch['id']}")).status_code == 204
    await _look(looker)
    assert _recorded(database)[10:] == [("unwatched", None)]


async def test_everybody_watches_what_they_see_and_is_told_in_one_mail(
    owner: Account, refresh: Callable[[], None], looker: Looker, database: Database, mailbox: Mailbox
) -> None:
    pipeline, rep = await first_pipeline(owner), await owner.add_user(role=Role.REP)
    mine = await rep.made("/v1/watches", json=_CREATED | {"digest": "daily"})
    ratio = {"name": "Rate", "metric": "win_rate", "measure": "win_rate", "question": {"pipeline_id": pipeline["id"]}}
    await rep.made("/v1/watches", json=ratio | {"digest": "weekly", "direction": "below", "threshold": 0.5})
    theirs = await owner.made("/v1/watches", json=_CREATED)
    await make_deal(owner, pipeline)
    await make_deal(rep, pipeline)
    refresh()
    await _look(looker)
    assert (await rep.read(f"/v1/watches/{mine['id']}"))["value"] == 1
    assert (await owner.read(f"/v1/watches/{theirs['id']}"))["value"] == 2
    assert (await rep.get(f"/v1/watches/{theirs['id']}")).status_code == 404
    assert [one["name"] for one in (await rep.read("/v1/watches"))["items"]] == ["Created", "Rate"]
    _run(database, "update watches set digest_at = now() - interval '1 minute' where digest is not null")
    await looker.send_digests()
    await looker.send_digests()
    await looker.send_mails()
    assert [mail["to"] for mail in mailbox.mails] == [rep.email]
    assert mailbox.mails[0].get_content().splitlines() == ["Created: 1", "Rate: –"]
    # whoever left is told nothing any more
    await owner.patch(f"/v1/users/{rep.user_id}", json={"is_active": False})
    await make_deal(owner, pipeline)
    refresh()
    await _look(looker)
    assert [row["value"] for row in _rows(database, "select value from watches order by id")] == [1, None, 3]


def _run(database: Database, statement: str) -> None:
    with psycopg.connect(database.admin_url) as admin:
        admin.execute(statement)


async def test_an_alarm_sets_off_a_rule(
    owner: Account, refresh: Callable[[], None], looker: Looker, database: Database
) -> None:
    trigger = {"kind": "event", "event": "metric.alarm.raised"}
    tell = {"do": "notify", "with": {"to": "rule_owner", "text": "Look at the pipeline."}}
    document = {"trigger": trigger, "when": "event.value >= 1.0", "actions": [tell]}
    await owner.made("/v1/rules", json={"name": "A rule", "mode": "live", "document": document})
    automaton, feed = Automaton(looker.database), Feed(looker.database, connect=no_broker)
    work = consume(
        looker.database,
        "rules",
        automaton.handle,
        threading.Event(),
        glance=automaton.glance,
        concerns=automaton.concerns,
        feed=feed,
    )
    task = asyncio.create_task(work)
    await until(lambda: bool(_rows(database, "select 1 from consumers where consumer = 'rules'")))
    await owner.made("/v1/watches", json=_CREATED | {"direction": "above", "threshold": 1, "by_mail": False})
    await make_deal(owner, await first_pipeline(owner))
    refresh()
    await _look(looker)
    await until(lambda: len(_rows(database, "select 1 from notifications")) == 2)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_what_cannot_be_watched_is_refused_and_what_cannot_be_told_says_why(
    owner: Account, refresh: Callable[[], None], looker: Looker
) -> None:
    for body, status, code in (
        ({"metric": "deals"}, 404, "unknown_metric"),
        ({"measure": "deal"}, 422, "cannot_watch"),
        ({"metric": "exit_paths", "measure": "deals"}, 422, "cannot_watch"),
        ({"question": {"as_of": "2026-01-01"}}, 422, "invalid_parameter"),
        ({"question": {"from": "2026-01-01"}}, 422, "invalid_parameter"),
        ({"question": {"owner": "x"}}, 422, "invalid_parameter"),
        ({"threshold": 2}, 422, "validation_failed"),
    ):
        answer = await owner.post("/v1/watches", json=_CREATED | body)
        assert (answer.status_code, answer.json()["code"]) == (status, code), body
    pipeline = await first_pipeline(owner)
    per_stage = {"name": "Value", "metric": "pipeline_value", "measure": "open_deals", "question": {}}
    watch = await owner.made("/v1/watches", json=per_stage)
    refresh()
    await _look(looker)
    read = await owner.read(f"/v1/watches/{watch['id']}")
    assert read["problem"] == "stage_id: is required: the metric has this figure of each stage"
    half = await owner.patch(f"/v1/watches/{watch['id']}", json={"threshold": 3})
    assert (half.status_code, half.json()["code"]) == (422, "half_an_alarm")
    of_stage = per_stage | {"question": {"stage_id": pipeline["stages"][0]["id"]}}
    watch = await owner.made("/v1/watches", json=of_stage)
    await _look(looker)
    assert (await owner.read(f"/v1/watches/{watch['id']}"))["value"] == 0
