"""The report's part on scores: those of the masks as saved, and those of each threshold."""

import math
from html import escape
from pathlib import Path

from pipeline.files.csv_tables import read_table
from pipeline.report.parts import numbers, section, table
from pipeline.scoring.score_table import (
    ALL_IMAGES,
    AS_SAVED,
    SWEEP,
    TABLE,
    best_thresholds,
    describe_errors,
)

DEFINITIONS = """<p class="note">IoU, Youden: of all pixels. inst.IoU, and of more than 9 pixels:
mean over the predicted contours of the best IoU with any true one, as published. AP50 to n/n true:
of particles, those found and those missed. D10, D50, D90 err.: relative errors of the equivalent
diameter by number, of all particles of more than 9 pixels, those at the image's edge too, without a
border correction and the lines between touching ones (so not quite the sizes above). A true
particle is found if the IoU with a predicted one is above 0.5; missed if half of it or more is
taken for background; merged if it lies in a predicted one together with another; split if two or
more lie in it; else misshapen. A predicted one is invented if half of it or more lies on
background. More scores, and each image at each threshold: scores.csv.</p>"""


def score_section(run_folder: Path) -> tuple[str, str]:
    """Return the section with the scores in scores.csv; empty where there is none."""
    rows = read_table(run_folder / "scores.csv")
    if not rows:
        return section("Scores")
    saved = [row for row in rows if row["segmentation"] == AS_SAVED]
    thresholds = [
        row for row in rows if row["image"] == ALL_IMAGES and row["segmentation"] != AS_SAVED
    ]
    content = [
        _score_table(saved, "image"),
        f"<p>Masks as saved: {escape(describe_errors(saved[0]))}.</p>",
    ]
    if thresholds:
        content += [
            "<h3>All images, by threshold of the probability</h3>",
            _score_table(thresholds, "segmentation"),
            _best(thresholds),
        ]
    return section("Scores", *content, DEFINITIONS)


def _score_table(rows: list[dict[str, str]], first: str) -> str:
    """Return the scores that fit on a sheet of paper, behind the column ``first``."""
    shown = [first, *TABLE]
    columns = [numbers([row[name] or "" for row in rows]) for name in shown]
    header = [escape(TABLE.get(name, name)) for name in shown]
    return table(header, zip(*columns, strict=True))


def _best(thresholds: list[dict[str, str]]) -> str:
    """Return a sentence with the best threshold of some scores."""
    best = best_thresholds(
        [row | {name: float(row[name] or math.nan) for name in TABLE} for row in thresholds]
    )
    named = ", ".join(
        f"{escape(TABLE[score])} {value:.3f} at {escape(segmentation)}"
        for score, (segmentation, value) in best.items()
    )
    return f'<p class="note">Best: {named} ({escape(SWEEP)}).</p>' if named else ""
