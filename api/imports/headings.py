"""Which heading of a file means which column."""

from collections.abc import Mapping, Sequence

from api.imports.presets import GENERIC, Column, Entity
from api.imports.problems import FileProblem
from api.imports.source import OWN_HEADING_PREFIX


def match_headings(
    name: str, headings: Sequence[str], *, entity: Entity, mapping: Mapping[str, str]
) -> tuple[dict[str, int], list[str]]:
    """Position of each column in the file, and the headings that are not imported.

    Raises:
        FileProblem: a mapped heading or column does not exist, two headings mean one column, or a required column is
            missing.
    """
    columns = GENERIC[entity]
    wanted = _wanted(name, headings, columns=columns, mapping=mapping)
    positions: dict[str, int] = {}
    ignored: list[str] = []
    for position, heading in enumerate(headings):
        column = wanted.get(heading, _normal(heading))
        if column not in columns:
            ignored += [heading] if heading and not heading.startswith(OWN_HEADING_PREFIX) else []
        elif column in positions:
            raise FileProblem(
                name,
                f"Two headings mean {column}: {headings[positions[column]]!r} and {heading!r}.",
                'Map one of them to nothing, for example {"' + heading + '": ""}.',
            )
        else:
            positions[column] = position
    missing = [column.name for column in columns.values() if column.is_required and column.name not in positions]
    if missing:
        raise FileProblem(
            name,
            f"There is no column for {', '.join(missing)} of {entity.value}; the headings are {', '.join(headings)}.",
            "Rename a heading, or map one to it.",
        )
    return positions, ignored


def _wanted(
    name: str, headings: Sequence[str], *, columns: Mapping[str, Column], mapping: Mapping[str, str]
) -> dict[str, str]:
    by_normal = {_normal(heading): heading for heading in reversed(headings)}
    wanted: dict[str, str] = {}
    for asked, column in mapping.items():
        heading = asked if asked in headings else by_normal.get(_normal(asked))
        if heading is None:
            raise FileProblem(name, f"There is no heading {asked!r}.", f"The headings are {', '.join(headings)}.")
        if column and column not in columns:
            raise FileProblem(name, f"There is no column {column!r}.", f"The columns are {', '.join(columns)}.")
        wanted[heading] = column
    # a heading that is mapped elsewhere no longer stands for the column of its own name
    taken = set(wanted.values()) - {""}
    for heading in headings:
        if heading not in wanted and _normal(heading) in taken:
            wanted[heading] = ""
    return wanted


def _normal(heading: str) -> str:
    return "_".join(heading.strip().lower().replace("-", " ").replace("_", " ").split())
