"""Live updates (A-12): to whoever may see them, without a gap, and not for longer than they may."""

import asyncio
import json
import random
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
import websockets
from uuid_utils.compat import uuid7

from api.edge.security import AccessClaims, AccessTokens, Signer, draw_key
from api.kernel.database import Database as Pool
from api.live import channels, door, endpoints, worker
from api.live import numbering as numbering_of_holes
from api.live.numbering import Holes
from contracts.access import RecordScope, Role
from tests.api.live.conftest import Live, numbering
from tests.conftest import Database
from tests.factories import SECRET_KEY, Account, Api


async def contact(owner: Account, name: str = "Ada") -> str:
    made: str = (await owner.made("/v1/contacts", json={"name": name}))["id"]
    return made


async def test_a12_what_happens_is_told_by_every_process_to_its_organization_alone(
    live: Live, owner: Account, stranger: Account
) -> None:
    async with (
        live.listen(owner) as here,
        live.listen(owner, server=1) as there,
        live.listen(stranger) as outside,
    ):
        made = await contact(owner)
        for client in (here, there):
            event = await client.until_hears_of(made)
            assert (event["type"], event["actor_id"]) == ("contact.created", str(owner.user_id))
            assert "name" not in event
        theirs = await contact(stranger)
        await outside.until_hears_of(theirs)
        assert {event["aggregate_id"] for event in outside.heard} == {theirs}
        told = await owner.read("/v1/live/events", params={"after": 0, "stream": here.stream})
        assert [event["aggregate_id"] for event in told["events"]][-1] == made


async def test_a12_whoever_comes_back_hears_on_from_the_number_they_got_last(live: Live, owner: Account) -> None:
    async with live.listen(owner) as client:
        first = await contact(owner)
        await client.until_hears_of(first)
    missed = [await contact(owner, f"Ada {number}") for number in range(3)]
    hello = {"after": client.told, "stream": client.stream}
    async with live.listen(owner, server=1, hello=hello) as again:
        await again.until_hears_of(missed[-1])
        assert [event["aggregate_id"] for event in again.heard] == missed
    async with live.listen(owner, hello={"after": 10**9}) as lost:
        assert lost.told < 10**9
    async with live.listen(owner, hello={"after": 0, "stream": str(uuid7())}) as other:
        assert other.told == again.told


async def test_a12_record_scopes_and_roles_are_asked_before_each_push(live: Live, owner: Account) -> None:
    rep = await owner.add_user(role=Role.REP, record_scope=RecordScope.OWN)
    async with live.listen(rep) as client, live.listen(owner) as all_of_it:
        hidden = await contact(owner, "Not theirs")
        theirs = (await owner.made("/v1/contacts", json={"name": "Theirs", "owner_id": str(rep.user_id)}))["id"]
        await client.until_hears_of(theirs)
        await owner.patch(f"/v1/contacts/{theirs}", json={"owner_id": str(owner.user_id)})
        await owner.patch(f"/v1/contacts/{theirs}", json={"name": "Not theirs any more"})
        await all_of_it.until_hears_of(await contact(owner, "Not theirs either"))
        answer = await owner.patch(f"/v1/users/{rep.user_id}", json={"record_scope": "all"})
        assert answer.is_success, answer.text
        seen = await contact(owner, "Everybody's")
        await client.until_hears_of(seen)
        await all_of_it.until_hears_of(seen)
    about = [event["aggregate_id"] for event in client.heard if event["aggregate_type"] == "contact"]
    assert about == [theirs, seen]
    assert hidden in {event["aggregate_id"] for event in all_of_it.heard}


async def test_a12_a_session_that_ends_ends_its_sockets_and_nothing_is_told_in_between(
    live: Live, owner: Account
) -> None:
    rep = await owner.add_user(role=Role.REP)
    async with live.listen(rep) as client:
        await rep.post("/v1/auth/logout")
        await contact(owner)
        assert await client.closed() == (channels.SIGNED_OUT, "signed_out")
        assert not [event for event in client.heard if event["aggregate_type"] == "contact"]
    async with live.listen(None) as late:
        await late.connection.send(json.dumps({"token": rep.access_token}))
        assert (await late.closed())[0] == channels.SIGNED_OUT


async def test_a12_a_token_ends_in_its_time_unless_a_fresh_one_comes(
    live: Live, api: Api, owner: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "_LOOK_SECONDS", 0.1)
    claims: AccessClaims = api.app.state.services.access_tokens.read(owner.access_token, now=datetime.now(UTC))
    seconds = api.app.state.services.access_tokens.seconds
    short = AccessTokens(Signer(SECRET_KEY), seconds=seconds).issue(
        claims, now=datetime.now(UTC) - timedelta(seconds=seconds - 2)
    )
    async with live.listen(None) as ends, live.listen(None) as goes_on:
        for client in (ends, goes_on):
            await client.connection.send(json.dumps({"token": short}))
            await client.frame()
        await goes_on.connection.send(json.dumps({"token": owner.access_token}))
        assert await ends.closed() == (channels.SIGNED_OUT, "token_expired")
        await goes_on.until_hears_of(await contact(owner))


async def test_a12_foreign_pages_are_refused_ours_and_programs_are_not(live: Live, owner: Account) -> None:
    with pytest.raises(websockets.InvalidStatus) as refused:
        async with live.listen(owner, origin="https://evil.example"):
            pass
    assert refused.value.response.status_code == 403
    async with live.listen(owner, origin="http://127.0.0.1:8501"):
        pass
    protocols = ["sluice.v1", f"bearer.{owner.access_token}"]
    async with live.listen(None, subprotocols=protocols) as client:
        await client.frame()
        assert client.connection.subprotocol == "sluice.v1"


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("not JSON", channels.BAD_MESSAGE),
        ('{"after": -1}', channels.BAD_MESSAGE),
        (b"\x00\xff", channels.BAD_MESSAGE),
        ('{"token": "made up"}', channels.SIGNED_OUT),
        ("{}", channels.SIGNED_OUT),
        ("x" * 10_000_000, 1009),
    ],
)
async def test_a12_nonsense_is_told_so(live: Live, said: str | bytes, code: int) -> None:
    async with live.listen(None) as client:
        with suppress(websockets.ConnectionClosed):  # cut off while it still sends
            await client.connection.send(said)
        with pytest.raises(websockets.ConnectionClosed) as end:
            await client.connection.recv()
        assert end.value.rcvd is None or end.value.rcvd.code == code


async def test_a12_ten_thousand_messages_are_too_many(live: Live, owner: Account) -> None:
    async with live.listen(owner) as client:
        with suppress(websockets.ConnectionClosed):
            for _ in range(10_000):
                await client.connection.send(json.dumps({"token": owner.access_token}))
        assert (await client.closed())[0] == channels.TOO_MANY


async def test_a12_who_opens_many_sockets_at_once_has_no_more_than_their_part(
    live: Live, owner: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "MOST_OF_A_USER", 3)
    hello = json.dumps({"token": owner.access_token})
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(live.listen(None)) for _ in range(6)]
        await asyncio.gather(*(client.connection.send(hello) for client in clients))
        ends = await asyncio.gather(*(client.frame() for client in clients), return_exceptions=True)
    refused = [end.rcvd.code for end in ends if isinstance(end, websockets.ConnectionClosed) and end.rcvd]
    assert refused == [channels.TOO_MANY] * 3
    async with live.listen(owner) as again:  # those that ended leave their places
        await again.until_hears_of(await contact(owner))


async def test_a12_strangers_have_few_places_for_a_short_time_and_take_none_of_people_who_are_in(
    live: Live, owner: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "MOST_OF_AN_ADDRESS", 3)
    monkeypatch.setattr(endpoints, "_FIRST_SECONDS", 1.0)
    async with AsyncExitStack() as stack:
        people = [await stack.enter_async_context(live.listen(owner)) for _ in range(5)]
        strangers = [await stack.enter_async_context(live.listen(None)) for _ in range(3)]
        with pytest.raises(websockets.InvalidStatus) as refused:
            async with live.listen(owner):
                pass
        assert (refused.value.response.status_code, refused.value.response.headers["Retry-After"]) == (429, "1")
        ends = await asyncio.gather(*(one.closed() for one in strangers))
        assert ends == [(channels.SIGNED_OUT, "no_token")] * 3
        made = await contact(owner)
        for client in (people[0], await stack.enter_async_context(live.listen(owner))):
            await client.until_hears_of(made if client is people[0] else await contact(owner))


def test_a_network_of_ipv6_is_one_stranger() -> None:
    places = [door.Door().knock(one) for one in ("2001:db8::1", "::ffff:192.0.2.1", "fe80::1%eth0", "unix", None)]
    assert [place and place.network for place in places] == [
        "2001:db8::/64",
        "::ffff:192.0.2.1",
        "fe80::/64",
        "unix",
        "",
    ]


async def test_a12_a_made_up_key_takes_no_place_of_whom_it_names(
    live: Live, owner: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "MOST_OF_A_USER", 0)  # whoever counted would be told too_many_sockets
    made_up, _ = draw_key(owner.organization_id, owner.user_id, uuid7())
    async with live.listen(None) as client:
        await client.connection.send(json.dumps({"token": made_up}))
        assert await client.closed() == (channels.SIGNED_OUT, "signed_out")


async def test_a12_who_reads_too_slowly_is_let_go_of_and_hears_on_later(
    live: Live, owner: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "MOST_WAITING_BYTES", 4_000)
    async with live.listen(owner) as quick:
        listener = channels.Listener(AccessClaims(owner.organization_id, owner.user_id, uuid7()), datetime.now(UTC))
        for _ in range(100):
            listener.leave(b"x" * 100)
        assert listener.ended.result() == (channels.SLOW_READER, "slow_reader")
        assert sum(len(frame) for frame in listener._waiting) <= 4_000
        await quick.until_hears_of(await contact(owner))


def test_holes_are_waited_for_until_nobody_can_fill_them() -> None:
    holes = Holes(10)
    holes.take([11, 14], oldest=100, newest=105, now=0)
    assert (holes.high, holes.positions, holes.settled) == (14, [12, 13], 11)
    holes.take([12], oldest=100, newest=106, now=0.5)  # 13 is too young to be dated
    holes.take([], oldest=100, newest=107, now=2)  # dated: below 107
    holes.take([], oldest=106, newest=109, now=3)  # 106 is still under way
    assert holes.positions == [13]
    holes.take([], oldest=107, newest=110, now=4)
    assert (holes.positions, holes.settled) == ([], 14)


async def test_a12_numbers_have_no_gap_whatever_the_order_of_commits(
    live: Live, api_database: Database, owner: Account
) -> None:
    """Writers draw positions and commit in any order, or not at all, while two workers number."""
    drawn: list[tuple[str, int]] = []

    async def write(number: int) -> None:
        rng, aggregate = random.Random(number), str(uuid7())
        async with await psycopg.AsyncConnection.connect(api_database.admin_url) as connection:
            for version in range(1, 21):
                await connection.execute(
                    "insert into event_log (event_id, organization_id, type, version, aggregate_type, aggregate_id,"
                    " aggregate_version, occurred_at, actor, correlation_id, data) values (gen_random_uuid(), %s,"
                    " 'contact.created', 1, 'contact', %s, %s, now(), 'system', gen_random_uuid(), '{}')",
                    (owner.organization_id, aggregate, version),
                )
                await asyncio.sleep(rng.random() * 0.02)
                if rng.random() < 0.2:
                    await connection.rollback()
                    break
                await connection.commit()
                drawn.append((aggregate, version))

    async with live.listen(owner) as client, numbering(api_database):
        before = client.told
        await asyncio.gather(*(write(number) for number in range(12)))
        last = await contact(owner)
        await client.until_hears_of(last)
        while len(client.heard) < len(drawn) + 1:  # the contact may overtake what was committed just before
            await client.frame()
    heard = client.heard
    assert [event["sequence"] for event in heard] == list(range(before + 1, before + len(heard) + 1))
    told = [(event["aggregate_id"], event["aggregate_version"]) for event in heard if event["aggregate_id"] != last]
    assert sorted(told) == sorted(drawn)
    of_each: dict[str, list[int]] = {}
    for aggregate, version in told:
        of_each.setdefault(aggregate, []).append(version)
    assert all(versions == sorted(versions) for versions in of_each.values())


async def test_a12_a_hole_is_kept_for_whom_a_snapshot_does_not_know_yet(
    api_database: Database, owner: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A position is drawn a moment before its transaction has a number, which may be the newest of all."""
    monkeypatch.setattr(numbering_of_holes, "_YOUNG_SECONDS", 0.0)
    pool = Pool(api_database.worker_url)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(pool.close)
        late, soon = [
            await stack.enter_async_context(await psycopg.AsyncConnection.connect(api_database.admin_url))
            for _ in range(2)
        ]
        [high] = await _of(soon, "select max(position) from event_log")
        holes = Holes(high)
        await _of(soon, _DRAWN)  # the first is written to the log, which needs a transaction's number
        [position] = await _of(late, _DRAWN)
        [after] = await _of(soon, _DRAWN)
        await _insert(soon, owner, after)
        await soon.commit()
        await worker.number(pool, holes)
        assert position in holes.positions
        await _insert(late, owner, position)
        for _ in range(3):
            await worker.number(pool, holes)
        assert position in holes.positions, "given up while it is still to come"
        await late.commit()
        await worker.number(pool, holes)
        assert position not in holes.positions
        [numbered] = await _of(soon, f"select count(*) from live_events where position in ({position}, {after})")
        assert numbered == 2


_DRAWN = "select nextval(pg_get_serial_sequence('public.event_log', 'position'))"


async def _of(connection: psycopg.AsyncConnection, query: str) -> tuple[int, ...]:
    [row] = await (await connection.execute(query.encode())).fetchall()
    return tuple(row)


async def _insert(connection: psycopg.AsyncConnection, owner: Account, position: int) -> None:
    await connection.execute(
        "insert into event_log (position, event_id, organization_id, type, version, aggregate_type, aggregate_id,"
        " aggregate_version, occurred_at, actor, correlation_id, data) overriding system value values"
        " (%s, gen_random_uuid(), %s, 'contact.created', 1, 'contact', gen_random_uuid(), 1, now(), 'system',"
        " gen_random_uuid(), '{}')",
        (position, owner.organization_id),
    )
