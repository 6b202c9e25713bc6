"""How long a search takes over HTTP, p95, with a million contacts in ten organizations.

Names and parts of them, words in another order, typos, addresses, digits of numbers, in Latin and Cyrillic, by turns.
The limit is `/v1/me` in the same run: what any request costs. `contacts=` and `organizations=` say how much there is.
"""

import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import monotonic, perf_counter

import httpx
import psycopg

from benchmarks.load import Person, quantile, sign_up
from benchmarks.result import BenchmarkResult
from benchmarks.servers import running_stack
from runtime.stack import Stack

_ASKING = 2
_PART = 20_000
_SYLLABLES = "ba ber bor da den dor fa fel gar hol ka ken lar lin mar mon nor pel ras sen tor ul van win".split()
_GIVEN = "Ada Ben Carla Dmitri Elena Farid Grete Hugo Irina Jonas Katja Liam Maria Nils Olga Pavel Rosa Sami".split()
_RUSSIAN = "Анна Борис Вера Глеб Дарья Егор Зоя Иван".split()
_FILL = """
insert into contacts (organization_id, id, version, name, email, phone, owner_id, custom)
select %(organization)s, uuidv7(), 1, name, 'p' || n || '@' || lower(split_part(name, ' ', 2)) || '.example',
       '+4930' || (1000000 + n), %(owner)s, '{}'
from unnest(%(names)s::text[]) with ordinality as one (name, place) cross join lateral (select place + %(first)s as n)
"""


def run(*, contacts: int = 1_000_000, organizations: int = 10, seconds: float = 20.0) -> BenchmarkResult:
    """Fill a stack of its own, then search and ask who is signed in, each for `seconds`."""
    with running_stack({"api"}) as stack:
        people = [sign_up(stack.api_url, f"search-{number}") for number in range(organizations)]
        began = monotonic()
        names = [fill(stack, person, contacts // organizations, seed=seed) for seed, person in enumerate(people)]
        filling = monotonic() - began
        questions = [_questions(of_one) for of_one in names]
        _ask(stack, people, questions, seconds=2.0)
        searched = _ask(stack, people, questions, seconds=seconds)
        limit = _ask(stack, people, None, seconds=min(seconds, 5.0))
        slowest = sorted(searched)[-3:]
    times = [took for took, *_ in searched]
    return BenchmarkResult(
        name="search",
        figure=quantile(times, 0.95) * 1000,
        unit="ms",
        limit=quantile([took for took, *_ in limit], 0.95) * 1000,
        limit_description="/v1/me",
        details={
            "searches": f"{len(times)}, p50 {quantile(times, 0.5) * 1000:.1f} ms",
            "p50 and p95": "; ".join(_by_kind(searched)),
            "slowest": ", ".join(f"{q!r} {took * 1000:.0f} ms" for took, _, q in slowest),
            "filled": f"{contacts / filling:,.0f} contacts/s with their documents",
            "target": "80 ms",
        },
    )


def fill(stack: Stack, person: Person, count: int, *, seed: int) -> list[str]:
    """Give an organization contacts, with their search documents; answers the names."""
    random.seed(seed)
    names = [_name() for _ in range(count)]
    with psycopg.connect(stack.postgres.url(database="sluice"), autocommit=True) as connection:
        for first in range(0, count, _PART):
            values = {"names": names[first : first + _PART], "first": first}
            connection.execute(_FILL, {**values, "organization": person.organization_id, "owner": person.user_id})
        connection.execute("vacuum analyze contacts, contact_channels, search_documents")
    return names


def _name() -> str:
    surname = "".join(random.choices(_SYLLABLES, k=3)).capitalize()
    return f"{random.choice(_RUSSIAN)} {surname}ов" if random.random() < 0.1 else f"{random.choice(_GIVEN)} {surname}"


def _by_kind(searched: Sequence[tuple[float, str, str]]) -> Iterator[str]:
    for kind in dict.fromkeys(sorted(kind for _, kind, _ in searched)):
        times = [took * 1000 for took, of, _ in searched if of == kind]
        yield f"{kind} {quantile(times, 0.5):.0f} and {quantile(times, 0.95):.0f} ms"


def _questions(names: Sequence[str]) -> list[tuple[str, str]]:
    """Questions, each after its kind."""
    asked: list[tuple[str, str]] = []
    for place in random.sample(range(len(names)), min(len(names), 100)):
        given, surname = names[place].split(" ")
        typo = surname[:3] + surname[4:3:-1] + surname[5:]
        asked += [("name", surname), ("part of a name", surname[:4]), ("part of a name", given[:3])]
        asked += [("another order", f"{surname} {given}"), ("name and typo", f"{given} {typo}"), ("typo", typo)]
        asked += [("address", f"p{place + 1}@{surname.lower()}.example"), ("number", str(1000001 + place))]
    random.shuffle(asked)
    return asked


def _ask(
    stack: Stack, people: Sequence[Person], questions: Sequence[Sequence[tuple[str, str]]] | None, *, seconds: float
) -> list[tuple[float, str, str]]:
    """Seconds of each answer, and what of which kind was asked; without questions it is who is signed in."""

    def one(number: int) -> list[tuple[float, str, str]]:
        took: list[tuple[float, str, str]] = []
        end, turn = monotonic() + seconds, number
        with httpx.Client(base_url=stack.api_url, timeout=60) as client:
            while monotonic() < end:
                who = turn % len(people)
                kind, q = questions[who][turn // len(people) % len(questions[who])] if questions else ("", "")
                began = perf_counter()
                path, parameters = ("/v1/search", {"q": q}) if questions else ("/v1/me", {})
                client.get(path, params=parameters, headers=people[who].headers).raise_for_status()
                took.append((perf_counter() - began, kind, q))
                turn += _ASKING
        return took

    with ThreadPoolExecutor(_ASKING) as pool:
        return [answer for answers in pool.map(one, range(_ASKING)) for answer in answers]
