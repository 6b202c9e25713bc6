"""Progress bars: one for each thing that is being done."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

Advance = Callable[[str, int, int], None]


@contextmanager
def bars(console: Console, *, counted: bool = True) -> Iterator[Advance]:
    """Shows `advance(what, done, total)`: as numbers where they are `counted`, else as a share."""
    number = MofNCompleteColumn() if counted else TextColumn("{task.percentage:.0f} %")
    with Progress(TextColumn("{task.description}"), BarColumn(), number, TimeElapsedColumn(), console=console) as shown:
        tasks: dict[str, TaskID] = {}

        def advance(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = shown.add_task(what)
            shown.update(tasks[what], completed=done, total=total)

        yield advance
