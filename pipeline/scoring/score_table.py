"""The table of scores: over all images and of each, as rows, as CSV and on the screen."""

import logging
from pathlib import Path

import numpy as np

from pipeline.files.csv_tables import write_rows
from pipeline.scoring.error_kinds import KINDS
from pipeline.scoring.scores import compute_scores, pool
from pipeline.wording import counted

logger = logging.getLogger(__name__)

# The mask file: what a user gets, with the threshold of step 6b (Otsu, unless set otherwise).
AS_SAVED = "as saved"
ALL_IMAGES = "all images"
MEAN_OVER_IMAGES = "mean over images"

TABLE = {
    "iou": "IoU",
    "instance_iou": "inst.IoU",
    "instance_iou_above_9_px": "> 9 px",
    "youden": "Youden",
    "ap_50": "AP50",
    "ap_50_95": "AP50-95",
    "f1": "F1",
    "panoptic_quality": "PQ",
    "aggregated_jaccard_index": "AJI",
    "number_ratio": "n/n true",
    "d10_error": "D10 err.",
    "d50_error": "D50 err.",
    "d90_error": "D90 err.",
}
# What is to be said beside the best of the thresholds.
SWEEP = (
    "at the thresholds particles are split by the distance-map watershed; with "
    'UNET_TARGET = "instances" the masks as saved are not'
)
BEST_BY = ("iou", "instance_iou", "youden", "ap_50")


def score_rows(comparisons: dict[str, dict[str, dict]]) -> list[dict]:
    """Return the rows of scores.csv: first those over all images, then those of each image.

    Parameters
    ----------
    comparisons : by image (stem) and segmentation ("as saved", "threshold 0.5") what
        `compare_masks` returned; each image has the same segmentations.

    Returns
    -------
    Rows with ``image`` (a stem, "all images" or "mean over images"), ``segmentation`` and the
    scores of `compute_scores`. "all images" is the figure to quote: every pixel and every
    particle counts alike, wherever it is; in the mean, one of an image with few particles
    weighs more.
    """
    segmentations = list(next(iter(comparisons.values())))
    of_images = [
        {"image": image, "segmentation": segmentation, **compute_scores(comparison)}
        for image, compared in comparisons.items()
        for segmentation, comparison in compared.items()
    ]
    pooled, means = [], []
    for segmentation in segmentations:
        over_all = compute_scores(pool(compared[segmentation] for compared in comparisons.values()))
        pooled.append({"image": ALL_IMAGES, "segmentation": segmentation, **over_all})
        rows = [row for row in of_images if row["segmentation"] == segmentation]
        mean = {score: _mean_of_known([row[score] for row in rows]) for score in over_all}
        means.append({"image": MEAN_OVER_IMAGES, "segmentation": segmentation, **mean})
    return pooled + means + of_images


def _mean_of_known(values: list[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else np.nan


def best_thresholds(rows: list[dict]) -> dict[str, tuple[str, float]]:
    """Return, for some scores over all images, the best threshold's name and score there."""
    rows = [row for row in rows if row["image"] == ALL_IMAGES and row["segmentation"] != AS_SAVED]
    best = {}
    for score in BEST_BY if rows else ():
        known = [row for row in rows if not np.isnan(row[score])]
        if known:
            row = max(known, key=lambda row: row[score])
            best[score] = (row["segmentation"], row[score])
    return best


def write_scores(path: Path, rows: list[dict]) -> None:
    """Write rows of scores as CSV; an undefined score is an empty cell."""
    write_rows(path, rows)
    logger.info("scores written to %s", path)


def describe_errors(row: dict) -> str:
    """Return in a sentence what became of the true particles, from a row of scores."""
    fates = ", ".join(f"{int(row[f'n_{kind}'])} {kind}" for kind in KINDS)
    return (
        f"of {int(row['n_true'])} true particles {fates}; {int(row['n_invented'])} of "
        f"{int(row['n_predicted'])} predicted ones invented"
    )


def log_scores(rows: list[dict]) -> None:
    """Log the scores over all images as a table, a line for each segmentation."""
    overall = [row for row in rows if row["image"] == ALL_IMAGES]
    n_images = len({row["image"] for row in rows} - {ALL_IMAGES, MEAN_OVER_IMAGES})
    images = counted(n_images, "image")
    logger.info("Scores over %s with a true mask:", images if n_images == 1 else f"all {images}")
    logger.info("%s", f"{'':14}" + "".join(f"{name:>9}" for name in TABLE.values()))
    for row in overall:
        scores = "".join(f"{row[score]:9.3f}" for score in TABLE)
        logger.info("%s", f"{row['segmentation']:14}" + scores)
    logger.info("masks as saved: %s", describe_errors(overall[0]))
    ratio = overall[0]["number_ratio_above_9_px"]
    logger.info("of particles above 9 px, as D10 to D90 are: n/n true %.3f", ratio)
    best = best_thresholds(rows)
    if best:
        logger.info("%s:", SWEEP)
    for score, (segmentation, value) in best.items():
        logger.info("best %s: %.3f at %s", TABLE[score], value, segmentation)
