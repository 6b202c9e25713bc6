"""Has a draft written: reserves it, asks the model with nothing held, and keeps what came of it."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import timedelta
from secrets import token_hex
from typing import Any, Protocol
from uuid import UUID

from uuid_utils.compat import uuid7

from api.drafts import records, rules
from api.drafts.cleaning import UnusableError, clean, hosts_of, repeats, tidy
from api.drafts.model import ModelUnavailable, Written
from api.drafts.prompts import ACTIONS, PROMPTS, Asked
from api.drafts.records import Inputs
from api.drafts.redaction import Redaction
from api.drafts.rules import Draft, DraftState
from api.edge.entitlements import Limit, require_room
from api.kernel.changes import Change
from api.kernel.context import Context
from api.kernel.erasing import hold_erasures
from api.kernel.errors import Conflict, CrmError
from api.kernel.unit_of_work import UnitOfWork
from contracts.events.drafts import DraftKind
from contracts.settings import AiSettings, BillingSettings

#: A draft that is being written for longer than that was abandoned.
_ABANDONED = timedelta(minutes=5)


class BudgetSpent(CrmError):
    """The organization's budget of this month is spent."""

    status, code, title = 402, "ai_budget_spent", "The month's budget is spent"

    def __init__(self, spent: int, budget: int) -> None:
        super().__init__(
            f"Drafts of this month have cost ${spent / 1e6:.2f} of ${budget / 1e6:.2f}. The next month begins anew;"
            " administrators may raise the budget, up to the operator's SLUICE_AI_MONTHLY_BUDGET."
        )


class DraftInProgress(Conflict):
    """The same request is being worked on."""

    code = "request_in_progress"

    def __init__(self) -> None:
        super().__init__("This draft is being written.", headers={"Retry-After": "2"})


@dataclass(frozen=True)
class Wanted:
    """What is asked for, by whom. `request_key` is the same for the same request."""

    request_key: str
    kind: DraftKind
    author_id: UUID | None
    inputs: Inputs
    wish: str | None = None


class Units(Protocol):
    """Where drafts are kept: the API's database, or the worker's in the part of the API."""

    def unit(self, context: Context) -> AbstractAsyncContextManager[UnitOfWork]:
        """A unit of work in the context's organization."""


class Writer(Protocol):
    """Whatever writes: a language model, or what stands in for one."""

    def write(self, asked: Asked) -> AsyncIterator[str | Written]:
        """What is written so far, again and again, and at the end all of it."""


class Drafting:
    """One draft on its way: `begin`, then `write` unless it was there already."""

    def __init__(self, database: Units, context: Context, settings: AiSettings, billing: BillingSettings) -> None:
        self._database, self._context = database, context
        self._settings, self._billing = settings, billing

    async def begin(self, wanted: Wanted) -> Draft:
        """Reserve a draft within budget and plan; one that the same request made is answered as it is.

        Raises:
            BudgetSpent, PlanLimitReached, DraftInProgress: as they say.
        """
        async with self._database.unit(self._context) as unit:
            spent = await records.hold_budget(unit)
            known = await records.find_by_key(unit, wanted.request_key)
            if known is not None and known.state is DraftState.GENERATING and unit.now - known.updated_at < _ABANDONED:
                raise DraftInProgress
            if known is not None and known.state not in (DraftState.GENERATING, DraftState.FAILED):
                return known
            if spent >= self._settings.ai_monthly_budget:
                raise BudgetSpent(spent, self._settings.ai_monthly_budget)
            await require_room(unit, self._billing, Limit.AI_DRAFTS)
            if known is not None:
                again = replace(known, state=DraftState.GENERATING, updated_at=unit.now)
                records.write_change(unit, Change(known, again))
                return again
            draft = Draft(
                id=uuid7(),
                version=0,
                created_at=unit.now,
                updated_at=unit.now,
                request_key=wanted.request_key,
                kind=wanted.kind,
                state=DraftState.GENERATING,
                conversation_id=wanted.inputs.conversation_id,
                deal_id=wanted.inputs.deal_id,
                author_id=wanted.author_id,
                prompt=PROMPTS[wanted.kind].name,
                cited=[],
            )
            records.write_change(unit, Change(None, draft))
            return draft

    async def require_budget(self) -> None:
        """Insist on money for a draft that somebody else began.

        Raises:
            BudgetSpent: as it says.
        """
        async with self._database.unit(self._context) as unit:
            spent = await records.hold_budget(unit)
            if spent >= self._settings.ai_monthly_budget:
                raise BudgetSpent(spent, self._settings.ai_monthly_budget)

    async def write(self, model: Writer, draft: Draft, wanted: Wanted) -> AsyncIterator[str | Draft]:
        """What is written so far, again and again, and at the end the draft.

        Raises:
            ModelUnavailable: nothing usable came; the draft is kept as failed.
        """
        people = Redaction(wanted.inputs.people, wanted.inputs.regions, is_on=self._settings.ai_redacts)
        asked = Asked(PROMPTS[wanted.kind], people.hide(wanted.inputs.facts), people.hide(wanted.wish), token_hex(8))
        hosts = hosts_of(self._settings.ai_link_hosts, wanted.inputs.said)
        written = None
        try:
            async for part in model.write(asked):
                if isinstance(part, Written):
                    written = part
                    text = clean(people.show(part.answer["text"]), canary=asked.canary, hosts=hosts)
                    yield await self._keep(draft, asked, part, text, erasures=wanted.inputs.erasures)
                elif not repeats(part, asked.canary):
                    yield tidy(people.show(part), hosts=hosts)
        except UnusableError as error:
            await self.fail(draft, str(error), written)
            raise ModelUnavailable(str(error)) from error
        except BaseException as error:  # also a reader who goes away
            await self.fail(draft, str(error) or "It was broken off.", written)
            raise

    def _paid(self, written: Written) -> dict[str, Any]:
        """What an answer took, rounded up."""
        prices = self._settings.openai_input_price, self._settings.openai_output_price
        cost = written.input_tokens * prices[0] + written.output_tokens * prices[1]
        return {
            "model": written.model,
            "input_tokens": written.input_tokens,
            "output_tokens": written.output_tokens,
            "cost_micro": -(-cost // 1_000_000),
        }

    async def _keep(self, draft: Draft, asked: Asked, written: Written, text: str, *, erasures: int) -> Draft:
        cited = written.answer.get("cited")
        action = written.answer.get("action")
        async with self._database.unit(self._context) as unit:
            if await hold_erasures(unit) != erasures:
                raise UnusableError("Somebody was erased while it was written, and it may speak of them.")
            locked = await records.lock_draft(unit, draft.id, owners=None)
            change = rules.generated(
                locked,
                unit.now,
                inputs_hash=asked.hash,
                cited=sorted({one for one in cited if one in asked.facts}) if isinstance(cited, list) else [],
                action=action if action in ACTIONS else None,
                written=text,
                text=text,
                **self._paid(written),
            )
            records.write_change(unit, change)
        return change.after

    async def fail(self, draft: Draft, why: str, written: Written | None = None) -> None:
        """Keep a draft that cannot be used, with the reason and what was written for it."""
        async with self._database.unit(self._context) as unit:
            locked = await records.lock_draft(unit, draft.id, owners=None)
            if locked.state is DraftState.GENERATING:
                # what was thrown away has cost as much as what is kept
                paid = self._paid(written) if written else {}
                failed = replace(locked, state=DraftState.FAILED, failure=why[:500], updated_at=unit.now, **paid)
                records.write_change(unit, Change(locked, failed))
