"""dbt's exposures, derived: which metrics read which marts, and which pages show which metrics.

A metric says by its entity what it reads; a page asks for metrics by their names, which stand in its code.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from contracts.warehouse import Mart
from metrics.question import marts_of
from metrics.registry import Definition, definitions
from runtime.home import PROJECT

PATH = PROJECT / "dbt_project" / "models" / "marts" / "_exposures.yml"

_VIEWS = PROJECT / "dashboards" / "views"
_HEAD = "# Derived from metrics/ and dashboards/ by ./sluice accept: lineage ends at the pages that people look at.\n"


def write_exposures(path: Path = PATH) -> None:
    """Write them anew."""
    path.write_text(render(), encoding="utf-8")


def render() -> str:
    """The file's content."""
    known = definitions()
    exposures = [_of_metric(known[name]) for name in sorted(known)]
    exposures.append(_of_export())
    exposures += [page for path in sorted(_VIEWS.glob("*.py")) if (page := _of_page(path))]
    return _HEAD + yaml.safe_dump(
        {"version": 2, "exposures": exposures}, sort_keys=False, width=120, allow_unicode=True
    )


def _of_metric(metric: Definition) -> dict[str, Any]:
    return {
        "name": f"metric_{metric.name}",
        "label": metric.label,
        "type": "analysis",
        "maturity": "high",
        "url": f"/v1/metrics/{metric.name}",
        "description": metric.description,
        "owner": {"name": metric.owner},
        "depends_on": sorted(f"ref('{mart}')" for mart in marts_of(metric)),
        "config": {"meta": {"version": metric.version, "definition": metric.definition}},
    }


def _of_export() -> dict[str, Any]:
    """The files that an organization takes away: every mart, also those that no metric reads."""
    return {
        "name": "open_warehouse",
        "label": "Open warehouse",
        "type": "application",
        "maturity": "high",
        "description": "The star schema as Parquet, with a data dictionary (./sluice warehouse).",
        "owner": {"name": "warehouse"},
        "depends_on": sorted(f"ref('{mart.value}')" for mart in Mart),
    }


def _of_page(path: Path) -> dict[str, Any] | None:
    """A page that shows metrics; None for any other."""
    known = definitions()
    shown = sorted({name for name in _names(path) if name in known})
    if not shown:
        return None
    return {
        "name": f"page_{path.stem}",
        "label": f"Page {path.stem.replace('_', ' ')}",
        "type": "dashboard",
        "maturity": "high",
        "url": f"/{path.stem}",
        "description": (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0],
        "owner": {"name": "dashboards"},
        "depends_on": sorted({f"ref('{mart}')" for name in shown for mart in marts_of(known[name])}),
        "config": {"meta": {"metrics": shown}},
    }


def _names(path: Path) -> Iterator[str]:
    """Words by which a page may name a metric: texts, and functions of the client."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "client":
            yield node.attr
