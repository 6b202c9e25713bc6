"""The demo: seeded, learnable, filled through the real import, and filled only once."""

import csv
import io
from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import httpx
import psycopg
import pytest

from runtime.demo import DEMO_PASSWORD, DEMO_USERS, fill
from runtime.demo_data import generate
from tests.conftest import Database
from tests.imports.processes import start_api_process, start_worker_process

UNTIL = date(2026, 5, 1)
CLOSED = {"Won": True, "Renewed": True, "Lost": False, "Churned": False}


def _rows(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode())))


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return generate(seed=1, until=UNTIL)


class TestGenerate:
    def test_same_seed_same_bytes_other_seed_others(self, files: dict[str, bytes]) -> None:
        assert generate(seed=1, until=UNTIL) == files
        assert generate(seed=2, until=UNTIL)["deals"] != files["deals"]

    def test_is_as_large_as_promised_and_ends_in_time(self, files: dict[str, bytes]) -> None:
        deals, history = _rows(files["deals"]), _rows(files["deal_stage_history"])
        assert len(deals) == 6_000
        assert len(history) > 20_000
        assert max(row["entered_at"] for row in history) < "2026-05-01"
        still_open = [row for row in deals if row["stage"] not in CLOSED]
        assert 0.03 < len(still_open) / len(deals) < 0.15
        assert sum(row["created_at"] > "2026-02" for row in still_open) > 0.8 * len(still_open)

    def test_winning_depends_on_what_can_be_seen(self, files: dict[str, bytes]) -> None:
        wins: dict[str, list[bool]] = defaultdict(list)
        for row in _rows(files["deals"]):
            if row["stage"] in CLOSED:
                wins[row["source"]].append(CLOSED[row["stage"]])
                wins[row["pipeline"]].append(CLOSED[row["stage"]])
        rates = {name: sum(found) / len(found) for name, found in wins.items()}
        assert rates["Referral"] > rates["Website"] > rates["Advertising"]
        assert rates["Referral"] - rates["Advertising"] > 0.15
        assert rates["Renewals"] > rates["New business"]
        assert _auc(files) > 0.65


def _auc(files: dict[str, bytes]) -> float:
    """Area under the curve of a score learned on the older half by plain win rates, tried on the newer half."""
    size = {row["name"]: int(row["employees"]) // 60 for row in _rows(files["companies"])}
    closed = [row for row in _rows(files["deals"]) if row["stage"] in CLOSED]
    older, newer = closed[: len(closed) // 2], closed[len(closed) // 2 :]

    def buckets(row: dict[str, str]) -> tuple[tuple[str, str], ...]:
        columns = ("source", "pipeline", "owner_email")
        return (*((name, row[name]) for name in columns), ("size", str(min(size[row["company"]], 5))))

    seen: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for row in older:
        for bucket in buckets(row):
            seen[bucket].append(CLOSED[row["stage"]])
    scores: dict[bool, list[float]] = {True: [], False: []}
    for row in newer:
        score = sum(sum(seen[bucket]) / len(seen[bucket]) for bucket in buckets(row) if seen[bucket])
        scores[CLOSED[row["stage"]]].append(score)
    lost = sorted(scores[False])
    below = sum(sum(1 for other in lost if other < score) for score in scores[True][:400])
    return below / (len(lost) * len(scores[True][:400]))


@pytest.mark.slow
class TestFill:
    @pytest.fixture
    def api_url(self, database: Database, tmp_path: Path) -> Iterator[str]:
        api, url = start_api_process(database, tmp_path)
        worker = start_worker_process(database, tmp_path)
        yield url
        worker.stop()
        api.stop()

    def test_fills_once_and_lets_everybody_in(self, api_url: str, database: Database) -> None:
        said: list[str] = []
        fill(api_url, say=said.append)
        for email in DEMO_USERS:
            body = {"email": email, "password": DEMO_PASSWORD}
            assert httpx.post(f"{api_url}/v1/auth/login", json=body).is_success, email
        before = _figures(database)
        assert before["deals"] == 6_000
        assert before["failed"] == 0
        assert before["handovers"] > 300
        assert before["reopenings"] > 50
        assert before["renamed"] == 1
        fill(api_url, say=said.append)
        assert _figures(database) == before
        assert said[-1] == "the demo organization is there"
        assert _sees_all(api_url)


def _figures(database: Database) -> dict[str, int]:
    queries = {
        "deals": "select count(*) from deals",
        "events": "select count(*) from event_log where type <> 'user.logged_in'",
        "handovers": "select count(*) from event_log where type = 'deal.owner.changed'",
        "reopenings": "select count(*) from event_log where type = 'deal.reopened'",
        "renamed": "select count(*) from stages where name = 'Solution demo'",
        "failed": "select count(*) from import_problems",
    }
    with psycopg.connect(database.admin_url) as connection:
        return {name: connection.execute(query).fetchone()[0] for name, query in queries.items()}  # type: ignore[index]  # a count


def _sees_all(api_url: str) -> bool:
    """Whether the demo manager sees deals of all twelve reps."""
    tokens = httpx.post(f"{api_url}/v1/auth/login", json={"email": DEMO_USERS[0], "password": DEMO_PASSWORD}).json()
    client = httpx.Client(base_url=api_url, headers={"Authorization": f"Bearer {tokens['access_token']}"})
    owners: set[str] = set()
    cursor: str | None = None
    with client:
        for _ in range(5):
            page = client.get("/v1/deals", params={"limit": 200} | ({"cursor": cursor} if cursor else {})).json()
            owners |= {deal["owner_id"] for deal in page["items"]}
            cursor = page["next_cursor"]
    return len(owners) == 12
