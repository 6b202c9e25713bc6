"""What a comparison says, as a manager would: the difference, what made it, and whether it could be chance. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from dashboards import money


def difference(total: Mapping[str, Any], what: str, *, between: tuple[str, str] | None = None) -> str:
    """For example: `Won of all fell from 31 % (62 of 200) to 24 % (48 of 200), by 7.0 points. …`

    Where two stand beside each other, and not one after the other, `between` says what they are called.
    """
    now, before = total.get("conversion"), total.get("conversion_earlier")
    if now is None or before is None:
        return f"{what}: one of the two has no deals, so that there is nothing to compare."
    part, whole = ("won", "cohort") if "cohort" in total else ("entered", "entered_before")
    numbers = [
        f"{money.share(rate)} ({money.count(total[part + suffix])} of {money.count(total[whole + suffix])})"
        for rate, suffix in ((before, "_earlier"), (now, ""))
    ]
    points = money.points(now - before)
    if points is None and between is not None:
        return f"{what}: {between[0]} {numbers[1]}, {between[1]} {numbers[0]}: no difference."
    if points is None:
        return f"{what} stayed at {numbers[1]}; it was {numbers[0]}."
    size = points.lstrip("+-").replace(" pts", " points")
    if between is not None:
        apart = f"{size} {'more' if now > before else 'less'}"
        return f"{what}: {between[0]} {numbers[1]}, {between[1]} {numbers[0]}, {apart}. {certainty(total)}"
    verb = "rose" if now > before else "fell"
    return f"{what} {verb} from {numbers[0]} to {numbers[1]}, by {size}. {certainty(total)}"


def certainty(total: Mapping[str, Any]) -> str:
    """Whether the difference could be chance."""
    low, high = total.get("low"), total.get("high")
    if low is None or high is None:
        return ""
    between = f"between {money.points(low) or '0 pts'} and {money.points(high) or '0 pts'}"
    if total.get("is_chance"):
        return f"That could be chance: with 95 % confidence the true difference lies {between}, so it may be none."
    return f"That is hardly chance: with 95 % confidence the true difference lies {between}."


def cause(groups: Sequence[Mapping[str, Any]], names: Mapping[str, str], by: str) -> str:
    """What the rates of groups did and what their mix did, and which group did most."""
    known = [row for row in groups if row.get("rate_effect") is not None]
    if not known:
        return ""
    rate, mix = (sum(row[name] for row in known) for name in ("rate_effect", "mix_effect"))
    most = max(known, key=lambda row: abs(row["rate_effect"] + row["mix_effect"]))
    effect = money.points(most["rate_effect"] + most["mix_effect"]) or "0 pts"
    parts = [money.points(effect) or "0 pts" for effect in (rate, mix)]
    return (
        f"Of it {parts[0]} because the {by}s convert differently, and {parts[1]} because there are more or fewer deals "
        f"of some of them. {names[str(most['group'])]} did most: {effect}."
    )


#: What may come of a step of a campaign.
OUTCOMES = {"replied": "answered", "moved": "had their deal move on", "unsubscribed": "unsubscribed"}


def trial(row: Mapping[str, Any]) -> str | None:
    """What a variant's share says beside the one it is compared with; None for that one itself."""
    if row["compared_with"] is None or row["difference"] is None:
        return None
    named = {"held_out": "those held out"}
    mine, other = (named.get(one, f"variant {one}") for one in (row["variant"], row["compared_with"]))
    points = money.points(row["difference"]) or "0 pts"
    low, high = (money.points(row[bound]) or "0 pts" for bound in ("low", "high"))
    numbers = f"{money.share(row['rate'])} ({money.count(row['entered'])} of {money.count(row['cohort'])})"
    chance = "That could be chance" if row["is_chance"] else "That is hardly chance"
    return (
        f"Step {row['step']}, {mine}: {numbers} {OUTCOMES[row['stage_id']]}, {points} against {other}. {chance}: "
        f"with 95 % confidence the true difference lies between {low} and {high}."
    )
