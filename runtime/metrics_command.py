"""`sluice metrics`: checks definitions, shows what changed between two versions of one, and prints all of them.

Reads the files of definitions alone: no stack has to run.
"""

import sys
from collections.abc import Iterator
from difflib import unified_diff
from typing import Annotated

import typer
import yaml

from metrics import published
from metrics.errors import ParameterError, UnknownMetricError
from metrics.registry import Definition, load

app = typer.Typer(no_args_is_help=True, help="Definitions of metrics: lint, diff, docs.")


class MetricsCommandError(RuntimeError):
    """What was asked cannot be answered: says why."""


@app.command()
def lint() -> None:
    """Read every definition strictly, and hold its hash against the published one. Exit 1 where anything is wrong."""
    try:
        known = load()
    except (ValueError, TypeError, LookupError, yaml.YAMLError) as error:
        raise MetricsCommandError(f"A definition is wrong: {error}") from error
    wrong = [*published.wrong(known), *(line for one in known.present.values() for line in _lacking(one))]
    for line in wrong:
        typer.echo(line)
    if wrong:
        sys.exit(1)
    versions = sum(len(known.versions(name)) for name in known.present)
    typer.echo(f"{len(known.present)} metrics in {versions} versions: all as published.")


@app.command()
def diff(
    metric: Annotated[str, typer.Argument(help="A metric's name.")],
    before: Annotated[int | None, typer.Argument(help="A version; the one before the present if left out.")] = None,
    after: Annotated[int | None, typer.Argument(help="Another one; the present if left out.")] = None,
) -> None:
    """Show what differs between two versions of a metric's definition."""
    try:
        later = load().get(metric, after)
        earlier = load().get(metric, before or max(later.version - 1, 1))
    except UnknownMetricError:
        raise MetricsCommandError(f"There is no metric {metric}.") from None
    except ParameterError as error:
        raise MetricsCommandError(str(error)) from None
    before_name, after_name = (f"{one.name}@{one.version}" for one in (earlier, later))
    for line in unified_diff(_text(earlier), _text(later), before_name, after_name, lineterm=""):
        typer.echo(line)


@app.command()
def docs() -> None:
    """Print every metric as Markdown: what it counts, how it may be asked, by which rules, and how it came about."""
    for definition in load().present.values():
        for line in _page(definition):
            typer.echo(line)


def _lacking(definition: Definition) -> Iterator[str]:
    """What a definition owes its reader."""
    for name in ("description", "owner", "grain", "formula", "policy", "tests"):
        if not getattr(definition, name):
            yield f"{definition.name} has no {name}"


def _text(definition: Definition) -> list[str]:
    meaning = definition.model_dump(mode="json", exclude={"entity"}) | {"entity": definition.entity.name}
    return yaml.safe_dump(meaning, sort_keys=False, allow_unicode=True, width=100).splitlines()


def _page(definition: Definition) -> Iterator[str]:
    yield f"## {definition.label} (`{definition.name}`, version {definition.version})"
    yield from ("", definition.description, "")
    yield f"`{definition.formula}` · {definition.unit} · per {definition.grain} · {definition.owner}"
    yield from ("", f"Parameters: {', '.join(definition.parameters)}. Split by: {', '.join(definition.offered)}.", "")
    yield from (f"- `{figure.name}`: {figure.description}" for figure in definition.figures)
    yield from ("", *(f"- {rule}" for rule in definition.policy), "")
    yield from (f"{change.version}. {change.change}" for change in definition.changelog)
    yield from ("", f"`{definition.definition}`", "")
