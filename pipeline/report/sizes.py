"""The report's part on sizes and shapes: the plots of the distribution, and summary.csv."""

from collections.abc import Callable
from pathlib import Path

from pipeline.particles.size_distribution import STATISTICS
from pipeline.report.parts import number, plot, section, table, words
from pipeline.report.pictures import png_uri

DEFINITIONS = """<p class="note">Equivalent diameter: of the circle with the particle's area. Feret
diameters: the smallest and the largest distance of two parallel lines that hold the particle
between them (ISO 13322-1). By number every particle counts alike; by surface and by volume it
counts with those of the sphere of its equivalent diameter. D10, D50, D90: sizes below which 10, 50
and 90 % of the particles lie, by volume 10, 50 and 90 % of their volume. D[1,0], D[3,2] (Sauter),
D[4,3]: the mean diameters by number, surface and volume. Span: (D90 - D10) / D50. sd: standard
deviation; the geometric one is a factor. Below each value, its 95 % confidence interval (bootstrap
over images, of fewer than 8 over their particles too: what their finite number leaves open, not
what the pixel size, imaging or segmentation get wrong; by volume and of standard deviations, with
few images that differ, rather one of 75 to 90 %, of the standard deviation by volume of 60 %, and
far less where a few large particles have much of the volume). Aspect ratio: smallest over largest
Feret diameter. Circularity: 4 pi area / perimeter². Convexity: area over that of the convex hull. A
particle's pixels share edges: what touches across a corner alone is two. By area: the particles of
all images over the area of all.</p>"""

BORDER_CORRECTION = """<p class="note">Particles cut by the image's edge are left out, large ones
more often than small ones. So each that is not cut stands for those of its size that are, too, and
counts more than once (ISO 13322-1, after Miles and Lantuéjoul; inclusion_weight in particles.csv).
n is the number that was measured.</p>"""


def size_section(run_folder: Path, summary: list[dict[str, str]], unit: str) -> tuple[str, str]:
    """Return the section with the plots in the folder, and the rows of summary.csv."""
    plots = _distribution(run_folder, summary, unit)
    return section("Size distribution", plots, _summary(summary))


def _distribution(run_folder: Path, summary: list[dict], unit: str) -> str:
    plots = [
        plot(png_uri(path.read_bytes()), _in_words(path.stem, summary, unit))
        for path in sorted(run_folder.glob("size_distribution_by_*.png"))
    ]
    return f'<div class="pair">{"".join(plots)}</div>' if plots else ""


def _in_words(stem: str, summary: list[dict], unit: str) -> str:
    """Return what a plot of this name shows, for those who do not see it."""
    weighting = stem.rsplit("_", 1)[-1]
    row = next((row for row in summary if row["weighting"] == weighting), None)
    names = ("D10", "D50", "D90")
    sizes = [f"{name} {number(row[name])} {unit}" for name in names if row and row[name]]
    return ", ".join([stem.replace("_", " "), *sizes])


def _summary(summary: list[dict]) -> str:
    """Return the tables of summary.csv: with the border correction, and without if it differs."""

    def corrected(row: dict, name: str) -> str:
        low, high = row[f"{name}_ci_low"], row[f"{name}_ci_high"]
        notes = [row["mean_is"]] if name == "mean" else []
        notes += [f"{number(low)} – {number(high)}"] if low else []
        return number(row[name]) + "".join(f"<small>{note}</small>" for note in notes if note)

    def uncorrected(row: dict, name: str) -> str:
        return number(row[f"{name}_uncorrected"])

    sizes = _summary_table(summary, corrected) + DEFINITIONS
    if all(row[name] == row[f"{name}_uncorrected"] for row in summary for name in STATISTICS):
        return sizes
    return (
        f"{sizes}{BORDER_CORRECTION}<h3>Without the border correction</h3>"
        f"{_summary_table(summary, uncorrected)}"
    )


def _summary_table(summary: list[dict], cell: Callable[[dict, str], str]) -> str:
    names = sorted(STATISTICS, key=lambda name: not name.startswith("D"))  # D10, D50, D90 first
    return table(
        ["quantity", "by", "n", *map(words, names)],
        [
            [words(row["quantity"]), row["weighting"], row["n"], *(cell(row, one) for one in names)]
            for row in summary
        ],
    )
