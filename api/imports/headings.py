"""Which heading of a file means which column."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from api.imports.custom_columns import PREFIX, CustomColumn
from api.imports.presets import GENERIC, INSTEAD, Column, Entity
from api.imports.problems import FileProblem, shown
from api.imports.source import OWN_HEADING_PREFIX
from api.imports.vendors import column_of

_PLACE = re.compile(r"^(?P<heading>.*)#(?P<place>[1-9][0-9]{0,3})$", re.DOTALL)
_DATE_ENTERED = re.compile(r"^date[ _]entered[ _:\-]*[\"'“”«»]?(?P<stage>.+?)[\"'“”«»]?$", re.IGNORECASE)
_MOST_TOLD = 40
_NO_STAGES = {"current stage", "currentstage", "stage"}


@dataclass(frozen=True)
class Matched:
    """Position of each column in the file, headings that are not imported, and columns that tell of one stage each."""

    positions: Mapping[str, int]
    ignored: Sequence[str] = ()
    #: Stage -> position of the column that says when it was entered.
    stages_entered: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Meaning:
    """What the headings of an entity's files mean, by preset and map."""

    entity: Entity
    preset: str = "generic"
    mapping: Mapping[str, str] = field(default_factory=dict)
    custom: Sequence[CustomColumn] = ()

    @cached_property
    def columns(self) -> Mapping[str, Column]:
        """The columns that there are."""
        return {**GENERIC[self.entity], **{one.name: one.column for one in self.custom}}

    def column(self, heading: str) -> str:
        """The column that a heading stands for by its own name; empty for none."""
        plain = normal(heading)
        found = column_of(self.preset, self.entity, plain)
        if found is not None:
            return found
        return next((name for name in (plain, f"{PREFIX}{plain}") if name in self.columns), "")

    def recognise(self, row: Sequence[str]) -> int:
        """How many columns a row would name as headings."""
        mapped = {normal(asked) for asked, column in self.mapping.items() if column}
        return len(
            {self.column(cell) or normal(cell) for cell in row if self.column(cell) or normal(cell) in mapped} - {""}
        )


def match_headings(name: str, headings: Sequence[str], meaning: Meaning) -> Matched:
    """What each heading of a file stands for.

    Raises:
        FileProblem: a mapped heading or column does not exist, two headings mean one column, or a required column is
            missing.
    """
    wanted = _wanted(name, headings, meaning)
    positions: dict[str, int] = {}
    ignored: list[str] = []
    entered: dict[str, int] = {}
    for position, heading in enumerate(headings):
        column = wanted.get(position, meaning.column(heading))
        stage = _stage_entered(heading) if meaning.entity is Entity.DEALS and position not in wanted else None
        if stage is not None and column not in meaning.columns:
            entered.setdefault(stage, position)
        elif column not in meaning.columns:
            ignored += [heading] if heading and not heading.startswith(OWN_HEADING_PREFIX) else []
        elif column in positions:
            raise FileProblem(name, *_conflict(headings, column, positions[column], position))
        else:
            positions[column] = position
    missing = [
        column.name
        for column in meaning.columns.values()
        if column.is_required and not {column.name, *INSTEAD.get((meaning.entity, column.name), ())} & positions.keys()
    ]
    if meaning.entity is Entity.USERS and not {"email", "name"} & positions.keys():
        missing = ["email or name"]
    if missing:
        raise FileProblem(
            name,
            f"There is no column for {', '.join(missing)} of {meaning.entity.value};"
            f" the headings are {_listed(headings)}.",
            "Rename a heading, or map one to it.",
        )
    return Matched(positions, ignored, entered)


def _listed(headings: Sequence[str]) -> str:
    """Headings as far as a message has room for them."""
    told = ", ".join(shown(heading) for heading in headings[:_MOST_TOLD])
    more = len(headings) - _MOST_TOLD
    return f"{told} and {more:,} more" if more > 0 else told


def places(headings: Sequence[str]) -> dict[int, int]:
    """Position of each heading of the file's own by its number among them, from 1."""
    own = [place for place, heading in enumerate(headings) if not heading.startswith(OWN_HEADING_PREFIX)]
    return dict(enumerate(own, start=1))


def stands_in(asked: str, headings: Sequence[str]) -> bool:
    """Whether a heading of a map, perhaps said by its place, is one of these."""
    try:
        return bool(_positions("", headings, asked))
    except FileProblem:
        return False


def means(headings: Sequence[str], mapping: Mapping[str, str]) -> dict[str, str]:
    """What a map says of headings that stand once in a file, in plain form."""
    told: dict[str, str] = {}
    for asked, column in mapping.items():
        try:
            [place, *others], _ = _positions("", headings, asked)
        except FileProblem:
            continue
        heading = normal(headings[place])
        if not others and [normal(one) for one in headings].count(heading) == 1:
            told[heading] = column
    return told


def normal(heading: str) -> str:
    """A heading in plain form."""
    return "_".join(heading.strip().lower().replace("-", " ").replace("_", " ").split())


def _wanted(name: str, headings: Sequence[str], meaning: Meaning) -> dict[int, str]:
    """Columns by position, as the map says."""
    wanted: dict[int, str] = {}
    placed: dict[str, int] = {}
    for asked, named in meaning.mapping.items():
        column = normal(named) if named.startswith(PREFIX) else named
        if column and column not in meaning.columns:
            raise FileProblem(name, f"There is no column {column!r}.", f"The columns are {', '.join(meaning.columns)}.")
        found, is_placed = _positions(name, headings, asked)
        for position in found:
            wanted[position] = column
        if is_placed and column:
            placed[column] = found[0]
    # a place says more than a text that stands in several
    wanted = {place: "" if placed.get(column, place) != place else column for place, column in wanted.items()}
    # a heading that is mapped elsewhere no longer stands for the column of its own name
    taken = set(wanted.values()) - {""}
    for position, heading in enumerate(headings):
        if position not in wanted and meaning.column(heading) in taken:
            wanted[position] = ""
    return wanted


def _positions(name: str, headings: Sequence[str], asked: str) -> tuple[list[int], bool]:
    """Where a heading of the map stands, and whether by its place: `text#2`, the second of that text, or `#7`."""
    exact = [place for place, heading in enumerate(headings) if heading == asked.strip()]
    alike = exact or [place for place, heading in enumerate(headings) if normal(heading) == normal(asked)]
    if alike:
        return alike, False
    placed = _PLACE.match(asked)
    if placed is not None:
        number = int(placed["place"])
        if not placed["heading"].strip():
            found = places(headings).get(number)
            if found is not None:
                return [found], True
        else:
            same = [n for n, heading in enumerate(headings) if normal(heading) == normal(placed["heading"])]
            if number <= len(same):
                return [same[number - 1]], True
    raise FileProblem(name, f"There is no heading {asked!r}.", f"The headings are {', '.join(headings)}.")


def _conflict(headings: Sequence[str], column: str, first: int, second: int) -> tuple[str, str]:
    numbers = {place: number for number, place in places(headings).items()}
    one, other = numbers.get(first, first + 1), numbers.get(second, second + 1)
    return (
        f"Two headings mean {column}: {headings[first]!r} (column {one}) and {headings[second]!r} (column {other}).",
        f'Say which one counts by its place, for example with the map {{"#{numbers.get(first, 1)}": "{column}"}}.',
    )


def _stage_entered(heading: str) -> str | None:
    """The stage of a heading such as "Date entered Proposal (Sales Pipeline)"."""
    found = _DATE_ENTERED.match(heading.strip())
    stage = found["stage"].strip() if found else ""
    return stage if stage and stage.lower() not in _NO_STAGES else None


def repeated(headings: Sequence[str]) -> list[tuple[str, int]]:
    """Headings, each with how many of its text stand before it: what tells columns of one heading apart."""
    seen: Counter[str] = Counter()
    named = []
    for heading in headings:
        named.append((heading, seen[heading]))
        seen[heading] += 1
    return named
