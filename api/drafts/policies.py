"""What an organization wants of its drafts, on top of what its operator allows.

A budget of its own never exceeds the operator's. Whether the model sees people is the organization's to say: theirs are
the data. Hosts that links may lead to are those of both.
"""

from dataclasses import dataclass

from sqlalchemy import text

from api.db.statements import compiled
from api.kernel.auditing import note
from api.kernel.unit_of_work import UnitOfWork
from contracts.settings import AiSettings

_READ = compiled(
    text("""
select monthly_budget, hides_people, link_hosts from drafting_policies where organization_id = :organization_id
""")
)
_WRITE = compiled(
    text("""
insert into drafting_policies (organization_id, id, monthly_budget, hides_people, link_hosts)
values (:organization_id, uuidv7(), :monthly_budget, :hides_people, :link_hosts)
on conflict (organization_id) do update set monthly_budget = excluded.monthly_budget,
    hides_people = excluded.hides_people, link_hosts = excluded.link_hosts
""")
)


@dataclass(frozen=True)
class Policy:
    """What an organization chose; None: as the operator has it."""

    monthly_budget: int | None = None
    hides_people: bool | None = None
    link_hosts: tuple[str, ...] = ()


async def read_policy(unit: UnitOfWork) -> Policy:
    """The organization's choices."""
    rows = await unit.fetch(_READ)
    return Policy(rows[0].monthly_budget, rows[0].hides_people, tuple(rows[0].link_hosts)) if rows else Policy()


def write_policy(unit: UnitOfWork, policy: Policy) -> None:
    """Queue another choice."""
    values = {**vars(policy), "link_hosts": list(policy.link_hosts)}
    unit.execute(_WRITE, **values)
    note(unit, "drafting_policy.set", resource="drafting_policy", after=values)


def settled(settings: AiSettings, policy: Policy) -> AiSettings:
    """The operator's settings as they hold for an organization."""
    budget = settings.ai_monthly_budget
    return settings.model_copy(
        update={
            "ai_monthly_budget": budget if policy.monthly_budget is None else min(budget, policy.monthly_budget),
            "ai_redacts": settings.ai_redacts if policy.hides_people is None else policy.hides_people,
            "ai_link_hosts": ",".join(one for one in (settings.ai_link_hosts, *policy.link_hosts) if one),
        }
    )
