"""Leaving out what the edge cuts favours small particles; the weights make up for it."""

import numpy as np
import pytest
from scipy.stats import norm

from pipeline.particle_shapes import measure_particles
from pipeline.particles.border_correction import (
    NO_FRAME,
    empty_frame,
    inclusion_weights,
    labels_at_edge,
)
from pipeline.particles.size_distribution import WEIGHTING_POWERS, summarise

MEDIAN, LOG_SD = 30, 0.3
HEIGHT, WIDTH = 160, 220


def box(height, width):
    return {"bounding_box_height": np.array([height]), "bounding_box_width": np.array([width])}


def test_the_weight_of_a_box():
    columns = {"bounding_box_height": np.array([30, 1]), "bounding_box_width": np.array([50, 1])}
    expected = [100 * 200 / (69 * 149), 100 * 200 / (98 * 198)]
    np.testing.assert_allclose(inclusion_weights(columns, (100, 200)), expected)
    expected = [100 * 200 / (67 * 147), 100 * 200 / (96 * 196)]
    np.testing.assert_allclose(inclusion_weights(columns, (100, 200), (1, 1, 1, 1)), expected)
    expected = [100 * 200 / (68 * 147), 100 * 200 / (97 * 196)]
    np.testing.assert_allclose(inclusion_weights(columns, (100, 200), (1, 0, 1, 1)), expected)


FRAMED = (1, 1, 1, 1)
CROPPED_BELOW = (1, 0, 1, 1)


@pytest.mark.parametrize(
    ("frame", "size"),
    [
        (NO_FRAME, (4, 3)),
        (NO_FRAME, (1, 1)),
        (NO_FRAME, (8, 7)),
        (FRAMED, (4, 3)),
        (CROPPED_BELOW, (4, 3)),
    ],
)
def test_the_weight_is_that_of_the_positions_without_touching_the_edge(frame, size):
    """Of a box in every position, cut by the edge, and by the frame that is left empty."""
    height, width = 11, 13
    kept = 0
    for top in range(1 - size[0], height):
        for left in range(1 - size[1], width):
            labels = np.zeros((height, width), int)
            labels[max(top, 0) : top + size[0], max(left, 0) : left + size[1]] = 1
            if any(frame):
                labels[5, 1], labels[1, 6] = 2, 3  # others, that end at the frame
                labels[-1, 6] = 4 * (not frame[1])
                labels[0] = labels[:, [0, -1]] = 0
                labels[-1] *= not frame[1]
            kept += 1 in labels and 1 not in labels_at_edge(labels)
    weight = inclusion_weights(box(*size), (height, width), frame)
    assert weight == pytest.approx(height * width / kept)


@pytest.mark.parametrize("size", [(10, 20), (9, 19), (8, 18)])
def test_a_box_as_large_as_the_image_has_a_finite_weight(size):
    assert inclusion_weights(box(*size), (10, 20)) == [200]


def test_a_frame_is_where_particles_end_one_line_inside():
    labels = np.zeros((10, 12), int)
    labels[1:3, 4:6] = 1  # row 0 is empty
    labels[6, 4] = 2
    assert empty_frame(labels) == NO_FRAME and labels_at_edge(labels).tolist() == []
    labels[1:8, 1] = 1  # ends at two lines, but is one particle
    assert empty_frame(labels) == NO_FRAME
    labels[4:6, 9:11] = 3  # ends at column 10, too
    assert empty_frame(labels) == FRAMED and labels_at_edge(labels).tolist() == [1, 3]
    labels[8:, 4] = 4  # row 9 is not empty, as of a mask that was cropped
    assert empty_frame(labels) == CROPPED_BELOW and labels_at_edge(labels).tolist() == [1, 3, 4]
    labels[5:7, 0:2] = 5  # nor is column 0
    assert empty_frame(labels) == NO_FRAME and labels_at_edge(labels).tolist() == [4, 5]


def test_a_pixel_that_a_correction_left_on_the_frame_changes_nothing():
    labels = np.zeros((40, 40), int)
    labels[1:9, 4:20], labels[20:30, 30:39], labels[15, 15], labels[20:30, 1:9] = 1, 2, 3, 4
    labels[0, 7] = 1
    assert empty_frame(labels) == FRAMED and labels_at_edge(labels).tolist() == [1, 2, 4]
    labels[0, 4:20] = 1
    assert empty_frame(labels) == (0, 1, 1, 1) and labels_at_edge(labels).tolist() == [1, 2, 4]


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (2, 5), (3, 3)])
def test_tiny_images_have_an_edge(shape):
    assert labels_at_edge(np.zeros(shape, int)).tolist() == []
    assert labels_at_edge(np.ones(shape, int)).tolist() == [1]


def test_the_box_is_that_of_the_pixels_whatever_their_size():
    mask = np.zeros((50, 60), bool)
    mask[10:14, 20:30], mask[5:14, 25] = True, True
    table = measure_particles(mask, pixel_size=2.5)
    assert (table["bounding_box_height"], table["bounding_box_width"]) == ([9], [10])
    assert table["inclusion_weight"] == pytest.approx(50 * 60 / (40 * 49))


def test_particles_count_alike_where_those_at_the_edge_stay():
    mask = np.zeros((50, 60), bool)
    mask[0:9, 3:9], mask[20:30, 20:30] = True, True
    assert (measure_particles(mask, exclude_border=False)["inclusion_weight"] == 1).all()


def drop_disks(random, number):
    """Return the columns of log-normal disks dropped round an image, without those at its edge.

    A disk holds the pixels whose centres it holds; those at the edge are half a pixel inside.
    """
    diameter = random.lognormal(np.log(MEDIAN), LOG_SD, number)
    margin = diameter.max()
    centres = random.uniform(-margin, np.add((HEIGHT, WIDTH), margin)[:, None], (2, number))
    y, x = centres
    radius = diameter / 2
    inner = radius + 0.5
    whole = (inner < y) & (y < HEIGHT - inner) & (inner < x) & (x < WIDTH - inner)
    box = {f"bounding_box_{side}": diameter[whole] for side in ("height", "width")}
    return {
        "equivalent_diameter": diameter[whole],
        "inclusion_weight": inclusion_weights(box, (HEIGHT, WIDTH)),
        "image": np.zeros(whole.sum()),
    }


def test_the_sizes_of_disks_that_the_frame_does_not_cut_are_those_of_all(monkeypatch):
    monkeypatch.setattr("pipeline.particles.size_distribution.BOOTSTRAP_SAMPLES", 100)
    particles = drop_disks(np.random.default_rng(0), 400_000)
    rows = summarise({"equivalent_diameter": tuple(WEIGHTING_POWERS)}, particles, 0)
    for row in rows:
        assert row["n"] == len(particles["image"])
        power = WEIGHTING_POWERS[row["weighting"]]
        for statistic, percent in (("D50", 50), ("D90", 90)):
            # A power of the size as weight shifts a log-normal distribution by so many variances.
            truth = MEDIAN * np.exp(LOG_SD * norm.ppf(percent / 100) + power * LOG_SD**2)
            # Three standard errors, of which the interval holds about four.
            margin = 3 / 4 * (row[f"{statistic}_ci_high"] - row[f"{statistic}_ci_low"])
            assert row[statistic] == pytest.approx(truth, abs=margin)
            assert row[f"{statistic}_uncorrected"] < truth - margin


@pytest.mark.parametrize(
    ("second", "frame"), [(np.s_[1:9, 20:26], NO_FRAME), (np.s_[20:29, 20:26], FRAMED)]
)
def test_particles_that_end_at_one_line_alone_are_cut_by_no_frame(second, frame):
    labels = np.zeros((30, 30), np.int32)
    labels[1:9, 5:11] = 1
    labels[second] = 2
    assert empty_frame(labels) == frame
