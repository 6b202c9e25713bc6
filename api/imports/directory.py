"""Who and what an organization knows by name: users, pipelines with their stages, picklist values.

Loaded anew in every transaction of an import; small, because these are things that people set up by hand.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from api.imports.deal_shapes import StageRef
from api.models.picklist_value import PicklistValue
from api.models.pipeline import Pipeline
from api.models.stage import Stage
from api.models.user import User


class UnknownNameError(LookupError):
    """A row names something that the organization lacks, or that is not clear."""

    def __init__(self, problem: str, *, fix: str) -> None:
        super().__init__(problem)
        self.problem, self.fix = problem, fix


@dataclass
class KnownPipeline:
    """A pipeline and its active stages by lower-case name, in order of position."""

    id: UUID
    name: str
    stages: dict[str, Stage] = field(default_factory=dict)
    _refs: dict[str, StageRef] = field(default_factory=dict)

    def stage(self, name: str) -> StageRef:
        """A stage by its name.

        Raises:
            UnknownNameError: it has none of this name.
        """
        ref = self._refs.get(name)
        if ref is not None:
            return ref
        stage = self.stages.get(name.lower())
        if stage is None:
            raise UnknownNameError(
                f"The pipeline {self.name!r} has no stage of this name.",
                fix=f"Use one of {', '.join(s.name for s in self.stages.values())}; or let the import create stages.",
            )
        ref = self._refs[name] = as_ref(stage)
        return ref

    @property
    def first_open(self) -> StageRef | None:
        """The first open stage; None where all are won or lost ones."""
        return next((as_ref(stage) for stage in self.stages.values() if stage.kind == "open"), None)


@dataclass
class Directory:
    """Lookups by name."""

    users_by_email: dict[str, User]
    users_by_name: dict[str, list[User]]
    pipelines: dict[str, KnownPipeline]
    default_pipeline: KnownPipeline | None
    stages: dict[UUID, StageRef]
    picklists: dict[tuple[str, str], UUID]

    def find_user(self, reference: str) -> User | None:
        """A user by e-mail address, or by name where there is no @.

        Raises:
            UnknownNameError: several users have the name.
        """
        if "@" in reference:
            return self.users_by_email.get(reference.lower())
        named = self.users_by_name.get(reference.lower(), [])
        if len(named) > 1:
            raise UnknownNameError("Several users have this name.", fix="Give the e-mail address instead.")
        return named[0] if named else None

    def user_id(self, reference: str | None) -> UUID | None:
        """A user's id; None for no reference.

        Raises:
            UnknownNameError: no user, or several, answer to it.
        """
        if reference is None:
            return None
        user = self.find_user(reference)
        if user is None:
            raise UnknownNameError(
                "There is no such user.", fix="Add the user first, or let the import create missing users."
            )
        return user.id

    def pipeline(self, name: str | None) -> KnownPipeline:
        """A pipeline by name; for None the default one.

        Raises:
            UnknownNameError: there is none.
        """
        found = self.pipelines.get(name.lower()) if name is not None else self.default_pipeline
        if found is None:
            raise UnknownNameError(
                "There is no such pipeline.", fix="Create it first, or let the import create missing pipelines."
            )
        return found

    def value_id(self, picklist: str, label: str | None) -> UUID | None:
        """Id of a picklist's value; None for no label.

        Raises:
            UnknownNameError: the picklist lacks it.
        """
        if label is None:
            return None
        found = self.picklists.get((picklist, label.lower()))
        if found is None:
            raise UnknownNameError(
                f"The list of {picklist} values lacks it.",
                fix="Add the value first, or let the import create missing picklist values.",
            )
        return found


def as_ref(stage: Stage) -> StageRef:
    """A stage as far as paths care."""
    return StageRef(id=stage.id, pipeline_id=stage.pipeline_id, kind=stage.stage_kind)


async def load_directory(session: AsyncSession, organization_id: UUID, *, default_pipeline: str | None) -> Directory:
    """Read all names of an organization. `default_pipeline` is a pipeline's name; else the oldest active one."""
    users = (await session.scalars(select(User).where(User.organization_id == organization_id))).all()
    by_name: dict[str, list[User]] = {}
    for user in users:
        by_name.setdefault(user.name.lower(), []).append(user)
    pipelines, stages = await _load_pipelines(session, organization_id)
    values = await session.scalars(select(PicklistValue).where(PicklistValue.organization_id == organization_id))
    asked = pipelines.get(default_pipeline.lower()) if default_pipeline is not None else None
    return Directory(
        users_by_email={user.email.lower(): user for user in users},
        users_by_name=by_name,
        pipelines=pipelines,
        default_pipeline=asked if default_pipeline is not None else next(iter(pipelines.values()), None),
        stages={stage.id: as_ref(stage) for stage in stages},
        picklists={(value.picklist, value.label.lower()): value.id for value in values},
    )


async def _load_pipelines(
    session: AsyncSession, organization_id: UUID
) -> tuple[dict[str, KnownPipeline], Iterable[Stage]]:
    """Active pipelines by lower-case name, oldest first; and all stages, retired ones too."""
    rows = await session.scalars(
        select(Pipeline)
        .where(Pipeline.organization_id == organization_id, Pipeline.is_active)
        .order_by(Pipeline.created_at, Pipeline.id)
    )
    known = {row.name.lower(): KnownPipeline(row.id, row.name) for row in rows}
    by_id = {pipeline.id: pipeline for pipeline in known.values()}
    stages = (
        await session.scalars(
            select(Stage).where(Stage.organization_id == organization_id).order_by(Stage.position, Stage.id)
        )
    ).all()
    for stage in stages:
        if stage.pipeline_id in by_id and not stage.is_retired:
            by_id[stage.pipeline_id].stages[stage.name.lower()] = stage
    return known, stages
