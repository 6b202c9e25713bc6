"""The few places where DuckDB and PostgreSQL say the same thing differently. All else compiles to one SQL text."""

from dataclasses import dataclass

#: Microseconds of a day.
DAY = 86_400_000_000


@dataclass(frozen=True)
class Dialect:
    """One engine's spelling."""

    name: str
    schema: str
    placeholder: str
    microseconds: str
    #: Type of sums of amounts: many large ones do not fit into 64 bits.
    wide_integer: str
    #: Division of whole numbers, towards zero.
    division: str
    #: Of a list's elements, called `e`, those that fulfil a condition.
    counting: str

    def bound(self, name: str) -> str:
        """How a statement refers to the bound parameter `name`."""
        return self.placeholder.format(name=name)

    def divided(self, part: str, whole: str) -> str:
        """The whole quotient of two integer expressions, without its remainder."""
        return self.division.format(part=part, whole=whole)

    def count_of(self, elements: str, condition: str) -> str:
        """How many elements `e` of a list fulfil a condition."""
        return self.counting.format(elements=elements, condition=condition)

    def microseconds_between(self, start: str, end: str) -> str:
        """Whole microseconds from one timestamptz expression to another."""
        return self.microseconds.format(start=start, end=end)


DUCKDB = Dialect(
    name="duckdb",
    schema="main",
    placeholder="${name}",
    microseconds="(epoch_us({end}) - epoch_us({start}))",
    wide_integer="hugeint",
    division="({part} // {whole})",
    counting="len(list_filter({elements}, lambda e: {condition}))",
)

POSTGRES = Dialect(
    name="postgres",
    schema="published",
    placeholder="%({name})s",
    microseconds="cast(extract(epoch from ({end} - {start})) * 1000000 as bigint)",
    wide_integer="numeric(38, 0)",
    division="div({part}, {whole})",
    counting="(select count(*) from unnest({elements}) as each(e) where {condition})",
)
