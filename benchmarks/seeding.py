"""Many deals at once, as the API would have written them one by one: rows and events, in bulk SQL."""

from collections.abc import Sequence
from time import monotonic, sleep

import httpx
import psycopg

from benchmarks.load import Person
from runtime.stack import Stack

_PATIENCE_SECONDS = 1800.0

# the rows' foreign keys are right by construction and not looked up a million times
_DEALS = """
insert into deals (organization_id, id, version, created_at, pipeline_id, stage_id, stage_entered_at, status, title,
                   amount_minor, currency, owner_id, last_occurred_at)
select %(organization)s, uuidv7(n * interval '-13 seconds'), 1, now() - n * interval '13 seconds', %(pipeline)s,
       (%(stages)s::uuid[])[n %% cardinality(%(stages)s::uuid[]) + 1], now() - n * interval '13 seconds', 'open',
       'Deal ' || n, n * 100, 'EUR', %(owner)s, now() - n * interval '13 seconds'
from generate_series(%(deals)s, 1, -1) n
"""

# the trigger that puts events into the outbox runs as always
_EVENTS = """
insert into event_log (event_id, organization_id, type, version, aggregate_type, aggregate_id, aggregate_version,
                       occurred_at, actor, actor_id, correlation_id, data)
select uuidv7(), d.organization_id, 'deal.created', 1, 'deal', d.id, 1, d.created_at, 'user', d.owner_id, d.id,
       jsonb_build_object('pipeline_id', d.pipeline_id, 'to_stage_id', d.stage_id, 'amount_minor', d.amount_minor,
                          'currency', d.currency, 'owner_id', d.owner_id, 'company_id', null, 'contact_id', null,
                          'source_id', null, 'close_date', null)
from deals d where d.organization_id = %(organization)s and d.title like 'Deal %%' order by d.created_at
"""


def fill(admin_url: str, people: Sequence[Person], *, deals: int, with_events: bool = True) -> float:
    """Give each person's organization its share of `deals`; the seconds it took. `admin_url` is of a superuser.

    Without their events, for those who read deals alone.
    """
    began = monotonic()
    with psycopg.connect(admin_url, autocommit=True) as connection:
        for person in people:
            values = {
                "organization": person.organization_id,
                "pipeline": person.pipeline["id"],
                "stages": person.open_stages,
                "owner": person.user_id,
                "deals": deals // len(people),
            }
            connection.execute("set session_replication_role = replica")
            connection.execute(_DEALS, values)
            connection.execute("set session_replication_role = origin")
            if with_events:
                connection.execute(_EVENTS, values)
        connection.execute("vacuum analyze deals, event_log, outbox")
    return monotonic() - began


def wait_until_fresh(stack: Stack, person: Person) -> float:
    """Wait until the marts have every event of the person's organization; the seconds it took.

    Raises:
        RuntimeError: they have not within half an hour.
    """
    began, answer = monotonic(), None
    while monotonic() - began < _PATIENCE_SECONDS:
        person.sign_in_again(stack.api_url)
        answer = httpx.get(f"{stack.api_url}/v1/freshness", headers=person.headers, timeout=60)
        if answer.is_success and answer.json()["events_behind"] == 0:
            return monotonic() - began
        sleep(1)
    raise RuntimeError(f"the marts were not fresh within {_PATIENCE_SECONDS:g} s: {answer.text if answer else None}")
