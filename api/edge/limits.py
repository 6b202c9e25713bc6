"""How often one may ask: GCRA per address, account, key and organization, right under several API processes.

An allowance refills steadily, and may be saved up to its burst. It is kept in PostgreSQL, taken by one statement of the
wait that lets the request in, or in Redis (`SLUICE_REDIS_URL`). Where Redis is away, whoever signs in has to wait, and
everybody else goes on without limits.
"""

import hashlib
import logging
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import RedisError
from sqlalchemy import text

from api.db.statements import Bound, compiled
from api.kernel.database import Database
from api.kernel.errors import CrmError, Unavailable
from api.kernel.unit_of_work import Row

_log = logging.getLogger("sluice.limits")

_TAKE = compiled(text("select * from take_limits(:keys, :seconds, :bursts)"))
_SHOW = compiled(
    text("""
select key, greatest(0, cast(extract(epoch from tat - clock_timestamp()) as double precision)) as used
from rate_limits where key = any(cast(:keys as text[]))
""")
)
_FORGET = compiled(
    text("""
delete from rate_limits where key in (
    select key from rate_limits where tat < clock_timestamp() - interval '1 minute' limit 1000 for update skip locked
)
""")
)
#: To Redis, of each process; and how long a request waits for one of them, or for an answer.
_CONNECTIONS, _REDIS_SECONDS = 20, 1
#: One request in so many also throws away what is full again.
_FORGET_EVERY = 500

#: The same in Redis, whose scripts run alone. Answers allowed (0 or 1) and the seconds that are used.
_SCRIPT = """
local answer = {}
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1e6
for i, key in ipairs(KEYS) do
    local step, burst = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
    local tat = math.max(tonumber(redis.call('GET', key) or '0'), now)
    if tat + step > now + step * (burst + 1) then
        answer[#answer + 1] = '0'
        answer[#answer + 1] = tostring(tat - now)
        return answer
    end
    redis.call('SET', key, string.format('%.6f', tat + step), 'PX', math.ceil((tat + step - now) * 1000) + 1000)
    answer[#answer + 1] = '1'
    answer[#answer + 1] = tostring(tat + step - now)
end
return answer
"""


class RateLimited(CrmError):
    """Too many requests; `Retry-After` says when the next one may come."""

    status, code, title = 429, "rate_limited", "Too many requests"


@dataclass(frozen=True)
class Allowance:
    """So many requests a minute, of which `burst` may come at once."""

    name: str
    per_minute: float
    burst: int

    @property
    def seconds(self) -> float:
        """Between two requests that come steadily."""
        return 60 / self.per_minute

    def of(self, whose: str) -> "Wanted":
        """One request out of somebody's allowance."""
        digest = hashlib.sha256(whose.encode()).hexdigest()[:24]
        return Wanted(self, f"{self.name}:{digest}")


@dataclass(frozen=True)
class Wanted:
    """An allowance of somebody's, by a key that does not tell whose."""

    allowance: Allowance
    key: str


@dataclass(frozen=True)
class Standing:
    """How an allowance stands: what is left, and in how many seconds it will be whole."""

    allowance: Allowance
    remaining: int
    reset_seconds: int

    @property
    def headers(self) -> dict[str, str]:
        """As `RateLimit-*` headers."""
        one = self.allowance
        return {
            "RateLimit-Limit": str(one.burst + 1),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset_seconds),
            "RateLimit-Policy": f"{one.burst + 1};w={math.ceil(one.seconds * (one.burst + 1))}",
        }


class Limiter:
    """Takes from allowances, in PostgreSQL or in Redis."""

    def __init__(self, database: Database, *, redis_url: str | None = None) -> None:
        self._database = database
        self._redis = _connected(redis_url) if redis_url else None

    def statements(self, wanted: Sequence[Wanted]) -> list[Bound]:
        """What takes them in PostgreSQL, for whoever waits for it anyway; none where Redis keeps them."""
        if self._redis is not None or not wanted:
            return []
        forget = [_FORGET.bind()] if random.randrange(_FORGET_EVERY) == 0 else []  # noqa: S311 # housekeeping
        return [_bound(wanted), *forget]

    async def take(self, *wanted: Wanted, is_sign_in: bool = False) -> Standing:
        """Take one request out of each; where Redis is away, only those who sign in have to wait.

        Raises:
            RateLimited: there is nothing left of one of them.
            Unavailable: nobody can tell.
        """
        if self._redis is None:
            async with self._database.reading(None) as unit:
                answers = await unit.fetch_all(*self.statements(wanted))
            return judge(wanted, answers[0])
        return await self._take_in_redis(wanted, is_sign_in=is_sign_in)

    async def take_elsewhere(self, wanted: Sequence[Wanted]) -> Standing | None:
        """The same where `statements` has none."""
        return None if self._redis is None or not wanted else await self._take_in_redis(wanted, is_sign_in=False)

    async def show(self, *wanted: Wanted) -> list[Standing]:
        """How allowances stand, without taking anything."""
        keys = [one.key for one in wanted]
        if self._redis is None:
            async with self._database.reading(None) as unit:
                used = {row.key: row.used for row in await unit.fetch(_SHOW, keys=keys)}
        else:
            try:
                seconds, micros = await self._redis.time()
                tats = await self._redis.mget(keys)
            except RedisError as error:
                raise Unavailable("Nobody can tell at this moment.") from error
            now = seconds + micros / 1e6
            used = {key: max(0.0, float(tat or 0) - now) for key, tat in zip(keys, tats, strict=True)}
        return [_standing(one.allowance, used.get(one.key, 0.0)) for one in wanted]

    async def close(self) -> None:
        """Close what is open."""
        if self._redis is not None:
            await self._redis.aclose()

    async def _take_in_redis(self, wanted: Sequence[Wanted], *, is_sign_in: bool) -> Standing:
        if self._redis is None:
            raise RuntimeError("there is no Redis")
        numbers = [part for one in wanted for part in (str(one.allowance.seconds), str(one.allowance.burst))]
        try:
            flat = await self._redis.eval(_SCRIPT, len(wanted), *(one.key for one in wanted), *numbers)
        except RedisError as error:
            if is_sign_in:
                raise Unavailable("Nobody can sign in at this moment. Try again soon.") from error
            _log.warning("limits are off: Redis does not answer")
            return Standing(wanted[0].allowance, wanted[0].allowance.burst, 0)
        pairs = [(flat[at], float(flat[at + 1])) for at in range(0, len(flat), 2)]
        return _judged(wanted, [(allowed in (b"1", "1"), used) for allowed, used in pairs])


def _connected(url: str) -> Redis:
    """A client whose requests wait for a connection: a pool that refuses would turn limits off when many come."""
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=_CONNECTIONS,
        timeout=_REDIS_SECONDS,
        socket_timeout=_REDIS_SECONDS,
        socket_connect_timeout=_REDIS_SECONDS,
    )
    return Redis.from_pool(pool)


def judge(wanted: Sequence[Wanted], rows: Sequence[Row]) -> Standing:
    """How the tightest allowance stands, after PostgreSQL has taken one request out of each.

    Raises:
        RateLimited: there was nothing left of one.
    """
    return _judged(wanted, [(row.is_allowed, row.used) for row in rows])


def _bound(wanted: Sequence[Wanted]) -> Bound:
    return _TAKE.bind(
        keys=[one.key for one in wanted],
        seconds=[one.allowance.seconds for one in wanted],
        bursts=[one.allowance.burst for one in wanted],
    )


def _judged(wanted: Sequence[Wanted], found: Sequence[tuple[bool, float]]) -> Standing:
    standings = [_standing(one.allowance, used) for one, (_, used) in zip(wanted, found, strict=False)]
    is_allowed, used = found[-1]
    if not is_allowed:
        refused = standings[-1]
        wait = math.ceil(max(1.0, used - refused.allowance.seconds * refused.allowance.burst))
        headers = refused.headers | {"RateLimit-Remaining": "0", "Retry-After": str(wait)}
        raise RateLimited(f"Too many requests. Wait {wait} seconds.", headers=headers)
    return min(standings, key=lambda one: one.remaining / (one.allowance.burst + 1))


def _standing(allowance: Allowance, used: float) -> Standing:
    left = allowance.burst + 1 - math.ceil(used / allowance.seconds - 1e-6)
    return Standing(allowance, max(0, left), math.ceil(used))
