"""Judges suites by Great Expectations: `python -m orchestration.build.expectations FOLDER [DOCS]`.

A process of its own, because Great Expectations takes seconds and some 270 MB to import: neither the refresh nor
Dagster's code server shall carry that. Reads `suites.json` and the frames that it names from the folder, writes
`findings.json` there, and where DOCS is named, data docs of what it found.
"""

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import great_expectations as gx
import pandas as pd

_SITE = "local_site"
_FOREIGN = re.compile(
    r"""<script[^>]*\bsrc=["']https?:[^>]*>.*?</script>|<(?:link|img)[^>]*\b(?:href|src)=["']https?:[^>]*>""",
    re.DOTALL | re.IGNORECASE,
)
_STYLE = """<style>
body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:1rem auto;padding:0 1rem;color:#1b1f24}
table{border-collapse:collapse;width:100%}td,th{border:1px solid #ccd;padding:.3rem .5rem;text-align:left}
nav,ol.breadcrumb,ul{padding-left:1rem}.navbar-brand,.modal,#walkthroughModal{display:none}
</style>"""


def judge(folder: Path, docs: Path | None = None) -> list[dict[str, Any]]:
    """Validate each suite; one finding per suite, which says of each expectation that does not hold what was found."""
    context = gx.get_context(mode="ephemeral")
    context.enable_analytics(False)
    if docs is not None:
        context.update_data_docs_site(_SITE, _site(docs))  # type: ignore[arg-type]
    source = context.data_sources.add_pandas("warehouse")
    findings = []
    for suite in json.loads((folder / "suites.json").read_text(encoding="utf-8")):
        rows = pd.read_parquet(folder / f"{suite['frame']}.parquet")
        batch = source.add_dataframe_asset(suite["name"]).add_batch_definition_whole_dataframe("all")
        expected = [getattr(gx.expectations, one["type"])(**one["of"]) for one in suite["expectations"]]
        known = context.suites.add(gx.ExpectationSuite(name=suite["name"], expectations=expected))
        validation = context.validation_definitions.add(
            gx.ValidationDefinition(name=suite["name"], data=batch, suite=known)
        )
        result = validation.run(batch_parameters={"dataframe": rows}, result_format="COMPLETE")
        failed = [_describe(one, rows, suite["things"]) for one in result.results if not one.success]
        columns = sorted({_column(one) for one in result.results if not one.success})
        findings.append(
            {
                "suite": suite["name"],
                "passed": bool(result.success),
                "failed": columns,
                "message": "; ".join(failed)
                or f"{len(expected)} expectations hold for {int(rows['rows'].sum()):,} {suite['things']}.",
            }
        )
    if docs is not None:
        context.build_data_docs(site_names=[_SITE])
    return findings


def _column(result: Any) -> str:  # noqa: ANN401  # great_expectations publishes no types
    return str(result.expectation_config.kwargs.get("column"))


def _site(folder: Path) -> dict[str, Any]:
    return {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder)},
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
    }


def _describe(result: Any, rows: pd.DataFrame, things: str) -> str:  # noqa: ANN401  # great_expectations publishes no types
    kwargs = result.expectation_config.kwargs
    column = kwargs.get("column")
    wrong = rows.loc[result.result.get("unexpected_index_list") or []]
    samples = ", ".join(str(value) for value in wrong[column].dropna().head(3))
    bounds = [
        f"{word} {kwargs[key]:g}"
        for key, word in (("min_value", "at least"), ("max_value", "at most"))
        if key in kwargs and kwargs[key] is not None
    ]
    wanted = f", should be {' and '.join(bounds)}" if bounds else ""
    return f"{column}: not as expected in {int(wrong['rows'].sum()):,} {things} ({samples or 'empty'}{wanted})"


def _make_self_contained(docs: Path) -> None:
    """Take out what the pages would load from elsewhere: they are for machines that reach nothing, and behind a sign-in
    that no script of others' may use."""
    for page in docs.rglob("*.html"):
        text = _FOREIGN.sub("", page.read_text(encoding="utf-8"))
        page.write_text(text.replace("</head>", f"{_STYLE}</head>", 1), encoding="utf-8")


def main(folder: Path, docs: Path | None) -> None:
    """Judge, and put the docs in the place of the last ones."""
    draft = None if docs is None else docs.with_name(f"{docs.name}.new")
    if draft is not None:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
    (folder / "findings.json").write_text(json.dumps(judge(folder, draft)), encoding="utf-8")
    if docs is not None and draft is not None:
        _make_self_contained(draft)
        shutil.rmtree(docs, ignore_errors=True)
        draft.replace(docs)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
