"""Scores of masks whose overlaps are known, and slow readable twins of the fast code."""

import cv2
import numpy as np
import pytest

from pipeline.particles.size_distribution import weighted_percentiles
from pipeline.scoring.error_kinds import invented_particles
from pipeline.scoring.score_table import (
    ALL_IMAGES,
    AS_SAVED,
    BEST_BY,
    best_thresholds,
    log_scores,
    score_rows,
)
from pipeline.scoring.scores import compare_masks, compute_scores, crop_to_common_rows, pool

AGREEMENT = (
    "iou",
    "instance_iou",
    "instance_iou_above_9_px",
    "ap_50",
    "ap_50_95",
    "precision",
    "recall",
    "f1",
    "panoptic_quality",
    "aggregated_jaccard_index",
    "number_ratio",
    "number_ratio_above_9_px",
)


def score(predicted, true):
    return compute_scores(compare_masks(predicted, true))


def empty(height=60, width=80):
    return np.zeros((height, width), bool)


def rectangles(*slices, shape=(60, 80)):
    mask = empty(*shape)
    for one in slices:
        mask[one] = True
    return mask


def disk(centre_y, centre_x, radius, shape):
    y, x = np.ogrid[: shape[0], : shape[1]]
    return (y - centre_y) ** 2 + (x - centre_x) ** 2 <= radius**2


def blobs(seed):
    """Return a random mask: touching blobs, holes and specks."""
    noise = np.random.default_rng(seed).normal(size=(90, 120))
    return cv2.GaussianBlur(noise, (0, 0), 2) > 0.05


def particles_of(mask):
    """Return the particles of a mask as sets of pixels."""
    count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    return [set(map(tuple, np.argwhere(labels == label))) for label in range(1, count)]


def iou_of(one, other):
    return len(one & other) / len(one | other)


def test_shifted_disks_have_the_overlap_of_two_circles():
    radius, shape = 40, (100, 160)
    for shift in (4, 10, 20, 60):
        scores = score(disk(50, 50, radius, shape), disk(50, 50 + shift, radius, shape))
        # The lens that two circles of one radius share.
        lens = 2 * radius**2 * np.arccos(shift / 2 / radius)
        lens -= shift / 2 * np.sqrt(4 * radius**2 - shift**2)
        iou = lens / (2 * np.pi * radius**2 - lens)
        assert scores["iou"] == pytest.approx(iou, rel=0.015)
        assert scores["instance_iou"] == scores["iou"]
        assert scores["aggregated_jaccard_index"] == scores["iou"]
        assert scores["ap_50"] == (iou > 0.5)
        assert scores["panoptic_quality"] == pytest.approx(scores["iou"] if iou > 0.5 else 0)
        thresholds_reached = sum(iou >= threshold / 100 for threshold in range(50, 100, 5))
        assert scores["ap_50_95"] == pytest.approx(thresholds_reached / 10)
        assert scores["d50_error"] == 0


def test_every_score_of_a_case_that_can_be_counted_by_hand():
    # 100 px against 80 px within it (IoU 0.8); one missed, 60 px; one invented, 40 px.
    true = rectangles(np.s_[0:10, 0:10], np.s_[20:30, 0:6])
    predicted = rectangles(np.s_[0:10, 0:8], np.s_[40:50, 40:44])
    scores = score(predicted, true)
    background = 60 * 80 - 160
    expected = {
        "iou": 80 / 200,
        "tpr": 80 / 160,
        "fnr": 80 / 160,
        "tnr": 1 - 40 / background,
        "fpr": 40 / background,
        "youden": 80 / 160 - 40 / background,
        "instance_iou": (0.8 + 0) / 2,
        "instance_iou_above_9_px": (0.8 + 0) / 2,
        "ap_50": 1 / 3,
        "ap_50_95": 1 / 3 * 7 / 10,  # at 0.50, 0.55, ..., 0.80
        "precision": 1 / 2,
        "recall": 1 / 2,
        "f1": 1 / 2,
        "panoptic_quality": 0.8 / 2,
        "aggregated_jaccard_index": 80 / (100 + 60 + 40),
        "n_predicted": 2,
        "n_true": 2,
        "number_ratio": 1,
        "number_ratio_above_9_px": 1,
        "d50_predicted_px": (np.sqrt(80) + np.sqrt(40)) / np.sqrt(np.pi),
        "d50_true_px": (np.sqrt(100) + np.sqrt(60)) / np.sqrt(np.pi),
    }
    assert {name: scores[name] for name in expected} == pytest.approx(expected)
    ratio = (np.sqrt(80) + np.sqrt(40)) / (np.sqrt(100) + np.sqrt(60))
    assert scores["d50_error"] == pytest.approx(ratio - 1)


def test_precision_is_of_the_predicted_and_recall_of_the_true_particles():
    true = rectangles(np.s_[0:10, 0:10], np.s_[20:30, 0:10], np.s_[40:50, 0:10])
    found, invented = np.s_[0:10, 0:9], [np.s_[0:10, 20 * n : 20 * n + 5] for n in (1, 2, 3)]
    scores = score(rectangles(found, invented[0]), true)
    assert (scores["precision"], scores["recall"]) == pytest.approx((1 / 2, 1 / 3))
    assert scores["f1"] == pytest.approx(2 / 5) and scores["ap_50"] == pytest.approx(1 / 4)
    scores = score(rectangles(found, *invented), true)
    assert (scores["precision"], scores["recall"]) == pytest.approx((1 / 4, 1 / 3))


def test_identical_masks_score_one():
    scores = score(blobs(1), blobs(1))
    assert {name: scores[name] for name in AGREEMENT} == dict.fromkeys(AGREEMENT, 1)
    assert scores["youden"] == scores["tpr"] == scores["tnr"] == 1
    assert scores["d10_error"] == scores["d50_error"] == scores["d90_error"] == 0


def test_nothing_predicted_scores_zero():
    scores = score(empty(), rectangles(np.s_[10:20, 10:20]))
    assert {name: scores[name] for name in AGREEMENT} == dict.fromkeys(AGREEMENT, 0)
    assert (scores["tpr"], scores["tnr"], scores["youden"]) == (0, 1, 0)
    assert np.isnan(scores["d50_predicted_px"]) and np.isnan(scores["d50_error"])


def test_no_true_particle_scores_zero_and_what_is_undefined_is_nan():
    scores = score(rectangles(np.s_[10:20, 10:20]), empty())
    numbers = {"number_ratio", "number_ratio_above_9_px"}
    undefined = (*numbers, "tpr", "fnr", "youden", "d50_true_px", "d50_error")
    assert all(np.isnan(scores[name]) for name in undefined)
    agreement = set(AGREEMENT) - numbers
    assert {name: scores[name] for name in agreement} == dict.fromkeys(agreement, 0)
    assert scores["fpr"] == pytest.approx(100 / 4800)


def test_two_empty_masks_agree():
    scores = score(empty(), empty())
    assert {name: scores[name] for name in AGREEMENT} == dict.fromkeys(AGREEMENT, 1)
    assert scores["tnr"] == 1 and np.isnan(scores["tpr"])


def test_a_pair_at_exactly_one_half_is_no_match():
    # Each half of a particle could be its partner; above one half there is only one.
    whole, half = rectangles(np.s_[0:10, 0:10]), rectangles(np.s_[0:10, 0:5])
    assert score(half, whole)["ap_50"] == 0
    half[0, 5] = True
    assert score(half, whole)["ap_50"] == 1


def test_specks_count_as_contours_but_not_above_9_px_nor_as_sizes():
    particle = np.s_[10:20, 10:20]
    true = rectangles(particle)
    for size, expected in ((9, 1), (10, 0.5)):
        scores = score(rectangles(particle, np.s_[40, 10 : 10 + size]), true)
        assert scores["instance_iou"] == 0.5
        assert scores["instance_iou_above_9_px"] == expected
        assert scores["number_ratio"] == 2
        assert scores["number_ratio_above_9_px"] == 1 / expected
        assert (scores["d10_error"] == 0) == (size == 9)


def test_where_only_specks_are_true_nothing_above_9_px_is_right():
    scores = score(rectangles(), rectangles(np.s_[40, 10:19]))
    assert (scores["instance_iou"], scores["instance_iou_above_9_px"]) == (0, 1)


def test_particles_are_4_connected_and_contours_8_connected_and_filled():
    corner_to_corner = rectangles(np.s_[10:20, 10:20], np.s_[20:30, 20:30])
    comparison = compare_masks(corner_to_corner, corner_to_corner)
    assert comparison["true_areas"].tolist() == [100, 100]
    assert comparison["contour_areas"].tolist() == [200]
    ring = rectangles(np.s_[10:30, 10:30])
    ring[15:25, 15:25] = False
    ring[19:21, 19:21] = True  # lies in the hole: within the ring's contour
    comparison = compare_masks(ring, ring)
    assert sorted(comparison["true_areas"]) == [4, 300]
    assert comparison["contour_areas"].tolist() == [400]
    bay = rectangles(np.s_[0:10, 0:10])
    bay[0:8, 3:7] = False  # open to the image's edge: no hole
    assert compare_masks(bay, bay)["contour_areas"].tolist() == [68]


def filled_contours(mask):
    """Return the published score's contours as OpenCV draws them, as sets of pixels."""
    contours = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[
        0
    ]
    drawn = []
    for contour in contours:
        canvas = cv2.drawContours(np.zeros(mask.shape, np.uint8), [contour], -1, 1, cv2.FILLED)
        drawn.append(set(map(tuple, np.argwhere(canvas))))
    return drawn


@pytest.mark.parametrize("seed", [2, 3])
def test_instance_iou_equals_that_of_drawn_contours(seed):
    predicted, true = blobs(seed), blobs(seed) ^ (blobs(seed + 10) & blobs(seed + 20))
    true_contours = filled_contours(true)
    areas_and_best = [
        (len(contour), max(iou_of(contour, other) for other in true_contours))
        for contour in filled_contours(predicted)
    ]
    scores = score(predicted, true)
    assert scores["instance_iou"] == pytest.approx(np.mean([best for _, best in areas_and_best]))
    assert scores["instance_iou_above_9_px"] == pytest.approx(
        np.mean([best for area, best in areas_and_best if area > 9])
    )


@pytest.mark.parametrize("seed", [4, 5])
def test_matches_and_jaccard_index_equal_their_definitions(seed):
    predicted_mask, true_mask = blobs(seed), blobs(seed) ^ (blobs(seed + 10) & blobs(seed + 20))
    predicted, true = particles_of(predicted_mask), particles_of(true_mask)
    scores = score(predicted_mask, true_mask)
    ious = np.array([[iou_of(one, other) for other in true] for one in predicted])
    precisions = []
    for threshold in np.arange(0.5, 1, 0.05):
        matches = np.count_nonzero(ious > 0.5 if threshold == 0.5 else ious >= threshold - 1e-9)
        precisions.append(matches / (len(predicted) + len(true) - matches))
    assert 0 < scores["ap_50"] < 1
    assert scores["ap_50"] == pytest.approx(precisions[0])
    assert scores["ap_50_95"] == pytest.approx(np.mean(precisions))
    above_half = ious[ious > 0.5]
    quality = above_half.sum() / ((len(predicted) + len(true)) / 2)
    assert scores["panoptic_quality"] == pytest.approx(quality)

    # Kumar et al. (2017), algorithm 1.
    intersection, union, used = 0, 0, set()
    for index, particle in enumerate(true):
        best = int(ious[:, index].argmax())
        if ious[best, index] == 0:
            union += len(particle)
            continue
        used.add(best)
        intersection += len(particle & predicted[best])
        union += len(particle | predicted[best])
    union += sum(len(one) for index, one in enumerate(predicted) if index not in used)
    assert scores["aggregated_jaccard_index"] == pytest.approx(intersection / union)


def test_pooled_images_score_as_one_large_image():
    pairs = [(blobs(seed), blobs(seed) ^ blobs(seed + 1)) for seed in (6, 7)]
    pooled = compute_scores(pool(compare_masks(*pair) for pair in pairs))
    gap = np.zeros((1, 120), bool)
    predicted, true = (np.concatenate([one, gap, other]) for one, other in zip(*pairs, strict=True))
    large = score(predicted, true)
    with_gap = {"tnr", "fpr", "youden"}  # the gap adds true background
    assert {name: pooled[name] for name in pooled if name not in with_gap} == pytest.approx(
        {name: large[name] for name in large if name not in with_gap}
    )


def test_masks_are_cropped_to_the_rows_both_have():
    true = rectangles(np.s_[0:50, 0:40], shape=(60, 80))
    predicted, cropped = crop_to_common_rows(rectangles(np.s_[0:50, 0:40], shape=(50, 80)), true)
    assert predicted.shape == cropped.shape == (50, 80)
    # Nothing is known about rows the truth does not have.
    tall = rectangles(np.s_[0:50, 0:40], np.s_[55:60, 0:80], shape=(60, 80))
    assert crop_to_common_rows(tall, true[:50])[0].shape == (50, 80)
    # 20 of 2020 pixels (1 %) run into the bar.
    true[50, :20] = True
    assert crop_to_common_rows(predicted, true)[1].sum() == 2000


def test_masks_that_do_not_fit_are_refused_with_their_sizes():
    true = rectangles(np.s_[0:50, 0:40], np.s_[50, 0:21], shape=(60, 80))
    with pytest.raises(
        ValueError, match=r"in height \(50 x 80 against 60 x 80.*21 of 2021.*row 50"
    ):
        crop_to_common_rows(empty(50, 80), true)
    with pytest.raises(ValueError, match=r"differ in width \(60 x 79 against 60 x 80"):
        crop_to_common_rows(empty(60, 79), true)


def test_particles_of_a_label_map_may_touch():
    # Two squares of 10 x 10 side by side, one with a hole; the prediction has a gap between them.
    true = np.zeros((60, 80), np.uint16)
    true[10:20, 10:20], true[10:20, 20:30] = 5, 2
    true[14:16, 14:16] = 0
    predicted = rectangles(np.s_[10:20, 10:19], np.s_[10:20, 21:30])
    scores = score(predicted, true)
    assert (scores["n_true"], scores["n_found"], scores["n_merged"]) == (2, 2, 0)
    assert scores["iou"] == pytest.approx((90 - 4 + 90) / 200)
    assert scores["panoptic_quality"] == pytest.approx((86 / 100 + 90 / 100) / 2)
    assert scores["instance_iou"] == pytest.approx(0.9)  # contours are filled
    assert score(predicted, true > 0)["n_true"] == 1
    same = score(true, true)
    assert [same[name] for name in AGREEMENT] == [1] * len(AGREEMENT)


def test_particles_of_a_label_map_that_are_cut_off_do_not_count():
    true = np.zeros((60, 80), np.uint16)
    true[10:40, 10:40], true[58, 5] = 3, 1
    predicted, cropped = crop_to_common_rows(true[:50] > 0, true)
    assert score(predicted, cropped)["n_true"] == score(predicted, cropped)["ap_50"] == 1


def test_a_rim_that_is_closed_across_corners_has_what_is_inside():
    rows, columns = np.ogrid[-8:9, -8:9]
    distance = np.abs(rows) + np.abs(columns)
    rim, whole = (distance == 6).astype(np.int32), (distance <= 6).astype(np.int32)
    compared = compare_masks(rim, whole)
    assert compared["contour_areas"].tolist() == [np.count_nonzero(whole)]
    assert compared["contour_ious"].tolist() == [1.0]


def squares(*sides):
    labels = np.zeros((40, 200), np.int32)
    for number, side in enumerate(sides, start=1):
        labels[5 : 5 + side, 20 * number : 20 * number + side] = number
    return labels


def test_a_particle_half_on_background_is_invented():
    overlaps = {"predicted": np.array([0, 1]), "intersection": np.array([5, 6])}
    assert invented_particles(np.array([10, 10]), overlaps).tolist() == [True, False]


def test_sizes_are_the_percentiles_of_the_summary():
    sides = (5, 8, 12, 18)
    scores = compute_scores(compare_masks(squares(*sides), squares(*sides)))
    diameters = 2 * np.array(sides) / np.sqrt(np.pi)
    expected = weighted_percentiles(diameters, np.ones(4), (10, 50, 90))
    found = [scores[f"d{percent}_true_px"] for percent in (10, 50, 90)]
    assert found == pytest.approx(expected.tolist())


def test_the_number_without_specks_is_logged(caplog):
    caplog.set_level("INFO")
    comparison = compare_masks(squares(10, 12, 2, 3), squares(10, 12))
    log_scores(score_rows({"a": {AS_SAVED: comparison}}))
    assert "of particles above 9 px, as D10 to D90 are: n/n true 1.000" in caplog.text


def test_the_mean_over_images_is_of_one_segmentation_and_of_what_is_known():
    square, empty = np.zeros((40, 40), bool), np.zeros((40, 40), bool)
    square[10:30, 10:30] = True
    found, missed = compare_masks(square, square), compare_masks(empty, square)
    rows = score_rows(
        {
            "a": {AS_SAVED: found, "threshold 0.5": missed},
            "b": {AS_SAVED: missed, "threshold 0.5": missed},
        }
    )
    mean = {row["segmentation"]: row for row in rows if row["image"] == "mean over images"}
    assert mean[AS_SAVED]["iou"] == 0.5 and mean["threshold 0.5"]["iou"] == 0
    # Of image b, where nothing was found, there is none.
    assert mean[AS_SAVED]["d50_error"] == 0
    assert mean[AS_SAVED]["d50_predicted_px"] == pytest.approx(2 * np.sqrt(400 / np.pi))


def test_each_score_has_a_best_threshold_of_its_own():
    def row(segmentation, ap_50, **others):
        scores = dict.fromkeys(BEST_BY, 0.9 if segmentation == "threshold 0.3" else 0.8)
        return {"image": ALL_IMAGES, "segmentation": segmentation, **scores, "ap_50": ap_50}

    rows = [row(AS_SAVED, 1.0), row("threshold 0.3", 0.2), row("threshold 0.6", 0.7)]
    best = best_thresholds(rows)
    assert best.pop("ap_50") == ("threshold 0.6", 0.7)
    assert set(best.values()) == {("threshold 0.3", 0.9)}
