"""Rules of accounts: how their states follow one another, who holds them, who works with them. No I/O.

    connecting ──▶ active ◀──▶ limited ◀──▶ flood_wait ──▶ active        any ──▶ banned, revoked; revoked ──▶ connecting

A flood wait ends at its instant and not before. A lease makes one connector at a time the account's: its number, the
epoch, grows with each new holder, and whatever carries an older one is refused.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from uuid_utils.compat import uuid7

from api.kernel.changes import Change, Versioned, revised
from api.kernel.errors import Conflict
from contracts.channels import AccountState, Channel
from contracts.events.bd_accounts import (
    BdAccountAssigned,
    BdAccountBanned,
    BdAccountConnected,
    BdAccountCreated,
    BdAccountDisconnected,
    BdAccountEvent,
    BdAccountLimited,
    BdAccountPurchased,
    BdAccountUnassigned,
    BdAccountUpdated,
)

#: How long a lease lasts that its holder does not renew.
LEASE = timedelta(seconds=30)

_NEXT = {
    AccountState.CONNECTING: {AccountState.ACTIVE, AccountState.BANNED, AccountState.REVOKED},
    AccountState.ACTIVE: {*AccountState} - {AccountState.ACTIVE},
    AccountState.LIMITED: {AccountState.ACTIVE, AccountState.FLOOD_WAIT, AccountState.BANNED, AccountState.REVOKED},
    AccountState.FLOOD_WAIT: {AccountState.ACTIVE, AccountState.LIMITED, AccountState.BANNED, AccountState.REVOKED},
    AccountState.BANNED: {AccountState.REVOKED},
    AccountState.REVOKED: {AccountState.CONNECTING},
}


class AddressTaken(Conflict):
    """The organization has this account already."""

    code, detail = "address_taken", "There is an account of this channel with this address."


class StateNotAllowed(Conflict):
    """The account cannot get there from where it stands."""

    code = "account_state_not_allowed"

    def __init__(self, before: AccountState, after: AccountState) -> None:
        super().__init__(f"An account that is {before} cannot become {after}.")


class StillWaiting(Conflict):
    """The provider said how long to wait, and it is not over."""

    code = "account_still_waiting"

    def __init__(self, until: datetime) -> None:
        self.until = until
        super().__init__(f"The provider asked to wait until {until.isoformat()}.")


class AccountHeld(Conflict):
    """Another connector holds the account."""

    code, detail = "account_held", "Another connector holds this account. Try again when its lease has ended."


class LeaseLost(Conflict):
    """The connector does not hold the account any more."""

    code, detail = "lease_lost", "You do not hold this account any more. Disconnect, then ask for a lease."


@dataclass(frozen=True, kw_only=True)
class Account(Versioned):
    """One account."""

    channel: Channel
    name: str
    address: str
    state: AccountState
    reason: str | None = None
    until: datetime | None = None
    user_id: UUID | None = None
    team_id: UUID | None = None
    daily_limit: int
    settings: dict[str, Any]
    connected_at: datetime | None = None
    epoch: int = 0
    lease_holder: str | None = None
    lease_until: datetime | None = None
    #: When its provider last said that there is something to read.
    news_at: datetime | None = None

    @property
    def is_sending(self) -> bool:
        """Whether it may send at all."""
        return self.state in (AccountState.ACTIVE, AccountState.LIMITED)

    @property
    def not_compared(self) -> Literal["bots_may_list_nothing", "linkedin_lists_nothing"] | None:
        """Why nobody can tell whether its days are complete; None where they are compared."""
        if self.channel is Channel.LINKEDIN:
            return "linkedin_lists_nothing"
        return "bots_may_list_nothing" if self.settings.get("business_bot") is True else None


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """Who worked with an account when."""

    id: UUID
    account_id: UUID
    user_id: UUID | None
    team_id: UUID | None
    started_at: datetime
    ended_at: datetime | None = None


@dataclass(frozen=True)
class Sign:
    """What the provider let an account feel, and when."""

    kind: str
    created_at: datetime


def create(now: datetime, **given: Any) -> list[Change[Account] | Change[Assignment]]:  # noqa: ANN401 # fields of a body
    """An account that is to be connected, and the first who works with it."""
    user_id, team_id = given.pop("user_id"), given.pop("team_id")
    account = Account(id=uuid7(), version=1, created_at=now, updated_at=now, state=AccountState.CONNECTING, **given)
    made: list[Change[Account] | Change[Assignment]] = [
        Change(None, account, BdAccountCreated(channel=account.channel))
    ]
    return made + assign(account, None, now, user_id=user_id, team_id=team_id)


def purchased(
    account: Account, now: datetime, *, rental_id: UUID, kind: Literal["purchase", "rent"]
) -> list[Change[Account]]:
    """It is one of the operator's that was bought or rented."""
    return [Change(account, revised(account, now), BdAccountPurchased(rental_id=rental_id, kind=kind))]


def update(account: Account, now: datetime, **given: Any) -> list[Change[Account]]:  # noqa: ANN401 # fields of a body
    """Change what people set up; nothing where nothing differs."""
    changed = {name: value for name, value in given.items() if getattr(account, name) != value}
    if not changed:
        return []
    after = revised(account, now, **changed)
    return [Change(account, after, BdAccountUpdated(changed_fields=sorted(changed)))]


def change_secret(account: Account, now: datetime) -> list[Change[Account]]:
    """Somebody gave another secret. What it was nobody is told."""
    return [Change(account, revised(account, now), BdAccountUpdated(changed_fields=["secret"]))]


def assign(
    account: Account, present: Assignment | None, now: datetime, *, user_id: UUID | None, team_id: UUID | None
) -> list[Change[Account] | Change[Assignment]]:
    """Have somebody else work with it: what was true ends at this instant, and stays known."""
    if (account.user_id, account.team_id) == (user_id, team_id):
        return []
    nobody = user_id is None and team_id is None
    event = BdAccountUnassigned() if nobody else BdAccountAssigned(user_id=user_id, team_id=team_id)
    after = revised(account, now, user_id=user_id, team_id=team_id)
    changes: list[Change[Account] | Change[Assignment]] = [Change(account, after, event)]
    if present is not None:
        changes.append(Change(present, replace(present, ended_at=now)))
    if not nobody:
        times = Assignment(id=uuid7(), account_id=account.id, user_id=user_id, team_id=team_id, started_at=now)
        changes.append(Change(None, times))
    return changes


def report(
    account: Account, state: AccountState, now: datetime, *, reason: str | None = None, until: datetime | None = None
) -> list[Change[Account]]:
    """The account is found in a state; nothing where it was known to be.

    Raises:
        StateNotAllowed, StillWaiting: as they say.
    """
    if state is account.state and (reason, until) == (account.reason, account.until):
        return []
    if state is not account.state and state not in _NEXT[account.state]:
        raise StateNotAllowed(account.state, state)
    waits = account.state is AccountState.FLOOD_WAIT and state in (AccountState.ACTIVE, AccountState.LIMITED)
    if waits and account.until is not None and now < account.until:
        raise StillWaiting(account.until)
    is_active = state is AccountState.ACTIVE
    after = revised(
        account,
        now,
        state=state,
        reason=None if is_active else reason,
        until=None if is_active else until,
        connected_at=account.connected_at or (now if is_active else None),
    )
    return [Change(account, after, _event(after))]


def _event(account: Account) -> BdAccountEvent:
    reason = account.reason or account.state.value
    match account.state:
        case AccountState.ACTIVE:
            return BdAccountConnected(channel=account.channel)
        case AccountState.BANNED:
            return BdAccountBanned(reason=reason)
        case AccountState.REVOKED:
            return BdAccountDisconnected(reason=reason)
        case AccountState.CONNECTING:
            return BdAccountUpdated(changed_fields=["state"])
        case _:
            return BdAccountLimited(reason=reason, until=account.until)


def lease(account: Account, holder: str, now: datetime) -> Account:
    """The account as held by a connector from now on; who held it goes on under the same number.

    Raises:
        AccountHeld: somebody else does.
        StateNotAllowed: nobody connects an account that is banned or revoked.
    """
    if account.state in (AccountState.BANNED, AccountState.REVOKED):
        raise StateNotAllowed(account.state, AccountState.ACTIVE)
    lives = account.lease_until is not None and account.lease_until > now
    if lives and account.lease_holder != holder:
        raise AccountHeld
    epoch = account.epoch if lives else account.epoch + 1
    return replace(account, lease_holder=holder, lease_until=now + LEASE, epoch=epoch)


def release(account: Account, now: datetime) -> Account:
    """The account as held by nobody."""
    return replace(account, lease_holder=None, lease_until=now)


def expect_holder(account: Account, epoch: int, now: datetime) -> None:
    """Refuse whoever does not hold the account.

    Raises:
        LeaseLost: another one does, or nobody.
    """
    if epoch != account.epoch or account.lease_until is None or account.lease_until <= now:
        raise LeaseLost


#: What one sign of a kind leaves of a day's budget, and for how long.
_WEIGHTS = {
    "flood_wait": (0.5, timedelta(days=1)),
    "peer_flood": (0.0, timedelta(days=2)),
    "blocked": (0.8, timedelta(days=7)),
    "bounced": (0.95, timedelta(days=1)),
}


#: Of so few people nothing can be said; fewer answers than this are a sign that nobody wants to be written to.
_FEW_PEOPLE, _LEAST_REPLY_RATE = 20, 0.05


@dataclass(frozen=True)
class Condition:
    """What shows how an account does: signs of a week, sends of a day, and who of those it wrote to has answered."""

    signs: list[Sign]
    sent_today: int
    written_to: int
    answered: int


def health(condition: Condition, now: datetime) -> float:
    """From 0, better not to send at all, to 1, as good as new: what the provider let the account feel lately.

    It is halved where hardly anybody answers.
    """
    few_answer = condition.answered < _LEAST_REPLY_RATE * condition.written_to
    rest = 0.5 if condition.written_to >= _FEW_PEOPLE and few_answer else 1.0
    for sign in condition.signs:
        weight, lasting = _WEIGHTS.get(sign.kind, (1.0, timedelta()))
        if sign.created_at > now - lasting:
            rest *= weight
    return rest


def budget(account: Account, condition: Condition, now: datetime) -> int:
    """How many more messages it should begin today."""
    allowed = int(account.daily_limit * health(condition, now)) if account.is_sending else 0
    return max(0, allowed - condition.sent_today)
