"""The tables and plots of a run; the unit is in the name of every column."""

from pathlib import Path

import numpy as np

from pipeline.csv_tables import write_table
from pipeline.image_files import whole_file
from pipeline.particle_shapes import COLUMNS
from pipeline.size_distribution import WEIGHTING_POWERS, plot_size_distribution, summarise

SUMMARISED = ("equivalent_diameter", "min_feret_diameter", "max_feret_diameter")
FIGURE_DPI = 200
SUFFIXES = {"length": "_{unit}", "area": "_{unit}2", "pixel": "_px", "degree": "_deg", "": ""}


def column_name(quantity: str, unit: str) -> str:
    """Return a quantity's column name: ``area`` in "nm" is ``area_nm2``."""
    return quantity + SUFFIXES[COLUMNS[quantity]].format(unit=unit)


def write_result_tables(
    run_folder: Path,
    image_rows: list[dict[str, object]],
    particles: dict[str, np.ndarray],
    unit: str,
    seed: int,
) -> None:
    """Write particles.csv, images.csv, summary.csv and the plots of the size distribution.

    ``image_rows``: a row an image, all with the same columns; ``particles``: `COLUMNS` and
    ``image``, the file's name, of all particles; ``seed``: of the bootstrap.
    """
    write_table(
        run_folder / "particles.csv",
        ["image", *(column_name(name, unit) for name in COLUMNS)],
        zip(*(particles[name] for name in ("image", *COLUMNS)), strict=True),
    )
    write_table(
        run_folder / "images.csv", image_rows[0], (tuple(row.values()) for row in image_rows)
    )
    diameter = particles["equivalent_diameter"]
    quantities = {name: particles[name] for name in SUMMARISED}
    summary = summarise(quantities, diameter, particles["image"], seed)
    statistics = [name for name in summary[0] if name not in ("quantity", "weighting", "n")]
    write_table(
        run_folder / "summary.csv",
        ["quantity", "weighting", "n", *(f"{name}_{unit}" for name in statistics)],
        (tuple(row.values()) for row in summary),
    )
    for weighting in WEIGHTING_POWERS:
        figure = plot_size_distribution(diameter, weighting, summary, unit)
        for ending in ("png", "pdf"):
            path = run_folder / f"size_distribution_by_{weighting}.{ending}"
            with whole_file(path) as temporary:
                figure.savefig(temporary, format=ending, dpi=FIGURE_DPI)
