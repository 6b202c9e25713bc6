"""Who and what an organization knows by name: users, pipelines with their stages, picklist values.

Loaded anew in every transaction of an import; small, because these are things that people set up by hand.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from api.deals.state import StageRef
from api.identity.records import ALL_USERS
from api.identity.rules import User
from api.kernel.states import as_state
from api.kernel.unit_of_work import UnitOfWork
from api.picklists.records import ALL_VALUES
from api.picklists.rules import Key, key_of
from api.pipelines.records import ALL_ACTIVE_PIPELINES, ALL_NAMES_EVER, ALL_STAGES
from api.pipelines.rules import Stage
from contracts.stages import StageKind

_CLOSED = re.compile(
    r"closed|(?:^|\W|_)(?:won|lost|win|loss|churned|cancell?ed|abandoned|disqualified|rejected)(?:$|\W|_)"
    r"|gewonnen|verloren|(?:ab)?geschlossen|abgelehnt|gesloten|gagn[ée]|perdue?s?\b|ganad[ao]|perdid[ao]|cerrad[ao]|fechad[ao]|chius[ao]"
    r"|выигран|проигран|закрыт|успешно|реализован|отказ",
    re.IGNORECASE,
)
_SEVERAL = re.compile(r"[,;]")


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
    #: Stages by names that none of the active ones has now: retired ones, and earlier names.
    former: dict[str, list[Stage]] = field(default_factory=dict)

    def known(self, name: str) -> Stage | None:
        """A stage by its name, or by one that it had.

        Raises:
            UnknownNameError: several had it.
        """
        found = self.stages.get(name.lower())
        former = self.former.get(name.lower(), []) if found is None else []
        if len(former) > 1:
            raise UnknownNameError(
                "Several stages of the pipeline had this name.", fix="Give the name that the stage has now."
            )
        return found or next(iter(former), None)

    def stage(self, name: str) -> StageRef:
        """A stage by its name, or by one that it had.

        Raises:
            UnknownNameError: it has none of this name, or several had it.
        """
        stage = self.known(name)
        if stage is not None:
            return as_ref(stage)
        if sounds_closed(name):
            kinds = f'{{"{name}": "won"}}'
            raise UnknownNameError(
                "It is not clear whether this stage is open, won or lost.",
                fix=f"Say its kind with the option stage_kinds, for example {kinds}, or create the stage first.",
            )
        raise UnknownNameError(
            f"The pipeline {self.name!r} has no stage of this name.",
            fix=f"Use one of {', '.join(s.name for s in self.stages.values())}; or let the import create"
            " stages, with stage_kinds where one is won or lost.",
        )

    def rank(self, stage: StageRef) -> tuple[bool, int]:
        """Where a stage stands in the pipeline's order; closed ones come after open ones."""
        positions = {one.id: one.position for one in (*self.stages.values(), *_all(self.former))}
        return stage.kind is not StageKind.OPEN, positions.get(stage.id, 0)

    def first_of(self, kind: StageKind) -> StageRef | None:
        """The first stage of a kind."""
        return next((as_ref(stage) for stage in self.stages.values() if stage.kind is kind), None)

    @property
    def first_open(self) -> StageRef | None:
        """The first open stage; None where all are won or lost ones."""
        return self.first_of(StageKind.OPEN)

    def take(self, stages: Iterable[Stage]) -> None:
        """Know these active stages as they stand, instead of or beside those that are known."""
        by_id = {stage.id: stage for stage in (*self.stages.values(), *stages)}
        ordered = sorted(by_id.values(), key=lambda stage: stage.position)
        self.stages = {stage.name.lower(): stage for stage in ordered}

    def remember(self, stages: Iterable[Stage], names: Mapping[UUID, Collection[str]]) -> None:
        """Know all stages by all names they ever had."""
        for stage in stages:
            if stage.pipeline_id == self.id:
                for name in {*names.get(stage.id, ()), stage.name.lower()} - self.stages.keys():
                    self.former.setdefault(name, []).append(stage)


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

        `Lovelace, Ada` is Ada Lovelace where there is one. Nobody is made of what has a comma or a semicolon: it may
        be a name turned round, or several people.

        Raises:
            UnknownNameError: several users have the name, or it may be several.
        """
        named = [self.users_by_email[key]] if (key := reference.lower()) in self.users_by_email else []
        if "@" not in reference:
            named = self.users_by_name.get(key, []) or self.users_by_name.get(_turned(key), [])
        if len(named) > 1:
            raise UnknownNameError("Several users have this name.", fix="Give the e-mail address instead.")
        if not named and _SEVERAL.search(reference):
            fix = "Give the e-mail address of one person, or write the name as Ada Lovelace."
            raise UnknownNameError("This may be a name turned round, or several people.", fix=fix)
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


def sounds_closed(name: str) -> bool:
    """Whether a stage's name speaks of deals that are closed."""
    return _CLOSED.search(name) is not None


def as_ref(stage: Stage) -> StageRef:
    """A stage as far as paths care."""
    return StageRef(
        id=stage.id,
        pipeline_id=stage.pipeline_id,
        kind=stage.kind,
        is_retired=stage.is_retired,
        entry_fields=tuple(stage.entry_fields),
    )


def _all(stages: Mapping[str, Sequence[Stage]]) -> Iterator[Stage]:
    return (stage for several in stages.values() for stage in several)


def _know_by_former_names(known: dict[str, KnownPipeline], names: Mapping[UUID, Collection[str]]) -> None:
    """Pipelines by names that they alone had and none has now."""
    former: dict[str, list[KnownPipeline]] = {}
    for pipeline in known.values():
        for name in set(names.get(pipeline.id, ())) - known.keys():
            former.setdefault(name, []).append(pipeline)
    known |= {name: several[0] for name, several in former.items() if len(several) == 1}


async def load_directory(unit: UnitOfWork, *, default_pipeline: str | None) -> Directory:
    """Read all names of an organization. `default_pipeline` is a pipeline's name; else the oldest active one."""
    users, pipelines, stage_rows, values, named = await unit.fetch_all(
        ALL_USERS.bind(), ALL_ACTIVE_PIPELINES.bind(), ALL_STAGES.bind(), ALL_VALUES.bind(), ALL_NAMES_EVER.bind()
    )
    names: dict[UUID, set[str]] = {}
    for row in named:
        names.setdefault(row.aggregate_id, set()).add(row.name.lower())
    stages = [as_state(Stage, row) for row in stage_rows]
    known = {row.name.lower(): KnownPipeline(row.id, row.name) for row in pipelines}
    for pipeline in known.values():
        pipeline.take(stage for stage in stages if stage.pipeline_id == pipeline.id and not stage.is_retired)
        pipeline.remember(stages, names)
    first = next(iter(known.values()), None)
    _know_by_former_names(known, names)
    asked = known.get(default_pipeline.lower()) if default_pipeline is not None else first
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


def _turned(name: str) -> str:
    """`ada lovelace` of `lovelace, ada`."""
    last, _, first = name.partition(",")
    return f"{first.strip()} {last.strip()}" if first.strip() else name
