"""The Great Expectations suite over raw: `python -m orchestration.build.expectations FOLDER`.

Reads the frames that `raw_profile` wrote into the folder and writes `findings.json` beside them.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import great_expectations as gx
import pandas as pd
from great_expectations.expectations.core.expect_column_values_to_be_between import ExpectColumnValuesToBeBetween
from great_expectations.expectations.core.expect_column_values_to_be_in_set import ExpectColumnValuesToBeInSet
from great_expectations.expectations.core.expect_column_values_to_not_be_null import ExpectColumnValuesToNotBeNull

from orchestration.build.raw_quality import CLOCK_TOLERANCE_SECONDS, RawCheck


def expectations(types: list[str]) -> Mapping[tuple[RawCheck, str], list[Any]]:
    """Check and frame -> what is expected of it."""
    ids = ("event_id", "organization_id", "type", "aggregate_id", "aggregate_version")
    return {
        (RawCheck.IDS_PRESENT, "events"): [ExpectColumnValuesToNotBeNull(column=column) for column in ids],
        (RawCheck.TYPES_KNOWN, "events"): [ExpectColumnValuesToBeInSet(column="type", value_set=types)],
        (RawCheck.INSTANTS_PLAUSIBLE, "events"): [
            ExpectColumnValuesToBeBetween(column=column, max_value=CLOCK_TOLERANCE_SECONDS)
            for column in ("occurred_ahead", "recorded_ahead")
        ],
        (RawCheck.VERSIONS_CONTIGUOUS, "aggregates"): [
            ExpectColumnValuesToBeBetween(column="missing_versions", max_value=0)
        ],
    }


def judge(folder: Path) -> list[dict[str, Any]]:
    """Validate the frames in a folder; one finding per check."""
    context = gx.get_context(mode="ephemeral")
    context.enable_analytics(False)
    source = context.data_sources.add_pandas("raw")
    findings = []
    for (check, frame), expected in expectations(json.loads((folder / "types.json").read_text())).items():
        rows = pd.read_parquet(folder / f"{frame}.parquet")
        batch = source.add_dataframe_asset(check.value).add_batch_definition_whole_dataframe("all")
        suite = gx.ExpectationSuite(name=check.value, expectations=expected)
        result = batch.get_batch(batch_parameters={"dataframe": rows}).validate(suite, result_format="COMPLETE")
        failed = [_describe(one, rows, frame) for one in result.results if not one.success]
        message = "; ".join(failed) or f"{len(expected)} expectations hold for {int(rows['rows'].sum()):,} {frame}."
        findings.append({"check": check.value, "passed": bool(result.success), "message": message})
    return findings


def _describe(result: Any, rows: pd.DataFrame, frame: str) -> str:  # noqa: ANN401  # great_expectations publishes no types
    column = result.expectation_config.kwargs.get("column")
    wrong = rows.loc[result.result.get("unexpected_index_list") or []]
    samples = ", ".join(str(value) for value in wrong[column].dropna().head(3))
    return f"{column}: not as expected in {int(wrong['rows'].sum()):,} {frame} ({samples or 'empty'})"


if __name__ == "__main__":
    target = Path(sys.argv[1])
    (target / "findings.json").write_text(json.dumps(judge(target)), encoding="utf-8")
