"""Features that an owner may turn off for their organization, asked for through OpenFeature.

    await require_feature(services.flags, caller, Feature.AI_DRAFTS)

The provider reads table `feature_flags`; what stands in no row is on. Another provider (LaunchDarkly, flagd) takes its
place by `openfeature.api.set_provider` with the domain of the services.
"""

from enum import StrEnum
from uuid import UUID, uuid4

from openfeature import api as openfeature
from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext
from openfeature.flag_evaluation import FlagResolutionDetails, Reason
from openfeature.provider import Metadata
from openfeature.provider.no_op_provider import NoOpProvider
from sqlalchemy import text
from uuid_utils.compat import uuid7

from api.db.statements import compiled
from api.kernel.caller import Caller
from api.kernel.context import Context
from api.kernel.database import Database
from api.kernel.errors import Forbidden
from contracts.events.envelope import ActorKind

_IS_ON = compiled(text("select is_on from feature_flags where organization_id = :organization_id and flag = :flag"))


class Feature(StrEnum):
    """What can be turned off."""

    AI_DRAFTS = "ai_drafts"
    WEBHOOKS = "webhooks"


class FeatureOff(Forbidden):
    """The organization does without this feature."""

    code, detail = "feature_off", "An owner of your organization has turned this off."


class OrganizationFlags(NoOpProvider):
    """OpenFeature's provider: the targeting key is an organization's id. Flags of other types have their defaults."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self._database = database

    def get_metadata(self) -> Metadata:
        """Its name."""
        return Metadata("sluice")

    async def resolve_boolean_details_async(
        self, flag_key: str, default_value: bool, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[bool]:
        """Whether a flag is on for an organization."""
        if evaluation_context is None or evaluation_context.targeting_key is None:
            return FlagResolutionDetails(default_value, reason=Reason.DEFAULT)
        organization_id = UUID(evaluation_context.targeting_key)
        context = Context(organization_id=organization_id, actor=ActorKind.SYSTEM, correlation_id=uuid7())
        async with self._database.reading(context) as unit:
            rows = await unit.fetch(_IS_ON, flag=flag_key)
        if not rows:
            return FlagResolutionDetails(default_value, reason=Reason.DEFAULT)
        return FlagResolutionDetails(rows[0].is_on, reason=Reason.TARGETING_MATCH)


def flags_client(database: Database) -> OpenFeatureClient:
    """A client of OpenFeature's for one application."""
    domain = f"sluice-{uuid4()}"
    openfeature.set_provider(OrganizationFlags(database), domain)
    return openfeature.get_client(domain)


async def is_on(flags: OpenFeatureClient, organization_id: UUID, feature: Feature) -> bool:
    """Whether a feature is on for an organization."""
    context = EvaluationContext(targeting_key=str(organization_id))
    return await flags.get_boolean_value_async(feature, True, context)


async def require_feature(flags: OpenFeatureClient, caller: Caller, feature: Feature) -> None:
    """Insist that a feature is on for the caller's organization.

    Raises:
        FeatureOff: as it says.
    """
    if not await is_on(flags, caller.organization_id, feature):
        raise FeatureOff
