"""How well a predicted mask agrees with the true one: by pixels, particles, numbers and sizes.

`compare_masks` takes from two masks all that the scores need; `pool` joins this for many images, as
if they were one large one; `compute_scores` turns it, of one image or many, into numbers.
"""

from collections.abc import Iterable

import cv2
import numpy as np
from skimage.segmentation import relabel_sequential

from pipeline.particle_masks import fill_holes, label_particles
from pipeline.scoring.error_kinds import KINDS, fates_of_true_particles, invented_particles
from simulate.outlines import fill_from_corner

# Smaller specks do not count as contours or particles where a score says "above 9 px".
SPECK_AREA = 9
AP_THRESHOLDS = np.arange(50, 100, 5) / 100
DIAMETER_PERCENTILES = (10, 50, 90)
SIDES = ("predicted", "true")

# Those who outline particles run a few rows into the info bar. More than this share of the true
# particles' pixels is never cut off silently.
MAX_CUT_SHARE = 0.01


def crop_to_common_rows(predicted: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return two masks or label maps (height, width), cropped to the rows both have from the top.

    Raises
    ------
    ValueError
        If the widths differ, or if more than 1 % of the true pixels would be cut off.
    """
    sizes = f"{predicted.shape[0]} x {predicted.shape[1]} against {true.shape[0]} x {true.shape[1]}"
    if predicted.shape[1] != true.shape[1]:
        raise ValueError(
            f"the predicted and the true mask differ in width ({sizes}, height x width); only rows "
            f"at the bottom may be missing. Give both masks the same scale and crop."
        )
    rows = min(len(predicted), len(true))
    cut, total = np.count_nonzero(true[rows:]), np.count_nonzero(true)
    if cut > MAX_CUT_SHARE * total:
        raise ValueError(
            f"the predicted and the true mask differ in height ({sizes}, height x width), and "
            f"{cut} of {total} true pixels are below row {rows}, where nothing was predicted; at "
            f"most {MAX_CUT_SHARE:.0%} may be. Give both masks the same crop."
        )
    return predicted[:rows], true[:rows]


def compare_masks(predicted: np.ndarray, true: np.ndarray) -> dict[str, np.ndarray]:
    """Return what two masks have in common, in a form that `pool` and `compute_scores` take.

    Parameters
    ----------
    predicted, true : (height, width): bool, a mask, whose pixels are of one particle if they share
        an edge (4-connected); or integers, a label map: 0 the background, each particle its number.

    Returns
    -------
    pixels : (1, 4), the number of true positive, false positive, false negative and true negative
        pixels.
    predicted_areas, true_areas : of the particles, in pixels.
    matched_ious : of the pairs of particles whose IoU is above 0.5; above it no particle can have
        two partners, so no assignment is to be solved.
    jaccard_intersections, jaccard_unions : terms of the aggregated Jaccard index.
    true_fates : of the true particles, what became of them, an index into `KINDS`.
    invented : of the predicted particles, whether they lie on background.
    contour_areas, contour_ious : of the predicted contours, the area in pixels and the highest IoU
        with any true contour.
    """
    predicted_labels, true_labels = _particles(predicted), _particles(true)
    predicted_areas, true_areas, overlaps = _overlaps(predicted_labels, true_labels)
    n_predicted, n_true = predicted_areas.sum(), true_areas.sum()
    both = np.count_nonzero((predicted_labels > 0) & (true_labels > 0))
    pixels = (both, n_predicted - both, n_true - both, true.size - n_predicted - n_true + both)
    intersections, unions = _jaccard_terms(predicted_areas, true_areas, overlaps)
    contour_areas, _, contour_overlaps = _overlaps(_contours(predicted), _contours(true))
    contour_ious = np.zeros(len(contour_areas))
    np.maximum.at(contour_ious, contour_overlaps["predicted"], contour_overlaps["iou"])
    return {
        "pixels": np.array([pixels]),
        "predicted_areas": predicted_areas,
        "true_areas": true_areas,
        "matched_ious": overlaps["iou"][overlaps["iou"] > 0.5],
        "jaccard_intersections": intersections,
        "jaccard_unions": unions,
        "true_fates": fates_of_true_particles(predicted_areas, true_areas, overlaps),
        "invented": invented_particles(predicted_areas, overlaps),
        "contour_areas": contour_areas,
        "contour_ious": contour_ious,
    }


def pool(comparisons: Iterable[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return the comparisons of several images as one: each pixel and particle counts alike."""
    comparisons = list(comparisons)
    return {key: np.concatenate([one[key] for one in comparisons]) for key in comparisons[0]}


def compute_scores(comparison: dict[str, np.ndarray]) -> dict[str, float]:
    """Return all scores of one image (`compare_masks`) or of many (`pool`).

    Shares are 0 to 1, diameters in pixels, errors relative to the truth (-0.1: 10 % too small).
    Where neither mask has a particle, scores of agreement are 1; what is undefined is NaN.

    Source: average precision TP / (TP + FP + FN) as in Schmidt et al., MICCAI (2018); panoptic
    quality: Kirillov et al., CVPR (2019), eq. 1; aggregated Jaccard index: Kumar et al., IEEE TMI
    36 (2017), algorithm 1; instance IoU: Ruehle et al., Sci. Rep. 11 (2021), 4942.
    """
    matched = comparison["matched_ious"]
    n_predicted, n_true = len(comparison["predicted_areas"]), len(comparison["true_areas"])
    n_both = n_predicted + n_true
    # Strictly above 0.5 (see compare_masks), at or above the higher thresholds.
    found = np.array([np.count_nonzero(matched >= threshold) for threshold in AP_THRESHOLDS])
    average_precisions = [_ratio(n, n_both - n, 1.0) for n in found]
    jaccard = comparison["jaccard_intersections"].sum(), comparison["jaccard_unions"].sum()
    fates = np.bincount(comparison["true_fates"], minlength=len(KINDS))
    contour_ious = comparison["contour_ious"]
    without_specks = contour_ious[comparison["contour_areas"] > SPECK_AREA]
    only_specks_true = not np.any(comparison["true_areas"] > SPECK_AREA)
    return {
        **_pixel_scores(*comparison["pixels"].sum(axis=0)),
        "instance_iou": _ratio(contour_ious.sum(), contour_ious.size, float(n_true == 0)),
        "instance_iou_above_9_px": _ratio(
            without_specks.sum(), without_specks.size, float(only_specks_true)
        ),
        "ap_50": average_precisions[0],
        "ap_50_95": float(np.mean(average_precisions)),
        "precision": _ratio(len(matched), n_predicted, float(n_true == 0)),
        "recall": _ratio(len(matched), n_true, float(n_predicted == 0)),
        "f1": _ratio(2 * len(matched), n_both, 1.0),
        "panoptic_quality": _ratio(2 * matched.sum(), n_both, 1.0),
        "aggregated_jaccard_index": _ratio(*jaccard, 1.0),
        "n_predicted": n_predicted,
        "n_true": n_true,
        "number_ratio": _number_ratio(n_predicted, n_true),
        "number_ratio_above_9_px": _number_ratio(
            *(np.count_nonzero(comparison[f"{side}_areas"] > SPECK_AREA) for side in SIDES)
        ),
        **{f"n_{kind}": int(n) for kind, n in zip(KINDS, fates, strict=True)},
        "n_invented": np.count_nonzero(comparison["invented"]),
        **_size_scores(comparison["predicted_areas"], comparison["true_areas"]),
    }


def _number_ratio(n_predicted: int, n_true: int) -> float:
    return _ratio(n_predicted, n_true, 1.0 if n_predicted == 0 else np.nan)


def _pixel_scores(tp: int, fp: int, fn: int, tn: int) -> dict[str, float]:
    true_positive_rate = _ratio(tp, tp + fn, np.nan)
    true_negative_rate = _ratio(tn, tn + fp, np.nan)
    return {
        "iou": _ratio(tp, tp + fp + fn, 1.0),
        "tpr": true_positive_rate,
        "tnr": true_negative_rate,
        "fpr": 1 - true_negative_rate,
        "fnr": 1 - true_positive_rate,
        "youden": true_positive_rate + true_negative_rate - 1,
    }


def _size_scores(predicted_areas: np.ndarray, true_areas: np.ndarray) -> dict[str, float]:
    """Return D10, D50, D90 by number of the equivalent circle diameter, and their errors."""
    predicted, true = (_diameters(areas) for areas in (predicted_areas, true_areas))
    scores = {}
    for percentile, d_predicted, d_true in zip(DIAMETER_PERCENTILES, predicted, true, strict=True):
        scores[f"d{percentile}_predicted_px"] = d_predicted
        scores[f"d{percentile}_true_px"] = d_true
        scores[f"d{percentile}_error"] = d_predicted / d_true - 1
    return scores


def _diameters(areas: np.ndarray) -> list[float]:
    areas = areas[areas > SPECK_AREA]
    if areas.size == 0:
        return [np.nan] * len(DIAMETER_PERCENTILES)
    diameters = 2 * np.sqrt(areas / np.pi)
    # As in summary.csv, see `weighted_percentiles`.
    return np.percentile(diameters, DIAMETER_PERCENTILES, method="hazen").tolist()


def _ratio(numerator: float, denominator: float, if_empty: float) -> float:
    return float(numerator / denominator) if denominator else if_empty


def _particles(mask: np.ndarray) -> np.ndarray:
    """Return the particles of a mask (bool) or label map, numbered 1, 2, ..., int32 (h, w)."""
    if mask.dtype == bool:
        return label_particles(mask)
    return relabel_sequential(mask)[0].astype(np.int32)


def _contours(mask: np.ndarray) -> np.ndarray:
    """Return the areas within the outer contours of a mask, numbered, int32 (height, width).

    The published score draws and fills the contours that OpenCV traces: 8-connected, holes filled.
    In a label map each particle has its own.
    """
    if mask.dtype != bool:
        return fill_holes(_particles(mask), connectivity=4)
    filled = np.ascontiguousarray(fill_from_corner(np.pad(mask, 1).astype(np.uint8))[1:-1, 1:-1])
    return cv2.connectedComponents(filled, connectivity=8, ltype=cv2.CV_32S)[1]


def _overlaps(
    predicted: np.ndarray, true: np.ndarray
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Return the areas in two label maps, and the pairs of labels that share pixels.

    The pairs are indices (label - 1) ``predicted`` and ``true``, their ``intersection`` and
    ``union`` in pixels, and ``iou``; only pairs that do overlap, so thousands of specks are cheap.
    """
    predicted_areas, true_areas = (np.bincount(labels.ravel())[1:] for labels in (predicted, true))
    shared = (predicted > 0) & (true > 0)
    codes = (predicted[shared].astype(np.int64) - 1) * len(true_areas) + (true[shared] - 1)
    codes, intersection = np.unique(codes, return_counts=True)
    first, second = np.divmod(codes, max(len(true_areas), 1))
    union = predicted_areas[first] + true_areas[second] - intersection
    pairs = {"predicted": first, "true": second, "intersection": intersection, "union": union}
    return predicted_areas, true_areas, {**pairs, "iou": intersection / union}


def _jaccard_terms(
    predicted_areas: np.ndarray, true_areas: np.ndarray, overlaps: dict[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the terms whose sums' ratio is the aggregated Jaccard index.

    Every true particle gives intersection and union with its best predicted one (which may serve
    more than once), every predicted particle that is nobody's best its area as a union.
    """
    # By true particle, the best overlap last, which so overwrites the others.
    order = np.lexsort((overlaps["iou"], overlaps["true"]))
    best = np.full(len(true_areas), -1)
    best[overlaps["true"][order]] = order
    best = best[best >= 0]
    missed = np.delete(true_areas, overlaps["true"][best])
    unused = np.delete(predicted_areas, overlaps["predicted"][best])
    unions = np.concatenate([overlaps["union"][best], missed, unused])
    return overlaps["intersection"][best], unions
