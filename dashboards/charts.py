"""Frame -> Altair chart, nothing else. Colours are told apart by people with any colour vision, on light and dark."""

import json
from dataclasses import dataclass
from typing import Any, Literal

import altair as alt
import pandas as pd

from dashboards.frames import LOST_HERE, STILL_HERE, WENT_ON

Chart = alt.LayerChart | alt.FacetChart


@dataclass(frozen=True)
class Palette:
    """Colours of one theme."""

    page: str
    text: str
    quiet: str
    track: str
    went_on: str
    still_here: str
    lost: str
    low: str


LIGHT = Palette("#ffffff", "#18232f", "#5c6b7a", "#eef2f4", "#14707c", "#5a9ca6", "#c46f2f", "#e6f1f2")
DARK = Palette("#10171e", "#e5ebf0", "#9aa8b5", "#1c2731", "#4fb5c0", "#33757e", "#e3a06a", "#16303a")

#: Names of the selections: the stage that was clicked, the cell of a group and a stage.
CLICKED_STAGE, CLICKED_CELL = "stage", "cell"

#: Kinds of bars of a waterfall.
STAND, MORE, LESS = "Open", "More", "Less"

_ROW = 46
#: Stages of which a heat map still writes the share in each cell, and the headings side by side.
_MOST_CELLS, _MOST_NARROW_CELLS, _MOST_FLAT_HEADINGS = 16, 5, 8
_FONT = 13
#: About as many pixels has a character of a name.
_CHARACTER = 6
#: The luminance on which black and white are read equally well.
_EQUAL = 0.179


def funnel(parts: pd.DataFrame, palette: Palette, *, chosen: str | None = None, is_narrow: bool = False) -> Chart:
    """The funnel as horizontal bars: what each stage's deals did, beside three columns of figures (one if narrow)."""
    rows = parts.drop_duplicates("stage_id")
    y = alt.Y(
        "stage:N",
        sort=alt.EncodingSortField("order"),
        title=None,
        axis=_names(palette, 84 if is_narrow else 190),
    )
    x_axis = alt.X("start:Q", scale=alt.Scale(domain=[0, 1]), axis=None)
    faded = (
        alt.condition(f"datum.stage_id === {json.dumps(chosen)}", alt.value(1.0), alt.value(0.55))
        if chosen
        else alt.value(1)
    )
    clicked = alt.selection_point(name=CLICKED_STAGE, fields=["stage_id", "measure"], on="click", clear=False)
    track = (
        alt.Chart(rows)
        .transform_calculate(whole="1", none="0")
        .mark_bar(cornerRadius=4, height=26, color=palette.track, cursor="pointer")
        .encode(y=y, x=alt.X("none:Q", scale=alt.Scale(domain=[0, 1]), axis=None), x2="whole:Q")
    )
    bars = (
        alt.Chart(parts)
        .mark_bar(height=26, cornerRadius=2, cursor="pointer")
        .encode(
            y=y,
            x=x_axis,
            x2="end:Q",
            opacity=faded,
            color=alt.Color(
                "part:N",
                scale=alt.Scale(
                    domain=[WENT_ON, STILL_HERE, LOST_HERE], range=[palette.went_on, palette.still_here, palette.lost]
                ),
                legend=alt.Legend(
                    title=None, orient="top", direction="horizontal", symbolType="square", offset=4, labelFontSize=12
                ),
            ),
            tooltip=[
                alt.Tooltip("stage:N", title="Stage"),
                alt.Tooltip("entered:N", title="Entered"),
                alt.Tooltip("part:N", title="Of these"),
                alt.Tooltip("value:N", title="So many"),
                alt.Tooltip("time:N", title="Median time in stage"),
            ],
        )
        .add_params(clicked)
    )
    figures = [
        _column(rows, "entered", 74, palette.text, y=y, heading="Entered", weight=600),
        _column(rows, "of_cohort", 150, palette.text, y=y, heading="Of cohort"),
        _column(rows, "of_previous", 232, palette.quiet, y=y, heading="Of previous"),
    ]
    shown = figures[:1] if is_narrow else figures
    chart = alt.layer(track, bars, *[mark for pair in shown for mark in pair])
    return _plain(chart.properties(height=alt.Step(_ROW)))


def is_crowded(stages: int, *, is_narrow: bool) -> bool:
    """Whether so many stages leave cells too narrow for their texts."""
    return stages > (_MOST_NARROW_CELLS if is_narrow else _MOST_CELLS)


def cohorts(cells: pd.DataFrame, palette: Palette, *, is_narrow: bool = False) -> Chart:
    """Groups against stages: the darker a cell, the larger the share of the group's deals that got there.

    Where there is little room, headings stand upright, and cells that are too narrow have no text.
    """
    stages = cells["stage_id"].nunique()
    is_upright = is_narrow or stages > _MOST_FLAT_HEADINGS
    x = alt.X(
        "stage:N",
        sort=alt.EncodingSortField("order"),
        scale=alt.Scale(paddingInner=0.02),
        title=None,
        axis=alt.Axis(
            orient="top",
            labelAngle=-60 if is_upright else 0,
            labelAlign="left" if is_upright else "center",
            labelLimit=110,
            labelOverlap="greedy" if is_crowded(stages, is_narrow=is_narrow) else False,
            labelFontSize=12,
            labelColor=palette.text,
            ticks=False,
            domain=False,
        ),
    )
    y = alt.Y(
        "group:N",
        sort=alt.EncodingSortField("rank"),
        scale=alt.Scale(paddingInner=0.1),
        title=None,
        axis=_names(palette, 84 if is_narrow else 190),
    )
    base = alt.Chart(cells).encode(x=x, y=y)
    squares = base.mark_rect(cornerRadius=3, cursor="pointer").encode(
        color=alt.Color("share:Q", scale=_shades(palette), legend=None),
        tooltip=[
            alt.Tooltip("group:N", title="Group"),
            alt.Tooltip("size:N", title="In the cohort"),
            alt.Tooltip("stage:N", title="Stage"),
            alt.Tooltip("entered:N", title="Entered"),
            alt.Tooltip("text:N", title="Share"),
        ],
    )
    is_bright = luminance(palette.low) > luminance(palette.went_on)
    few, many = ("#000000", "#ffffff") if is_bright else ("#ffffff", "#000000")
    clicked = alt.selection_point(name=CLICKED_CELL, fields=["stage_id", "group_key"], on="click", clear=False)
    texts = base.mark_text(fontSize=12, cursor="pointer").encode(
        text="text:N",
        color=alt.condition(f"datum.share > {turning(palette):.3f}", alt.value(many), alt.value(few)),
    )
    marks = [squares.add_params(clicked)]
    if not is_crowded(stages, is_narrow=is_narrow):
        marks.append(texts)
    return _plain(alt.layer(*marks).properties(height=alt.Step(34)))


def shade(palette: Palette, share: float) -> str:
    """The colour of a heat map's cell."""
    ends = [[int(colour[at : at + 2], 16) for at in (1, 3, 5)] for colour in (palette.low, palette.went_on)]
    return "#" + "".join(f"{round(low + share * (high - low)):02x}" for low, high in zip(*ends, strict=True))


def luminance(colour: str) -> float:
    """How bright a colour is, from 0 to 1, as WCAG reckons it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def turning(palette: Palette) -> float:
    """The share from which black is read better than white on a cell, or white better than black."""
    is_bright = luminance(palette.low) > _EQUAL
    shares = (hundredth / 100 for hundredth in range(101))
    return next((one for one in shares if (luminance(shade(palette, one)) > _EQUAL) != is_bright), 1.0)


def _shades(palette: Palette) -> alt.Scale:
    return alt.Scale(domain=[0, 1], range=[palette.low, palette.went_on], interpolate="rgb")


def ranking(rows: pd.DataFrame, palette: Palette, *, is_narrow: bool = False) -> Chart:
    """Won amount per name as bars, best first. Columns: name, value, text, chosen."""
    y = alt.Y(
        "name:N",
        sort=alt.EncodingSortField("rank"),
        title=None,
        axis=_names(palette, 96 if is_narrow else 170),
    )
    top = max(float(rows["value"].max()), 1.0) if len(rows) else 1.0
    x = alt.X("value:Q", scale=alt.Scale(domain=[0, top * (1.5 if is_narrow else 1.22)]), axis=None)
    base = alt.Chart(rows).encode(y=y, x=x)
    bars = base.mark_bar(height=18, cornerRadius=3, color=palette.went_on).encode(
        tooltip=[alt.Tooltip("name:N", title="Name"), alt.Tooltip("text:N", title="Won amount")]
    )
    texts = base.mark_text(align="left", dx=6, fontSize=12, color=palette.text).encode(text="text:N")
    return _plain(alt.layer(bars, texts).properties(height=alt.Step(32)))


def waterfall(steps: pd.DataFrame, palette: Palette, *, is_narrow: bool = False) -> Chart:
    """From one sum to another by what changed it. Columns: name, rank, start, end, right, kind, text."""
    y = alt.Y(
        "name:N",
        sort=alt.EncodingSortField("rank"),
        title=None,
        axis=_names(palette, 96 if is_narrow else 170),
    )
    ends = [float(value) for value in [*steps["start"], *steps["end"]]]
    top, bottom = max(1.0, *ends), min(0.0, *ends)
    scale = alt.Scale(domain=[bottom, bottom + (top - bottom) * (1.5 if is_narrow else 1.22)])
    base = alt.Chart(steps).encode(y=y)
    bars = base.mark_bar(height=18, cornerRadius=3).encode(
        x=alt.X("start:Q", scale=scale, axis=None),
        x2="end:Q",
        color=alt.Color(
            "kind:N",
            scale=alt.Scale(domain=[STAND, MORE, LESS], range=[palette.went_on, palette.still_here, palette.lost]),
            legend=alt.Legend(title=None, orient="top", direction="horizontal", symbolType="square", labelFontSize=12),
        ),
        tooltip=[alt.Tooltip("name:N", title="Part"), alt.Tooltip("text:N", title="Amount")],
    )
    texts = base.mark_text(align="left", dx=6, fontSize=12, color=palette.text).encode(
        x=alt.X("right:Q", scale=scale, axis=None), text="text:N"
    )
    return _plain(alt.layer(bars, texts).properties(height=alt.Step(32)))


def rates(rows: pd.DataFrame, palette: Palette, *, is_narrow: bool = False) -> Chart:
    """Win rate per name as dots on one scale. Columns: name, value (0 to 1 or none), text.

    Beside the ranking the names stand there already; on a phone it stands below.
    """
    axis = _names(palette, 96) if is_narrow else None
    y = alt.Y("name:N", sort=alt.EncodingSortField("rank"), title=None, axis=axis)
    x = alt.X("value:Q", scale=alt.Scale(domain=[0, 1]), axis=None)
    known = alt.Chart(rows.dropna(subset=["value"]))
    lines = (
        alt.Chart(rows)
        .transform_calculate(none="0", whole="1")
        .mark_bar(height=4, cornerRadius=2, color=palette.track)
        .encode(y=y, x=alt.X("none:Q", axis=None), x2="whole:Q")
    )
    dots = known.mark_circle(size=130, color=palette.went_on, opacity=1).encode(
        y=y,
        x=x,
        tooltip=[alt.Tooltip("name:N", title="Name"), alt.Tooltip("text:N", title="Win rate")],
    )
    texts = (
        alt.Chart(rows)
        .mark_text(align="right", dx=46, fontSize=12, color=palette.text)
        .encode(y=y, x=alt.value("width"), text="text:N")
    )
    return _plain(alt.layer(lines, dots, texts).properties(height=alt.Step(32)))


def _column(
    rows: pd.DataFrame, field: str, right: int, colour: str, *, y: alt.Y, heading: str, weight: Literal[400, 600] = 400
) -> tuple[Any, Any]:
    """A column of texts whose right edge lies `right` pixels beyond the bars, and its heading."""
    mark: dict[str, Any] = {"align": "right", "dx": right, "fontSize": _FONT}
    texts = (
        alt.Chart(rows)
        .mark_text(**mark, color=colour, fontWeight=weight)
        .encode(y=y, x=alt.value("width"), text=f"{field}:N")
    )
    head = (
        alt.Chart(pd.DataFrame({"heading": [heading]}))
        .mark_text(**(mark | {"fontSize": 11}), color=colour, baseline="bottom")
        .encode(y=alt.value(-4), x=alt.value("width"), text="heading:N")
    )
    return texts, head


def _names(palette: Palette, widest: int) -> alt.Axis:
    """The axis of names. What is too long loses its middle: names that begin alike differ at their ends."""
    most = widest // _CHARACTER
    ends = f"slice(datum.label, 0, {most - most // 2 - 1}) + '…' + slice(datum.label, -{most // 2})"
    return alt.Axis(
        labelExpr=f"length(datum.label) > {most} ? {ends} : datum.label",
        labelFontSize=_FONT,
        labelColor=palette.text,
        labelLimit=widest * 1.25,
        labelPadding=10,
        ticks=False,
        domain=False,
        grid=False,
    )


def _plain(chart: alt.LayerChart | alt.FacetChart) -> Chart:
    plain: Chart = chart.configure_view(strokeWidth=0).configure_axis(grid=False)
    return plain
