"""Documentation for data engineers, as files that Dagster's web server shows under `/docs`.

`dbt` is the site of the dbt project, `raw` and `marts` are the data docs of Great Expectations' suites.
"""

import shutil
from pathlib import Path

from contracts.settings import OrchestrationSettings

_INDEX = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Sluice's warehouse</title>
<style>body{font:16px/1.6 system-ui,sans-serif;max-width:40rem;margin:10vh auto;padding:0 1rem}</style></head>
<body><h1>Sluice's warehouse</h1><ul>
<li><a href="dbt/">Models, columns, tests, lineage and what uses them</a> (dbt; <code>./sluice
dbt-docs</code> renews it)</li>
<li><a href="marts/">What the marts were like at the last look</a> (Great Expectations)</li>
<li><a href="raw/">What the raw events were like at the last look</a> (Great Expectations)</li>
</ul></body></html>
"""


def docs_folder(settings: OrchestrationSettings) -> Path:
    """Where they lie."""
    return settings.dagster_home.absolute() / "quality" / "docs"


def keep_dbt_docs(index: Path, folder: Path) -> Path:
    """Put dbt's site, one page, in the place of the last one; answers where."""
    kept = folder / "dbt" / "index.html"
    kept.parent.mkdir(parents=True, exist_ok=True)
    draft = kept.with_suffix(".new")
    shutil.copyfile(index, draft)
    draft.replace(kept)
    return kept


def write_index(folder: Path) -> None:
    """Write the page that leads to all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "index.html").write_text(_INDEX, encoding="utf-8")
