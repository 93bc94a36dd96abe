"""Tables as CSV files, written whole or not at all."""

import csv
import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from pipeline.files.whole_files import whole_file


def write_table(path: Path, header: Iterable[str], rows: Iterable[Iterable]) -> None:
    """Write a CSV file: numbers with six significant digits, NaN as an empty cell.

    From 100,000 on numbers have one digit after the point, as no one wants them as powers of ten.
    """
    with whole_file(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows([_cell(value) for value in row] for row in rows)


def write_rows(path: Path, rows: list[dict]) -> None:
    """Write rows, each by column name, as `write_table` does; the first has all columns."""
    write_table(path, rows[0], ([row.get(name) for name in rows[0]] for row in rows))


def read_table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file by column name; an empty list where there is no file.

    What rows have beyond the last column, as where another program wrote decimal commas, is left.
    """
    if not path.is_file():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row.pop(None, None)
    return rows


def column_of_numbers(rows: list[dict[str, str]], name: str) -> np.ndarray:
    """Return a column of what `read_table` gave, float (n,): NaN where a cell is no number, or
    missing, as where another program has saved the file in its own way."""

    def number(text: str | None) -> float:
        try:
            return float(text or "nan")
        except ValueError:
            return np.nan

    return np.array([number(row.get(name)) for row in rows])


def _cell(value) -> str:
    if value is None or (isinstance(value, float | np.floating) and math.isnan(value)):
        return ""
    if isinstance(value, bool | np.bool_):
        return str(int(value))
    if isinstance(value, float | np.floating):
        return f"{value:.6g}" if abs(value) < 1e5 else f"{value:.1f}"
    return str(value)
