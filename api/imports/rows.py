"""What several columns of a row say together: a name of two, a status of flags, money, what makes it that row."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from api.imports.amounts import currency_of, meant_by, minor_units, sign_of
from api.imports.custom_columns import CustomColumn
from api.imports.presets import DOINGS, GENERIC, GROUPED, Entity, ValueKind
from api.imports.values import ReadingRules
from api.imports.zones import to_utc
from api.kernel import phones
from contracts.money import LARGEST_AMOUNT_MINOR

KEY = "_key"
_SIGN = "_sign"
#: Between the parts of a key; no cell holds it.
_BETWEEN = "\x1f"
#: What exports call the field of which a history's row tells that it changed: the stage.
_STAGE_FIELDS = ("stage", "stagename", "stage_name", "dealstage", "deal_stage", "deal stage", "stage_id", "stage name")


@dataclass(frozen=True)
class Fault:
    """What is wrong with a row as a whole, blamed on a column."""

    condition: pl.Expr
    column: str
    problem: str
    fix: str


def left_out(entity: Entity) -> Iterator[tuple[str, pl.Expr]]:
    """Rows that are there and do not count: why, and which. Cells are text yet."""
    columns = GENERIC[entity]
    if "is_deleted" in columns:
        yield "that say they are deleted", pl.col("is_deleted").str.to_lowercase().is_in(["1", "true", "yes"])
    if "field" in columns:
        is_stage = pl.col("field").str.to_lowercase().is_in(_STAGE_FIELDS)
        yield "that tell of other fields than the stage", pl.col("field").is_not_null() & ~is_stage


def with_whole_cells(text: pl.DataFrame, entity: Entity) -> pl.DataFrame:
    """Cells that are one thing in two columns, put together."""
    if entity is Entity.CONTACTS:
        parts = pl.concat_str("first_name", "last_name", separator=" ", ignore_nulls=True)
        whole = pl.when(parts.str.len_bytes() > 0).then(parts)
        return text.with_columns(pl.coalesce("name", whole).alias("name"))
    if entity is Entity.COMPANIES:
        return text.with_columns(pl.col("domain").str.replace(r"^https?://", "").str.replace(r"/.*$", ""))
    if entity is Entity.ACTIVITIES:
        return text.with_columns(pl.col("kind", "direction").str.to_lowercase())
    if entity is Entity.NOTES:
        return text.with_columns(pl.lit("note").alias("kind"))
    return text


def with_whole_values(
    values: pl.DataFrame, text: pl.DataFrame, entity: Entity, rules: ReadingRules
) -> tuple[pl.DataFrame, list[str]]:
    """Money, a deal's status and when it closed, phone numbers; and what had to be guessed."""
    if entity is Entity.CONTACTS:
        return _with_phones(values, rules)
    if entity is Entity.DEALS:
        values = _with_closing(values, rules)
    money = _money_column(entity)
    return _with_money(values, text, rules, column=money) if money is not None else (values, [])


def with_currencies(
    values: pl.DataFrame, text: pl.DataFrame, custom: Sequence[CustomColumn], rules: ReadingRules
) -> pl.DataFrame:
    """In which currency amounts of custom fields are, where a sign says so; the sign itself where it says none."""
    amounts = [one for one in custom if one.column.kind is ValueKind.AMOUNT]
    nothing = pl.lit(None, pl.String)
    return values.with_columns(
        text.select(pl.coalesce(currency_of(sign, nothing, rules.currency), sign).alias(one.currency)).to_series()
        for one in amounts
        for sign in [sign_of(pl.col(one.name))]
    )


def _money_column(entity: Entity) -> str | None:
    return next((name for name, column in GENERIC[entity].items() if column.kind is ValueKind.AMOUNT), None)


def _with_phones(values: pl.DataFrame, rules: ReadingRules) -> tuple[pl.DataFrame, list[str]]:
    """Phone numbers as E.164; one that cannot be read so stays as it is written, for nobody else knows it."""
    region = phones.region_of(rules.time_zone)
    read: dict[str, str] = {}
    kept: list[str] = []
    for written in values["phone"].drop_nulls().unique(maintain_order=True):
        try:
            read[written] = phones.e164(written, region)
        except phones.BadPhoneError as error:
            kept.append(f"Phone numbers such as {written!r} stay as they are written. {error}")
    return values.with_columns(pl.col("phone").replace(read)), kept[:1]


def _with_closing(values: pl.DataFrame, rules: ReadingRules) -> pl.DataFrame:
    flags = (
        pl.when("is_won").then(pl.lit("won")).when("is_closed").then(pl.lit("lost")).when(~pl.col("is_closed"))
    ).then(pl.lit("open"))
    values = values.with_columns(pl.coalesce("status", flags).alias("status"))
    at = pl.when(pl.col("status") == "won").then("won_at").when(pl.col("status") == "lost").then("lost_at")
    either = pl.when(pl.col("status").is_null()).then(pl.coalesce("won_at", "lost_at"))
    starts = to_utc(pl.col("close_date").cast(pl.Datetime("us")), rules.time_zone)
    return values.with_columns(
        pl.coalesce("closed_at", at, either).alias("closed_at"),
        pl.coalesce("closed_at", at).alias("closed_at_said"),
        starts.alias("close_date_starts_at"),
    )


def _with_money(
    values: pl.DataFrame, text: pl.DataFrame, rules: ReadingRules, *, column: str
) -> tuple[pl.DataFrame, list[str]]:
    signed = values.with_columns(text.select(sign_of(pl.col(column)).alias(_SIGN)).to_series())
    told = currency_of(pl.col(_SIGN), pl.col("currency"), rules.currency)
    known = signed.with_columns(pl.col("currency").alias("_given"), told.alias("currency"))
    known = known.with_columns(pl.col("currency").fill_null(rules.currency).alias("_currency"))
    is_foreign = pl.col("_given").is_null() & (pl.col("currency") != rules.currency)
    is_guess = pl.col(_SIGN).is_in(["$", "¥", "￥"]) & is_foreign
    pairs = known.filter(is_guess.fill_null(value=False)).select(_SIGN, "currency").unique().iter_rows()
    why = "the option currency or a column currency says otherwise"
    guesses = [f"{sign} is read as {code} ({why})." for sign, code in pairs]
    return known.with_columns(minor_units(column, "_currency").alias(f"{column}_minor")).drop("_currency"), guesses


def row_faults(entity: Entity) -> list[Fault]:
    """What can be wrong with a row although each of its cells is fine."""
    faults = list(_FAULTS.get(entity, ()))
    money = _money_column(entity)
    return faults + _money_faults(money) if money is not None else faults


def _money_faults(column: str) -> list[Fault]:
    sign = pl.col(_SIGN)
    is_signed = pl.col(column).is_not_null() & sign.is_not_null()
    return [
        Fault(
            is_signed & meant_by(sign).is_null(),
            column,
            "This is no amount: what stands beside the number is no currency.",
            "Write the number alone, and the currency into a column of its own.",
        ),
        Fault(
            is_signed & meant_by(sign).is_not_null() & pl.col("currency").is_null(),
            column,
            "Several currencies are written so.",
            "Give the currency as a code, in a column of its own.",
        ),
        Fault(
            is_signed & ~meant_by(sign).str.contains(pl.col("currency"), literal=True),
            column,
            "The amount's sign and the currency of the row contradict each other.",
            "Correct one of them.",
        ),
        Fault(pl.col(f"{column}_minor").abs() > LARGEST_AMOUNT_MINOR, column, "The amount is too large.", "Check it."),
    ]


_FAULTS: dict[Entity, tuple[Fault, ...]] = {
    Entity.ACTIVITIES: (
        Fault(
            ~pl.col("kind").is_in(["note", "call", "meeting"]),
            "kind",
            "There is no such kind of activity.",
            "Write note, call or meeting.",
        ),
        Fault(
            ~pl.col("direction").is_in(["in", "out"]),
            "direction",
            "A call comes in or goes out.",
            "Write in or out, or leave it empty.",
        ),
        Fault(pl.col("duration_seconds") < 0, "duration_seconds", "Nothing takes less than no time.", "Correct it."),
    ),
    Entity.USERS: (
        Fault(
            pl.col("email").is_null() & pl.col("name").is_null(),
            "email",
            "The row has neither an e-mail address nor a name.",
            "Give one of them.",
        ),
    ),
    Entity.DEALS: (
        Fault(
            pl.col("closed_at") < pl.col("created_at"),
            "closed_at",
            "The deal is closed before it is created.",
            "Check created_at and closed_at.",
        ),
        Fault(
            (pl.col("status") == "open") & pl.col("closed_at").is_not_null(),
            "status",
            "The deal is open, and closed_at says when it was closed.",
            "Correct one of them.",
        ),
        Fault(
            pl.col("is_won") & ~pl.col("is_closed"),
            "is_won",
            "The deal is won, and is_closed says that it is not closed.",
            "Correct one of them.",
        ),
    ),
}


def with_keys(values: pl.DataFrame, entity: Entity) -> pl.DataFrame:
    """Rows with what makes two of a file speak of the same thing."""
    key = pl.col("deal_external_id") if entity in GROUPED else _key_of(entity)
    return values.with_columns(key.alias(KEY))


def _key_of(entity: Entity) -> pl.Expr:
    if entity in DOINGS:
        said = [pl.col(name).cast(pl.String) for name in GENERIC[entity] if name not in ("external_id", "is_deleted")]
        return _either(pl.col("external_id"), pl.concat_str(said, separator=_BETWEEN, ignore_nulls=True))
    if entity is Entity.PIPELINES:
        return pl.concat_str(_lower("pipeline"), pl.lit(_BETWEEN), _lower("stage"))
    if entity is Entity.CONTACTS:
        company = pl.coalesce("company_external_id", _lower("company")).fill_null("")
        named = pl.concat_str(_lower("name"), pl.lit(_BETWEEN), company)
        return _either(pl.col("external_id"), pl.col("email"), named)
    named_by = {Entity.USERS: pl.col("email"), Entity.PRODUCTS: _lower("code"), Entity.COMPANIES: pl.col("external_id")}
    return _either(named_by[entity], _lower("name")) if entity in named_by else pl.col("external_id")


def _lower(name: str) -> pl.Expr:
    return pl.col(name).str.to_lowercase()


def _either(*keys: pl.Expr) -> pl.Expr:
    return pl.coalesce(
        pl.when(key.is_not_null()).then(pl.concat_str(pl.lit(f"{n}:"), key)) for n, key in enumerate(keys)
    )
