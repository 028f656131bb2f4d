"""Tables: for people at a terminal, for pipes, and as CSV. And the folders that results go to."""

import csv
import sys
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path

from eventzoo.errors import EventZooError


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], closing: int = 0, text: int = 1) -> None:
    """Print a table: drawn on a terminal, else in columns of spaces.

    Args:
        title: What it shows.
        columns: Names of the columns.
        rows: Their texts.
        closing: The last so many rows stand apart from the others.
        text: The first so many columns are text, the others are numbers.
    """
    if sys.stdout.isatty():
        _draw(title, columns, rows, closing, text)
        return
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    print(title)
    for row in (columns, *rows):
        cells = (
            cell.ljust(width) if number < text else cell.rjust(width) for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join(cells).rstrip())


def _draw(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], closing: int, text: int) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    console.print(title, style="bold", markup=False)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number < text else "right", no_wrap=not 0 < number < text)
    for number, row in enumerate(rows):
        if closing and number == len(rows) - closing:
            table.add_section()
        table.add_row(*row)
    console.print(table)


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table to a file.

    Raises:
        EventZooError: The file cannot be written.
    """
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(rows)
    except OSError as error:
        raise EventZooError(f"{path} cannot be written: {error.strerror}") from error
    print(f"table: {path}")


def check_outputs(csv_file: Path | None, plot: Path | None) -> None:
    """Refuse, before the work, what could only fail after it.

    Raises:
        EventZooError: A file's folder is not there, or matplotlib is not installed.
    """
    for path in (csv_file, plot):
        if path is not None and not path.absolute().parent.is_dir():
            raise EventZooError(f"{path} cannot be written: there is no folder {path.parent}")
    if plot is not None:
        if plot.suffix.lower() not in (".png", ".svg", ".pdf"):
            raise EventZooError(f"{plot} must end in .png, .svg or .pdf, so that it is clear what to draw")
        if find_spec("matplotlib") is None:
            raise EventZooError("--plot needs matplotlib: pip install eventzoo[viz]")
