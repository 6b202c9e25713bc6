"""What a page shows around its figures: how fresh they are, how they were counted, what to do if there are none."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import streamlit as st

from dashboards import client, money, session
from dashboards.answers import Elsewhere, Freshness, MetricAnswer
from dashboards.charts import DARK, LIGHT, Palette
from dashboards.session import SignIn

_REFRESH_SECONDS = 5
_SEEN = "warehouse_version"
_OVERTAKEN = "Somebody changed this while you did. Here is what it is now; change it again."

#: The field may come a little later than the script.
_FOCUS = """<script>
(function look(left) {
  const field = document.querySelector("[data-testid=stMain] input");
  if (field) { if (document.activeElement === document.body) field.focus(); }
  else if (left) setTimeout(() => look(left - 1), 100);
})(30);
</script>"""


@contextmanager
def explained() -> Iterator[None]:
    """Turns an answer that did not come into words and a next step. A sign-in that ended leads to the sign-in page."""
    try:
        yield
    except client.SignedOutError as error:
        session.end(error.message)
        st.rerun()
    except client.UnreachableError as error:
        _failure(
            "Sluice cannot be reached",
            f"{plain(error.message)} Your data is safe. This page tries again by itself.",
            error,
        )
        _try_again()
    except client.NotReadyError as error:
        _failure(
            "The figures are not ready yet",
            "The first figures are being built from your data. This takes a few seconds after the start; "
            "if it takes minutes, look at **Data health**.",
            error,
            calm=True,
        )
        _try_again()
    except client.ForbiddenError as error:
        _failure("You may not see this", f"{plain(error.message)} Ask an administrator of your organization.", error)
    except client.StaleError as error:
        advice = f"{plain(error.message)} Reload the page and look at it again."
        _failure("It was changed in the meantime", advice, error)
    except client.ConflictError as error:
        _failure("It contradicts what is there", plain(error.message), error)
    except client.RefusedError as error:
        _failure("This could not be done", plain(error.message), error)


def version_to_show(sign_in: SignIn) -> str | None:
    """The version of the figures that this run of the page shows; remembered, so that a newer one is noticed."""
    version = client.freshness(sign_in).warehouse_version
    st.session_state[_SEEN] = version
    return version


def page_head(title: str, who: SignIn, zone: ZoneInfo, *, follows: bool = True) -> None:
    """The page's title, and at its right how fresh the figures are."""
    left, right = st.columns([1, 2], vertical_alignment="bottom")
    left.title(title, anchor=False)
    with right:
        freshness_line(who, zone, follows=follows)


@st.fragment(run_every=_REFRESH_SECONDS)
def freshness_line(sign_in: SignIn, zone: ZoneInfo, *, follows: bool = True) -> None:
    """How fresh the figures are, kept up to date; when newer ones are published, the page shows them (`follows`)."""
    try:
        fresh = client.freshness(sign_in)
    except client.SignedOutError as error:
        session.end(error.message)
        st.rerun()
    except client.ApiError:
        st.markdown(":material/cloud_off: :gray[How fresh the figures are is not known: Sluice does not answer.]")
        return
    if follows and fresh.warehouse_version != st.session_state.get(_SEEN):
        st.session_state[_SEEN] = fresh.warehouse_version
        st.rerun()
    with st.container(horizontal_alignment="right"):
        st.markdown(freshness_words(fresh, datetime.now(UTC), zone), help=_freshness_help(zone), width="content")


def freshness_words(fresh: Freshness, now: datetime, zone: ZoneInfo) -> str:
    """For example: `through 14:03:22 · 3 events behind`."""
    through = f"through {money.clock(fresh.through, now, zone)}" if fresh.through else "no data yet"
    if fresh.events_behind is None:
        return f":gray[:material/schedule: {through}]"
    if fresh.events_behind == 0:
        return f":gray[:material/check_circle: {through} · up to date]"
    noun = "event" if fresh.events_behind == 1 else "events"
    return f":gray[:material/sync: {through} · {fresh.events_behind:,} {noun} behind]"


def provenance(answer: MetricAnswer, question: str) -> None:
    """How a chart was counted: the question, and the definition that answered it."""
    short = answer.definition.removeprefix("sha256:")[:8]
    st.caption(f"{plain(question)} · definition {answer.metric} v{answer.version}, `{short}`")
    for note in answer.notes:
        st.caption(f":material/info: {plain(note)}")
    if answer.other_currencies:
        st.caption(f":material/currency_exchange: {plain(elsewhere(answer.other_currencies))}")


def elsewhere(amounts: Sequence[Elsewhere]) -> str:
    """Amounts that keep a currency of their own: they are in no sum, and shown beside it."""
    figures: dict[str, list[str]] = {}
    for one in amounts:
        figure = one.figure.removesuffix("_minor").replace("_", " ")
        figures.setdefault(figure, []).append(f"{money.amount(one.amount_minor, one.currency)} ({one.facts:,})")
    return "In other currencies, beside these sums: " + "; ".join(
        f"{figure} {', '.join(written)}" for figure, written in figures.items()
    )


def plain(text: str) -> str:
    """Free text as text, where Streamlit would read it as Markdown: a reason is no image, a name no link.

    Names of icons and emoji, and addresses, are looked for after Markdown is read, so that no escape helps; what holds
    them apart is a character without width.
    """
    apart = re.sub(r"(?<=:)(?=[\w/+-]+:|//)|(?<=www)(?=\.)|(?=@)", "\u2060", " ".join(text.split()))
    return re.sub(r"([\\`*_\[\]#|<>~$:@&]|^[-+](?=\s)|(?<=^\d)[.)])", r"\\\1", apart)


def refused(error: client.ApiError) -> None:
    """Say why something was not done. The message may hold what people wrote."""
    st.error(plain(error.message), icon=":material/error:")


def is_overtaken(what: str, version: int) -> bool:
    """Whether somebody changed `what` since this page drew its fields: what was typed was said of the version before.

    The fields' keys name the version, so that they show what it is now.
    """
    drawn, st.session_state[f"drawn {what}"] = st.session_state.get(f"drawn {what}", version), version
    return bool(drawn != version)


def tried(act: Callable[[], object], *, is_late: bool = False) -> None:
    """Do what somebody asked for and draw the page anew, or say why it was not done (`is_late`: it was overtaken)."""
    if is_late:
        st.warning(_OVERTAKEN)
        return
    try:
        act()
    except client.StaleError:
        st.warning(_OVERTAKEN)
    except (client.RefusedError, client.ConflictError) as error:
        refused(error)
    else:
        st.rerun()


def focus_first_field() -> None:
    """Let typing begin at once: the cursor stands in the first field."""
    st.html(_FOCUS, unsafe_allow_javascript=True)


def at_widths(key: str, draw: Callable[[str, bool], None]) -> None:
    """Draw the same for desks and for phones (`True`); the screen shows the one that fits. `draw` is given a key."""
    for width, is_narrow in (("wide", False), ("narrow", True)):
        with st.container(key=f"{width}_{key}"):
            draw(f"{width}_{key}_chart", is_narrow)


def nothing_here(title: str, advice: str) -> None:
    """A designed empty state."""
    with st.container(border=True, horizontal_alignment="center"):
        st.markdown(f":gray[:material/inbox:] **{title}**", text_alignment="center")
        st.markdown(advice, text_alignment="center")


def palette() -> Palette:
    """The colours for the theme that the browser shows."""
    return DARK if st.context.theme.type == "dark" else LIGHT


def _failure(title: str, advice: str, error: client.ApiError, *, calm: bool = False) -> None:
    reference = f"\n\n:gray[Reference for support: {error.reference}]" if error.reference else ""
    show = st.info if calm else st.error
    show(f"**{title}**\n\n{advice}{reference}", icon=":material/hourglass_top:" if calm else ":material/error:")


@st.fragment(run_every=_REFRESH_SECONDS)
def _try_again() -> None:
    """Run the page again in a while; the first run of this fragment is the one that drew it."""
    first = st.session_state.setdefault("failed_at", datetime.now(UTC))
    if st.button("Try again", icon=":material/refresh:") or (datetime.now(UTC) - first).total_seconds() > 4:
        del st.session_state["failed_at"]
        st.rerun()


def _freshness_help(zone: ZoneInfo) -> str:
    return f"Everything recorded up to this time is in the figures. Times are those of {zone.key}."
