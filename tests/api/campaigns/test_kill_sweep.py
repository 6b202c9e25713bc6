"""C-1: thousands are written to by e-mail and Telegram while whoever sends is killed fifty times."""

import asyncio
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.api.campaigns.conftest import Outreach

_CONTACTS = """
insert into contacts (organization_id, id, version, name, email, phone, custom)
select %s, gen_random_uuid(), 1, case when n %% 2 = 0 then 'Mail ' else 'Chat ' end || n,
    'p' || n || '@acme.example', '+4930' || (1000000 + n), '{}'
from generate_series(1, %s) n
"""


async def _sweep(outreach: Outreach, record: Path, *, people: int, kills: int) -> dict[str, int]:
    """The figures: whom the stubs were called for twice, who is missing, of whom nobody knows."""
    outreach.rows(_CONTACTS, outreach.owner.organization_id, people)
    campaigns = []
    for channel, names in (("email", "Mail"), ("telegram", "Chat")):
        account = await outreach.account(channel, daily_limit=100_000)
        step = {"kind": channel, "variants": [{"subject": "Hi", "text": "Hello {{contact.name}}"}]}
        people_of = [["name", "contains", names]]
        campaigns.append(await outreach.started(step, filter=people_of, account_ids=[account["id"]]))
    argv = [sys.executable, "-m", "tests.api.campaigns.sender", outreach.database.worker_url]
    argv += [str(outreach.owner.organization_id), str(record), str(kills), str(people)]
    await asyncio.to_thread(subprocess.run, argv, check=True, cwd=Path(__file__).parents[3])
    calls = [line.split() for line in (await asyncio.to_thread(record.read_text)).splitlines()]
    mails = Counter(address for channel, _, address in calls if channel == "email")
    # Telegram shows a message once, however often it is given one with the same id
    chats = Counter(address for address in {(one, address) for channel, one, address in calls if channel == "telegram"})
    reached = {*mails, *(address for _, address in chats)}
    unknown = outreach.rows(
        "select s.address from campaign_touches t join sends s on s.message_id = t.message_id"
        " where t.state = 'unknown' and t.organization_id = %s",
        outreach.owner.organization_id,
    )
    shown = [
        one["touches"]
        for campaign in campaigns
        for one in (await outreach.owner.read(f"/v1/campaigns/{campaign['id']}/progress"))["touches"]
        if one["state"] == "unknown"
    ]
    assert sum(shown) == len(unknown)  # people are told of whom nobody knows
    return {
        "reached": len(reached),
        "doubled": sum(count > 1 for count in mails.values()) + len(chats) - len({address for _, address in chats}),
        "missing": people - len(reached | {row["address"] for row in unknown}),
        "unknown": len(unknown),
    }


async def test_c1_a_few_kills(outreach: Outreach, tmp_path: Path) -> None:
    figures = await _sweep(outreach, tmp_path / "calls", people=60, kills=3)
    assert (figures["doubled"], figures["missing"]) == (0, 0), figures
    assert figures["unknown"] <= 3 * 10


@pytest.mark.slow
async def test_c1_nobody_gets_a_step_twice_or_never_however_often_whoever_sends_is_killed(
    outreach: Outreach, tmp_path: Path
) -> None:
    figures = await _sweep(outreach, tmp_path / "calls", people=5_000, kills=50)
    print(figures)
    assert (figures["doubled"], figures["missing"]) == (0, 0), figures
    assert figures["unknown"] <= 50 * 10
