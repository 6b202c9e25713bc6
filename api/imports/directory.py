"""Who and what an organization knows by name: users, pipelines with their stages, picklist values.

Loaded anew in every transaction of an import; small, because these are things that people set up by hand.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

from api.deals.state import StageRef
from api.identity.records import ALL_USERS
from api.identity.rules import User
from api.kernel.states import as_state
from api.kernel.unit_of_work import UnitOfWork
from api.picklists.records import ALL_VALUES
from api.picklists.rules import Key, key_of
from api.pipelines.records import ALL_ACTIVE_PIPELINES, ALL_STAGES
from api.pipelines.rules import Stage


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

    def stage(self, name: str) -> StageRef:
        """A stage by its name.

        Raises:
            UnknownNameError: it has none of this name.
        """
        stage = self.stages.get(name.lower())
        if stage is None:
            raise UnknownNameError(
                f"The pipeline {self.name!r} has no stage of this name.",
                fix=f"Use one of {', '.join(s.name for s in self.stages.values())}; or let the import create stages.",
            )
        return as_ref(stage)

    @property
    def first_open(self) -> StageRef | None:
        """The first open stage; None where all are won or lost ones."""
        return next((as_ref(stage) for stage in self.stages.values() if stage.kind == "open"), None)

    def take(self, stages: Iterable[Stage]) -> None:
        """Know these active stages as they stand, instead of or beside those that are known."""
        by_id = {stage.id: stage for stage in (*self.stages.values(), *stages)}
        ordered = sorted(by_id.values(), key=lambda stage: stage.position)
        self.stages = {stage.name.lower(): stage for stage in ordered}


@dataclass
class Directory:
    """Lookups by name."""

    users_by_email: dict[str, User]
    users_by_name: dict[str, list[User]]
    pipelines: dict[str, KnownPipeline]
    default_pipeline: KnownPipeline | None
    stages: dict[UUID, StageRef]
    picklists: dict[Key, UUID]

    def enter(self, *users: User) -> None:
        """Know these users too."""
        for user in users:
            self.users_by_email[user.email.lower()] = user
            self.users_by_name.setdefault(user.name.lower(), []).append(user)

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

    def is_unknown(self, reference: str) -> bool:
        """Whether no user answers to a reference; where several do, one is known."""
        try:
            return self.find_user(reference) is None
        except UnknownNameError:
            return False

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
        found = self.picklists.get(key_of(picklist, label))
        if found is None:
            raise UnknownNameError(
                f"The list of {picklist} values lacks it.",
                fix="Add the value first, or let the import create missing picklist values.",
            )
        return found


def as_ref(stage: Stage) -> StageRef:
    """A stage as far as paths care."""
    return StageRef(id=stage.id, pipeline_id=stage.pipeline_id, kind=stage.kind)


async def load_directory(unit: UnitOfWork, *, default_pipeline: str | None) -> Directory:
    """Read all names of an organization. `default_pipeline` is a pipeline's name; else the oldest active one."""
    users, pipelines, stage_rows, values = await unit.fetch_all(
        ALL_USERS.bind(), ALL_ACTIVE_PIPELINES.bind(), ALL_STAGES.bind(), ALL_VALUES.bind()
    )
    stages = [as_state(Stage, row) for row in stage_rows]
    known = {row.name.lower(): KnownPipeline(row.id, row.name) for row in pipelines}
    for pipeline in known.values():
        pipeline.take(stage for stage in stages if stage.pipeline_id == pipeline.id and not stage.is_retired)
    asked = known.get(default_pipeline.lower()) if default_pipeline is not None else next(iter(known.values()), None)
    directory = Directory(
        users_by_email={},
        users_by_name={},
        pipelines=known,
        default_pipeline=asked,
        stages={stage.id: as_ref(stage) for stage in stages},
        picklists={key_of(row.picklist, row.label): row.id for row in values},
    )
    directory.enter(*(as_state(User, row) for row in users))
    return directory
