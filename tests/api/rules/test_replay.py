"""Rules by the clock and by scores, and their replay: the list that a live run over the same events has."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

from api.rules.automaton import Automaton
from api.rules.document import Figure
from api.rules.worker import make_calls, tick
from contracts.events.registry import EVENTS
from tests.api.rules.conftest import Shop, until

TASK = {"do": "task.create", "with": {"title": "Call"}}


async def _backtest(shop: Shop, rule: dict[str, Any], **changes: Any) -> dict[str, Any]:
    now = datetime.now(UTC)
    body = {"begins": (now - timedelta(days=400)).isoformat(), "ends": (now + timedelta(days=1)).isoformat(), **changes}
    return await shop.owner.made(f"/v1/rules/{rule['id']}/backtest", json=body)


def _score(shop: Shop, record: dict[str, Any], score: float, *, subject: str = "deal") -> None:
    """A model's word on a deal or a contact, as the event log has it."""
    example = json.loads(Path("contracts/examples/lead.scored.v2.json").read_text())
    named = {"deal_id": None, "contact_id": None, f"{subject}_id": record["id"]}
    data = {**example["data"], **named, "score": score}
    with psycopg.connect(shop.database.app_url) as app:
        app.execute("select set_config('sluice.organization_id', %s, true)", (str(shop.owner.organization_id),))
        app.execute(
            "insert into event_log (event_id, organization_id, type, version, aggregate_type, aggregate_id,"
            " aggregate_version, occurred_at, actor, correlation_id, data)"
            " values (%s, %s, 'lead.scored', 2, 'score', %s, 1, now(), 'score', %s, %s)",
            (uuid4(), shop.owner.organization_id, uuid4(), uuid4(), Jsonb(data)),
        )


async def test_r5_a_replay_writes_nothing_and_lists_what_the_run_over_those_events_has(shop: Shop) -> None:
    first, second, *_ = [name for name in shop.stages if name not in ("Won", "Lost")]
    rules = [
        await shop.rule("deal.stage.changed", TASK, when="deal.amount >= 300.0", mode="dry_run"),
        await shop.rule("deal.amount.changed", TASK, when="deal.stage_changes > 0", cool_down_hours=1, mode="dry_run"),
        await shop.rule("deal.created", {"do": "notify", "with": {"text": "x"}}, when=f'deal.stage == "{first}"'),
    ]
    for number in range(8):
        deal = await shop.deal(amount_minor=number * 10_000)
        await shop.move(deal, second)
        for amount in (1, 2):
            await shop.owner.patch(f"/v1/deals/{deal['id']}", json={"amount_minor": number * 10_000 + amount})
        if number % 2:
            await shop.owner.post(f"/v1/deals/{deal['id']}/win")
    await shop.settle()
    before = shop.rows("select (select count(*) from event_log) as e, (select count(*) from rule_runs) as r")
    for rule in rules:
        replayed = await _backtest(shop, rule)
        fired = [run for run in await shop.runs(rule) if run["outcome"] in ("would", "done")]
        assert fired, rule["document"]
        assert {(one["key"], one["subject_id"]) for one in replayed["firings"]} == {
            (run["key"], run["subject_id"]) for run in fired
        }
        assert replayed["fired"] == len(fired)
    assert before == shop.rows("select (select count(*) from event_log) as e, (select count(*) from rule_runs) as r")
    assert (replayed["won"], replayed["open"], replayed["others_won"]) == (4, 4, 0)
    assert replayed["firings"][0]["next_by_people"] == "deal.stage.changed"
    other = await _backtest(shop, rules[0], document={**rules[0]["document"], "when": "deal.amount < 0.0"})
    assert other["fired"] == 0


async def test_r5_what_time_brings_about_is_replayed_as_it_came(shop: Shop) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=4)
    begun = (soon - timedelta(days=7)).isoformat()
    stay = await shop.rule({"kind": "time_in_stage", "days": 7}, TASK, mode="dry_run")
    silence = await shop.rule({"kind": "no_activity", "days": 7}, TASK)
    hour = await shop.rule({"kind": "schedule", "at": "00:00"}, TASK, mode="dry_run")
    stuck, busy = await shop.deal(occurred_at=begun), await shop.deal(occurred_at=begun)
    await shop.owner.made("/v1/tasks", json={"title": "Talked", "deal_id": busy["id"]})
    await shop.settle()
    automaton = Automaton(shop.pool)
    assert await tick(automaton) == 0
    await asyncio.sleep(max(0.0, (soon - datetime.now(UTC)).total_seconds() + 0.2))
    automaton = Automaton(shop.pool)
    assert await tick(automaton) == 3
    assert await tick(Automaton(shop.pool)) == 0  # once per stay and silence, whoever looks
    assert {run["subject_id"] for run in await shop.runs(stay)} == {stuck["id"], busy["id"]}
    assert [run["subject_id"] for run in await shop.runs(silence)] == [stuck["id"]]
    for rule in (stay, silence):
        replayed = await _backtest(shop, rule)
        assert {one["key"] for one in replayed["firings"]} == {run["key"] for run in await shop.runs(rule)}
    # nothing was known of the deals at any earlier midnight: there is the one to come
    assert (await _backtest(shop, hour))["fired"] == 2


async def test_a_schedule_comes_round_once_for_each_open_deal(shop: Shop) -> None:
    rule = await shop.rule({"kind": "schedule", "at": _minutes_ago()}, TASK, when="deal.amount > 1.0")
    shop.rows("update rule_versions set valid_from = now() - interval '1 day' returning 1")
    begun = (datetime.now(UTC) - timedelta(days=2)).isoformat()
    rich, _ = await shop.deal(amount_minor=500, occurred_at=begun), await shop.deal(amount_minor=1, occurred_at=begun)
    shop.rows("update event_log set recorded_at = occurred_at where aggregate_type = 'deal' returning 1")
    assert await tick(Automaton(shop.pool)) == 1
    assert await tick(Automaton(shop.pool)) == 0
    assert [run["subject_id"] for run in await shop.runs(rule)] == [rich["id"]]


@pytest.mark.skipif(("lead.scored", 1) not in EVENTS, reason="there are no scores yet")
async def test_a_score_counts_when_it_reaches_the_threshold_and_again_only_after_it_was_clearly_below(
    shop: Shop,
) -> None:
    rule = await shop.rule({"kind": "score", "above": 0.7, "hysteresis": 0.1}, TASK)
    deal = await shop.deal()
    for score in (0.5, 0.72, 0.68, 0.75, 0.55, 0.9):
        _score(shop, deal, score)
        await shop.settle()
    assert [run["score"] for run in await shop.runs(rule)] == [0.72, 0.9]
    assert [one["score"] for one in (await _backtest(shop, rule))["firings"]] == [0.72, 0.9]
    assert (await _backtest(shop, rule, above=0.8))["fired"] == 1


async def test_a_lead_whose_score_reaches_the_threshold_is_called(shop: Shop) -> None:
    trigger = {"kind": "score", "subject": "contact", "above": 0.7, "hysteresis": 0.1}
    rule = await shop.rule(trigger, TASK, when="contact.score >= 0.7 && contact.age_days >= 0.0")
    of_deals = await shop.rule({"kind": "score", "above": 0.7}, TASK)
    lead = await shop.owner.made("/v1/contacts", json={"name": "Ann"})
    for score in (0.5, 0.72, 0.75, 0.55, 0.9):
        _score(shop, lead, score, subject="contact")
        await shop.settle()
    runs = await shop.runs(rule)
    assert [(run["subject_type"], run["subject_id"], run["score"], run["outcome"]) for run in runs] == [
        ("contact", lead["id"], score, "done") for score in (0.72, 0.9)
    ]
    assert await shop.runs(of_deals) == []
    replayed = await _backtest(shop, rule)
    assert {one["key"] for one in replayed["firings"]} == {run["key"] for run in runs}


async def test_rules_look_at_an_import_only_where_it_or_they_say_so(shop: Shop) -> None:
    rule = await shop.rule("deal.created", TASK)
    eager = await shop.rule("deal.created", TASK, on_imports=True)
    for number, options in enumerate(({}, {"run_rules": True})):
        import_id = uuid4()
        with psycopg.connect(shop.database.admin_url) as admin:
            admin.execute(
                "insert into imports (organization_id, id, version, state, options, files, progress, warnings)"
                " values (%s, %s, 1, 'completed', %s, '[]', '{}', '[]')",
                (shop.owner.organization_id, import_id, Jsonb(options)),
            )
            await shop.deal(external_id=f"X{number}")
            admin.execute(
                "update event_log set actor = 'import', actor_id = %s where type = 'deal.created' and actor = 'user'",
                (import_id,),
            )
    await shop.settle()
    assert (len(await shop.runs(rule)), len(await shop.runs(eager))) == (1, 2)


async def test_r6_a_storm_of_one_tenant_ends_at_its_quota_and_another_goes_on(shop: Shop) -> None:
    other = await shop.owner.api.sign_up()
    pipeline = (await other.read("/v1/pipelines"))["items"][0]
    document = {"trigger": {"kind": "event", "event": "deal.created"}, "actions": [TASK]}
    await other.made("/v1/rules", json={"name": "Other", "mode": "live", "document": document})
    rules = [await shop.rule("deal.created", TASK, most_per_hour=3, name=f"Rule {n}") for n in range(5)]
    for number in range(12):
        await shop.deal(title=f"Storm {number}")
    await other.made("/v1/deals", json={"pipeline_id": pipeline["id"], "title": "Quiet"})
    await shop.settle()
    assert len((await other.read("/v1/tasks"))["items"]) == 1
    for rule in rules:
        outcomes = [run["outcome"] for run in await shop.runs(rule)]
        assert (outcomes.count("done"), outcomes.count("skipped_quota")) == (3, 9)  # each is in the log, none is lost


class _Refuses:
    """An address that is down once, then answers."""

    def __init__(self) -> None:
        self.tries: list[tuple[str, bytes]] = []

    async def send(self, _method: str, _url: str, *, content: bytes, headers: dict[str, str]) -> Any:
        self.tries.append((headers["Webhook-Id"], content))
        status = 503 if len(self.tries) == 1 else 200
        return type("Answer", (), {"status": status, "is_success": status == 200})()


async def test_a_call_that_fails_is_made_again(shop: Shop) -> None:
    await shop.rule("deal.created", {"do": "webhook", "with": {"url": "https://example.com/hook"}})
    deal = await shop.deal()
    await shop.settle()
    outgoing: Any = _Refuses()
    assert await make_calls(shop.pool, outgoing) == 1
    shop.rows("update rule_calls set next_at = now() returning 1")
    assert await make_calls(shop.pool, outgoing) == 1
    assert await make_calls(shop.pool, outgoing) == 0
    (first, body), (second, _) = outgoing.tries
    assert first == second
    assert deal["id"].encode() in body
    await until(lambda: bool(shop.rows("select 1 from rule_calls where sent_at is not null")))


def _minutes_ago() -> str:
    return (datetime.now(UTC) - timedelta(minutes=2)).strftime("%H:%M")


async def test_of_several_events_in_a_row_the_last_one_counts_once_nothing_follows_it(shop: Shop) -> None:
    rule = await shop.rule("deal.amount.changed", TASK, when="deal.amount >= 2.0", debounce_minutes=60)
    busy, calm, low = [await shop.deal(amount_minor=100) for _ in range(3)]
    for deal, amounts in ((busy, (300, 400, 500)), (calm, (300,)), (low, (300, 150))):
        for amount in amounts:
            await shop.owner.patch(f"/v1/deals/{deal['id']}", json={"amount_minor": amount})
            await shop.settle()
    assert await tick(Automaton(shop.pool)) == 0  # something may follow
    _an_hour_passes(shop)
    assert await tick(Automaton(shop.pool)) == 2
    assert await tick(Automaton(shop.pool)) == 0
    runs = await shop.runs(rule)
    assert {run["subject_id"]: run["facts"]["deal.amount"] for run in runs} == {busy["id"]: 5.0, calm["id"]: 3.0}
    assert not shop.rows("select 1 from rule_waits")
    replayed = await _backtest(shop, rule)
    assert {(one["key"], one["subject_id"]) for one in replayed["firings"]} == {
        (run["key"], run["subject_id"]) for run in runs
    }
    answer = await shop.owner.post(
        "/v1/rules/lint", json={**rule["document"], "trigger": {"kind": "no_activity", "days": 1}}
    )
    assert answer.status_code == 422


def _an_hour_passes(shop: Shop) -> None:
    """For rules: what waits, and what it waits behind, was an hour ago."""
    shop.rows("update rule_versions set valid_from = valid_from - interval '2 hours' returning 1")
    shop.rows("update event_log set recorded_at = recorded_at - interval '61 minutes' returning 1")
    shop.rows("update rule_waits set due_at = due_at - interval '61 minutes' returning 1")


async def test_a_condition_looks_at_a_figure_of_the_metrics_and_says_of_when_it_is(shop: Shop) -> None:
    asked = {"wins": {"metric": "win_rate", "figure": "win_rate", "days": 30}}
    rule = await shop.rule("deal.created", TASK, when="metric.wins < 0.3 && deal.amount >= 1.0", metrics=asked)
    told, looks = [0.4, 0.2, None], list[str]()

    def ask(_organization: object, figure: Figure, _now: datetime) -> float | None:
        looks.append(figure.metric)
        return told[0]

    automaton, deals = Automaton(shop.pool, ask), []
    await shop.deal(amount_minor=100)
    await shop.settle()
    for value in told:
        shop.rows("update rule_figures set checked_at = now() - interval '1 hour' returning 1")
        told[0] = value
        await tick(automaton)
        await tick(automaton)  # what was looked at a moment ago is believed
        deals.append(await shop.deal(amount_minor=100))
        await shop.settle()
    assert looks == ["win_rate"] * 3
    runs = await shop.runs(rule)
    # nobody knew the figure at first; what cannot be told leaves the one before
    assert [run["subject_id"] for run in runs] == [deal["id"] for deal in deals[1:]]
    assert {run["facts"]["metric.wins"] for run in runs} == {0.2}
    assert datetime.fromisoformat(runs[0]["facts"]["metric.wins as of"]) < datetime.now(UTC)
    replayed = await _backtest(shop, rule)
    assert {one["key"] for one in replayed["firings"]} == {run["key"] for run in runs}
    for wrong, says in (
        ({"metric": "wins", "figure": "win_rate"}, "no metric named"),
        ({"metric": "win_rate", "figure": "wins"}, "has no figure 'wins'"),
        ({"metric": "win_rate", "figure": "won", "parameters": {"colour": "red"}}, "no such parameter"),
    ):
        answer = await shop.owner.post("/v1/rules/lint", json={**rule["document"], "metrics": {"wins": wrong}})
        assert (answer.status_code, says in answer.json()["detail"]) == (422, True), answer.text
