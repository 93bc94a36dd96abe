"""The tables and plots of a run; the unit is in the name of every column or quantity."""

from pathlib import Path

import matplotlib
import numpy as np

from pipeline.files.csv_tables import write_rows, write_table
from pipeline.files.whole_files import whole_file
from pipeline.particles.number_density import number_density
from pipeline.particles.quantities import COLUMNS, column_name
from pipeline.particles.size_distribution import summarise
from pipeline.results.size_plots import COLOURS, plot_size_distribution

# What summary.csv has rows of, and by what the particles count in them.
SUMMARISED = {
    "equivalent_diameter": ("number", "surface", "volume"),
    "min_feret_diameter": ("number", "volume"),
    "max_feret_diameter": ("number", "volume"),
    "aspect_ratio": ("number",),
    "circularity": ("number",),
    "convexity": ("number",),
}
FIGURE_DPI = 200
# The unit of areas on which particles are counted, by the unit of their sizes.
FIELD_UNITS = {"nm": "um2", "px": "px2"}


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
    write_rows(run_folder / "images.csv", image_rows)
    summary = summarise(SUMMARISED, particles, seed)
    rows = [row | {"quantity": column_name(row["quantity"], unit)} for row in summary]
    rows.append(_number_density_row(image_rows, particles, unit, seed))
    write_rows(run_folder / "summary.csv", rows)
    for weighting in COLOURS:
        figure = plot_size_distribution(particles, weighting, summary, unit)
        for ending in ("png", "pdf"):
            path = run_folder / f"size_distribution_by_{weighting}.{ending}"
            # Letters as TrueType: some journals refuse matplotlib's own kind (Type 3).
            with whole_file(path) as temporary, matplotlib.rc_context({"pdf.fonttype": 42}):
                figure.savefig(temporary, format=ending, dpi=FIGURE_DPI)


def _number_density_row(
    image_rows: list[dict[str, object]], particles: dict[str, np.ndarray], unit: str, seed: int
) -> dict[str, object]:
    """Return the row of summary.csv with the number of particles per area."""
    field = FIELD_UNITS[unit]
    counted = np.array([row["particles_measured"] for row in image_rows])
    areas = np.array([row[f"field_area_{field}"] for row in image_rows], float)
    names, of_particle = np.unique(particles["image"], return_inverse=True)
    sums = np.bincount(of_particle, particles["inclusion_weight"], minlength=len(names))
    in_image = dict(zip(names, sums, strict=True))
    weights = np.array([in_image.get(row["image"], 0.0) for row in image_rows])
    mean, low, high = number_density(counted, weights, areas, seed)
    uncorrected = counted.sum() / areas.sum()
    if not counted.any() and any(row["particles_found"] for row in image_rows):
        mean = uncorrected = np.nan  # all were left out, so that it is not known
    return {
        "quantity": f"particles_per_{field}",
        "weighting": "area",
        "n": counted.sum(),
        "mean": mean,
        "mean_ci_low": low,
        "mean_ci_high": high,
        "mean_uncorrected": uncorrected,
    }
