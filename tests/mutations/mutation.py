"""What a mutation is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Edit:
    """One replacement in one file of the tree."""

    path: str
    before: str
    after: str


@dataclass(frozen=True)
class Mutation:
    """A break of one guarantee. `tests` are pytest node ids; at least one of them must fail."""

    name: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]

    def __str__(self) -> str:
        return self.name
