"""The demo organization: signed up, staffed and filled over HTTP, as a customer would do it. Safe to run again."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import httpx

from contracts.calls import deals, imports, pipelines, sign_in, users
from contracts.calls.call import Answer, Call
from contracts.calls.schemas import ImportRead, PipelineRead, SignUp, UserCreate
from runtime import demo_campaigns, demo_conversations, demo_drafts, demo_money, demo_records, demo_rules, demo_sales
from runtime.demo_data import ANALYST, MANAGER, REP, generate
from runtime.demo_story import NEW_BUSINESS
from runtime.import_client import ImportClient, ImportFile, ImportRefusedError

DEMO_PASSWORD = "sluice-demo"  # noqa: S105  # printed for everybody, of an organization of invented data
OWNER, ADMIN = "owner@example.com", "admin@example.com"
#: Who can sign in, the most telling one first.
DEMO_USERS = (MANAGER, OWNER, ADMIN, REP, ANALYST)

_SEED = 20_260_501
_ORGANIZATION: SignUp = {
    "email": OWNER,
    "password": DEMO_PASSWORD,
    "name": "Olga Ownermann",
    "organization_name": "Sluice Demo",
    "time_zone": "Europe/Berlin",
    "currency": "EUR",
}
_STAFF: tuple[UserCreate, ...] = (
    {"email": ADMIN, "name": "Adam Stellwerk", "role": "admin"},
    {"email": MANAGER, "name": "Mara Weidenholt", "role": "manager"},
    {"email": REP, "name": "Kim Dahlsen", "role": "rep"},
    {"email": ANALYST, "name": "Anton Zahlmann", "role": "analyst"},
)
#: A stage that gets a better name once the history is in: reports of earlier days keep the old one.
_RENAMED = ("Demo held", "Solution demo")
_BACKDATED_MOVES = 12


class DemoError(RuntimeError):
    """The demo cannot be filled: says why."""


def fill(
    api_url: str,
    *,
    say: Callable[[str], object] = print,
    seed: int = _SEED,
    until: date | None = None,
    database_url: str | None = None,
) -> None:
    """Fill the demo organization up to `until` (today); `say` is told of each step.

    Drafts, which the API has a language model write, are written where `database_url` says, without one.

    Safe to run again: what is there already stays as it is.

    Raises:
        DemoError: the API refuses or does not answer.
    """
    try:
        with httpx.Client(base_url=api_url, timeout=60) as http:
            owner = _Caller(http, _sign_in(http) or _sign_up(http, say))
            day = until or datetime.now(UTC).date()
            _fill(owner, api_url, say=say, seed=seed, until=day, database_url=database_url)
    except (httpx.TransportError, ImportRefusedError) as error:
        raise DemoError(f"The demo cannot be filled: {error}") from error


class _Caller:
    """A person's calls; each must succeed."""

    def __init__(self, http: httpx.Client, token: str) -> None:
        self._http, self.token = http, token

    def ask(self, call: Call[Answer], **form: Any) -> Answer:  # noqa: ANN401 # httpx's own
        """The answer's body. A `form` is for what takes files."""
        headers = {"Authorization": f"Bearer {self.token}", **call.headers}
        request = form or {"json": call.body}
        answer = self._http.request(call.method, call.path, params=call.pairs, headers=headers, **request)
        return cast("Answer", _checked(answer).json())


def _sign_in(http: httpx.Client) -> str | None:
    call = sign_in.log_in({"email": OWNER, "password": DEMO_PASSWORD})
    answer = http.request(call.method, call.path, json=call.body)
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        return None
    return str(_checked(answer).json()["access_token"])


def _sign_up(http: httpx.Client, say: Callable[[str], object]) -> str:
    say("making the demo organization")
    call = sign_in.sign_up(_ORGANIZATION)
    return str(_checked(http.request(call.method, call.path, json=call.body)).json()["access_token"])


def _fill(
    owner: _Caller, api_url: str, *, say: Callable[[str], object], seed: int, until: date, database_url: str | None
) -> None:
    there = owner.ask(pipelines.list_pipelines())["items"]
    if any(stage["name"] == _RENAMED[1] for one in there for stage in one["stages"]):
        say("the demo organization is there")
        return
    _hire(owner)
    if all(one["name"] != NEW_BUSINESS for one in there):
        owner.ask(pipelines.update_pipeline(there[0]["id"], {"name": NEW_BUSINESS}, version=there[0]["version"]))
    if all(job["state"] != "completed" for job in owner.ask(imports.list_imports())["items"]):
        _import(owner, api_url, say=say, files=generate(seed=seed, until=until))
    pipeline = next(one for one in owner.ask(pipelines.list_pipelines())["items"] if one["name"] == NEW_BUSINESS)
    _move_backdated(owner, pipeline)
    demo_records.add(owner, pipeline["id"])
    demo_campaigns.add(owner)
    demo_conversations.add(owner)
    demo_money.add(owner, pipeline["id"])
    demo_rules.add(owner)  # before the deals that one of them acts on
    demo_sales.add(owner, pipeline["id"])
    if database_url is not None:
        demo_drafts.add(owner, pipeline["id"], database_url)
    # the last step, so that a fill that was broken off is told from one that is complete
    stage = next(one for one in pipeline["stages"] if one["name"] == _RENAMED[0])
    owner.ask(pipelines.update_stage(pipeline["id"], stage["id"], {"name": _RENAMED[1]}, version=stage["version"]))
    say("the demo organization is filled")


def _hire(owner: _Caller) -> None:
    known = {user["email"] for user in owner.ask(users.list_users(limit=100))["items"]}
    for person in _STAFF:
        if person["email"] not in known:
            owner.ask(users.create_user({**person, "password": DEMO_PASSWORD}))


def _import(owner: _Caller, api_url: str, *, say: Callable[[str], object], files: dict[str, bytes]) -> None:
    with TemporaryDirectory(prefix="sluice-demo-") as folder, ImportClient(api_url, token=owner.token) as client:
        chosen = []
        for entity, content in files.items():
            path = Path(folder) / f"{entity}.csv"
            path.write_bytes(content)
            chosen.append(ImportFile(path, entity))
        queued = client.start(chosen, {"create_missing": True})
        done = client.follow(queued["id"], watch=_Tenths(say).watch)
    if done["state"] != "completed" or done["counts"]["failed"]:
        raise DemoError(f"The demo's import did not work: {done['error'] or done['progress']}")


class _Tenths:
    """Says how far an import is, a tenth at a time."""

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say, self._said = say, -1

    def watch(self, job: ImportRead) -> None:
        """Look at an import."""
        done, total = job["counts"]["done"], job["counts"]["total"]
        tenth = 10 * done // total if total else 0
        if total and tenth > self._said:
            self._said = tenth
            self._say(f"importing eighteen months of history: {done:,} of {total:,} rows")


def _move_backdated(owner: _Caller, pipeline: PipelineRead) -> None:
    """Some reps write things down days later."""
    ways = [stage for stage in pipeline["stages"] if stage["kind"] == "open"]
    onward = {here["id"]: there["id"] for here, there in pairwise(ways)}
    moved_at = datetime.now(UTC) - timedelta(days=2)
    late = [
        deal
        for deal in owner.ask(deals.list_deals(pipeline_id=pipeline["id"], status="open", limit=200))["items"]
        if deal["stage_id"] in onward and datetime.fromisoformat(deal["stage_entered_at"]) < moved_at
    ]
    for number, deal in enumerate(late[:_BACKDATED_MOVES]):
        at = (moved_at + timedelta(hours=number)).isoformat()
        owner.ask(deals.move_deal(deal["id"], {"stage_id": onward[deal["stage_id"]], "occurred_at": at}))


def _checked(answer: httpx.Response) -> httpx.Response:
    if answer.is_error:
        raise DemoError(f"{answer.request.method} {answer.request.url.path} answered {answer.text}")
    return answer
