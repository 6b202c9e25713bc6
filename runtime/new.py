"""`./sluice new`: the skeleton of a slice, an event, a mart or a metric, from the templates in `runtime/skeletons`.

What it writes passes every check as it is; what the thing really holds is then filled in. A template's path is the path
of its file, and `${…}` in path and text are filled. Recipes are in CONTRIBUTING.md.
"""

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from contracts.events.registry import EVENTS
from contracts.warehouse import Group, Mart
from runtime.home import PROJECT

app = typer.Typer(no_args_is_help=True, help="Write the skeleton of a new thing.")

_SKELETONS = Path(__file__).with_name("skeletons")
_MIGRATIONS = PROJECT / "api" / "db" / "migrations" / "versions"
_NAME = re.compile(r"[a-z][a-z_]*[a-z]")
_AFTER = "Fill in what it holds, then: ./sluice accept"


class SkeletonError(RuntimeError):
    """The thing cannot be made: says why."""


@app.command("slice")
def new_slice(plural: Annotated[str, typer.Argument(help="Its folder and path, for example `visits`.")]) -> None:
    """A slice of plain records: endpoints, schemas, record, table, migration, events with examples, tests."""
    _check_name(plural)
    one, newest = _singular(plural), max(path.name[:4] for path in _MIGRATIONS.glob("[0-9]*.py"))
    made = _write(
        "slice",
        plural=plural,
        Plural=_words(plural).capitalize(),
        PLURAL=plural.upper(),
        one=one,
        One=_camel(one),
        before=newest,
        number=f"{int(newest) + 1:04}",
    )
    layers = PROJECT / "pyproject.toml"
    _insert(layers, f'    "{plural}",\n', before=r'    "companies( \| [a-z_]+)*",\n')
    matrix = PROJECT / "api" / "edge" / "permissions.py"
    read, write = f"list_{plural} read_{one}", f"create_{one} update_{one} delete_{one}"
    rows = f'    ("{plural}:read", EVERYBODY, True, "{read}"),\n    ("{plural}:write", WRITERS, True, "{write}"),\n'
    _insert(matrix, rows, before=r'    \("companies:read",')
    _say([*made, layers, matrix])


@app.command("event")
def new_event(kind: Annotated[str, typer.Argument(help="`aggregate.past_tense`, for example `visit.ended`.")]) -> None:
    """An event and its golden example; a new aggregate also gets a module and a base class."""
    aggregate, *rest = kind.split(".")
    _check_name(aggregate, *rest)
    if not rest or (kind, 1) in EVENTS:
        raise SkeletonError(f"{kind} is there already." if rest else "An event is called aggregate.past_tense.")
    values = {"aggregate": aggregate, "Aggregate": _camel(aggregate), "type": kind, "Class": _camel(kind)}
    made = []
    module = _module_of(aggregate)
    if module is None:
        made = _write("aggregate", **values, module=_plural(aggregate))
        module = made[0]
    with module.open("a") as file:
        file.write(_filled(_SKELETONS / "event" / "class.py.tmpl", values))
    _say([*made, *_write("event", **values), *([] if made else [module])])


@app.command("mart")
def new_mart(
    name: Annotated[str, typer.Argument(help="Its relation, for example `fct_visits`.")],
    *,
    group: Annotated[str, typer.Option(help=f"One of: {', '.join(Group)}.")],
    event: Annotated[str, typer.Option(help="The event that its rows come from, for example `visit.created`.")],
) -> None:
    """A settled mart: its query, its contract with descriptions and test, and its name for readers."""
    _check_name(name)
    if group not in list(Group):
        raise SkeletonError(f"There is no group {group}. There are: {', '.join(Group)}.")
    if name in list(Mart):
        raise SkeletonError(f"{name} is there already.")
    values = {"name": name, "group": group, "event": event, "aggregate": event.partition(".")[0]}
    made = _write("mart", **values)
    described = PROJECT / "dbt_project" / "models" / "marts" / group / f"_{group}__models.yml"
    text = _following(described.read_text().rstrip() + "\n", event)
    head = "" if re.search(r"^models:", text, re.MULTILINE) else "\nmodels:"
    described.write_text(text + head + _filled(_SKELETONS / "mart" / "entry.yml.tmpl", values))
    names = PROJECT / "contracts" / "warehouse.py"
    _insert(
        names, f'    {name.upper()} = "{name}", Group.{Group(group).name}\n', after=r'    [A-Z_]+ = "\w+", Group\..*\n'
    )
    _say([*made, described, names])


@app.command("metric")
def new_metric(
    name: Annotated[str, typer.Argument(help="For example `visits`.")],
    *,
    entity: Annotated[str, typer.Option(help="What it speaks of, for example `visit`; declared if it is new.")],
    mart: Annotated[str, typer.Option(help="Of a new entity: where its facts are.")] = "",
    event: Annotated[str, typer.Option(help="Makes a fact in the test; default `<entity>.created`.")] = "",
) -> None:
    """A metric that counts facts by when they began, a test counted by hand, and its entity if that is new."""
    _check_name(name, entity)
    kind = event or f"{entity}.created"
    if (kind, 1) not in EVENTS:
        raise SkeletonError(f"There is no event {kind}.")
    plural = _plural(entity)
    made = _write(
        "metric",
        name=name,
        Label=_words(name).capitalize(),
        entity=entity,
        plural=_words(plural),
        Plural=_words(plural).capitalize(),
        module=EVENTS[kind, 1].__module__.rpartition(".")[2],
        Class=EVENTS[kind, 1].__name__,
    )
    if not (PROJECT / "metrics" / "entities" / f"{entity}.yml").exists():
        words = {"Entity": _words(entity).capitalize(), "plural": _words(plural), "mart": mart or f"fct_{plural}"}
        made += _write("entity", entity=entity, **words)
    _say(made)


def _following(described: str, event: str) -> str:
    """A group's declarations, which also say that it follows the event: else nothing would build the mart anew."""
    followed = re.search(r"events: \[(.*?)\]", described)
    if followed is None:
        raise SkeletonError("The group does not say which events it follows.")
    beginnings = [beginning.strip() for beginning in followed[1].split(",") if beginning.strip()]
    if not event.startswith(tuple(beginnings)):
        beginnings.append(f"{event.partition('.')[0]}.")
    return described[: followed.start(1)] + ", ".join(beginnings) + described[followed.end(1) :]


def _write(skeleton: str, **values: str) -> list[Path]:
    """Write a skeleton's files.

    Raises:
        SkeletonError: one of them is there already; nothing is written.
    """
    folder = _SKELETONS / skeleton
    files = {
        PROJECT / Template(str(path.relative_to(folder).with_suffix(""))).substitute(values): _filled(path, values)
        for path in sorted(folder.rglob("*.tmpl"))
        if path.parent != folder
    }
    if there := [path for path in files if path.exists()]:
        raise SkeletonError(f"{there[0].relative_to(PROJECT)} is there already.")
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return list(files)


def _filled(template: Path, values: Mapping[str, str]) -> str:
    return Template(template.read_text()).substitute(values)


def _insert(path: Path, line: str, *, before: str = "", after: str = "") -> None:
    """Put a line before the first match of a pattern, or after the last."""
    text = path.read_text()
    found = list(re.finditer(before or after, text))
    if not found:
        raise SkeletonError(f"{path.name} has no place for: {line.strip()}")
    place = found[0].start() if before else found[-1].end()
    path.write_text(text[:place] + line + text[place:])


def _say(paths: list[Path]) -> None:
    """Format what was written, and print it."""
    tool = str(Path(sys.executable).parent / "ruff")
    sources = [str(path) for path in paths if path.suffix == ".py"]
    for arguments in (("check", "--quiet", "--fix", "--select=I"), ("format", "--quiet")):
        if sources:
            subprocess.run([tool, *arguments, *sources], check=True, cwd=PROJECT)
    for path in paths:
        print(path.relative_to(PROJECT))
    print(_AFTER)


def _module_of(aggregate: str) -> Path | None:
    """The module that holds the aggregate's events."""
    named = {event.aggregate_type: event.__module__ for event in EVENTS.values()}
    return PROJECT / f"{named[aggregate].replace('.', '/')}.py" if aggregate in named else None


def _check_name(*names: str) -> None:
    if wrong := [name for name in names if not _NAME.fullmatch(name)]:
        raise SkeletonError(f"{wrong[0]!r} is no name: letters from a to z and underscores.")


def _singular(plural: str) -> str:
    return f"{plural[:-3]}y" if plural.endswith("ies") else plural.removesuffix("s")


def _plural(one: str) -> str:
    return f"{one[:-1]}ies" if one.endswith("y") else f"{one}s"


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in re.split(r"[._]", name))


def _words(name: str) -> str:
    return name.replace("_", " ")
