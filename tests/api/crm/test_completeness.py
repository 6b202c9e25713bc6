"""How complete accounts are: what nobody can compare says so, and operators get figures and alarms."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from tests.api.crm.conftest import Crm, Member
from tests.api.crm.test_conversations import account, mail, take_in

_PROMTOOL = shutil.which("promtool")
_RULES = Path(__file__).resolve().parents[3] / "deploy" / "prometheus" / "alerts.yml"


async def test_what_can_list_nothing_says_why_its_days_are_not_compared(owner: Member) -> None:
    bot = await account(owner, channel="telegram", address="@helper", settings={"business_bot": True})
    person = await account(owner, channel="telegram", address="+4930123")
    by_hand = await account(owner, channel="linkedin", address="Us")
    said = [(await owner.get(f"/v1/bd-accounts/{one['id']}")).json()["not_compared"] for one in (bot, person, by_hand)]
    assert said == ["bots_may_list_nothing", None, "linkedin_lists_nothing"]


async def _figures(owner: Member) -> dict[str, float]:
    lines = (await owner.get("/metrics")).text.splitlines()
    return {
        name: float(value)
        for name, _, value in (line.rpartition(" ") for line in lines)
        if name.startswith("sluice_channel_")
    }


async def test_operators_see_by_channel_what_is_missing_failed_and_not_compared(crm: Crm, owner: Member) -> None:
    held = await account(owner)
    await account(owner, channel="telegram", address="@helper", settings={"business_bot": True})
    await take_in(owner, held, mail(1))
    with psycopg.connect(crm.admin_url) as admin:
        admin.execute("update bd_accounts set connected_at = now() - interval '1 hour'")
        [(today,)] = admin.execute("select current_date::text").fetchall()
    assert (await _figures(owner))['sluice_channel_overdue_accounts{channel="email"}'] == 1
    found = {"epoch": held["epoch"], "provider_ids": ["<m1@acme.example>", "<m2@acme.example>"], "failed": {"odd": 3}}
    await owner.made(f"/v1/bd-accounts/{held['id']}/days/{today}", found)
    figures = await _figures(owner)
    assert {name: value for name, value in figures.items() if "email" in name} == {
        'sluice_channel_missing_messages{channel="email"}': 1,
        'sluice_channel_failed_messages{channel="email"}': 3,
        'sluice_channel_overdue_accounts{channel="email"}': 0,
    }
    with psycopg.connect(crm.admin_url) as admin:
        [(people,)] = admin.execute(
            "select count(*) from bd_accounts where channel = 'telegram' and not settings ? 'business_bot'"
        ).fetchall()
    # of a bot nothing is said, neither that all is well nor that it waits
    assert figures.get('sluice_channel_overdue_accounts{channel="telegram"}', 0) == people
    with psycopg.connect(crm.admin_url) as admin:
        admin.execute("update bd_account_days set checked_at = now() - interval '11 minutes'")
    assert (await _figures(owner))['sluice_channel_overdue_accounts{channel="email"}'] == 1


@pytest.mark.skipif(_PROMTOOL is None, reason="promtool is not installed: apt-get install prometheus")
def test_prometheus_raises_the_alarms_of_channels_and_only_where_something_is_wrong(tmp_path: Path) -> None:
    series = {
        'sluice_channel_missing_messages{channel="email"}': "0 0 1x20",
        'sluice_channel_overdue_accounts{channel="x"}': "1x20",
        'sluice_channel_failed_messages{channel="email"}': "0x20",
    }

    def alarm(name: str, at: str, *channels: str) -> dict[str, Any]:
        labels = [{"exp_labels": {"channel": one, "severity": "critical"}} for one in channels]
        return {"eval_time": at, "alertname": name, "exp_alerts": labels}

    rules = yaml.safe_load(_RULES.read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            rule.pop("annotations")  # whose words are no matter of this test
    (tmp_path / "alerts.yml").write_text(yaml.safe_dump(rules))
    told = {
        "rule_files": ["alerts.yml"],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "alert_rule_test": [
                    alarm("SluiceMessagesAreMissing", "3m"),
                    alarm("SluiceMessagesAreMissing", "5m", "email"),
                    alarm("SluiceAccountsAreNotCompared", "4m"),
                    alarm("SluiceAccountsAreNotCompared", "6m", "x"),
                    alarm("SluiceMessagesCouldNotBeTakenIn", "15m"),
                ],
            }
        ],
    }
    (tmp_path / "test.yml").write_text(yaml.safe_dump(told))
    for command in (["check", "rules", str(_RULES)], ["test", "rules", "test.yml"]):
        done = subprocess.run([str(_PROMTOOL), *command], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
