"""Leaving out what the edge cuts favours small particles; the weights make up for it."""

import numpy as np
import pytest
from scipy.stats import norm

from pipeline.particle_shapes import measure_particles
from pipeline.particles.border_correction import (
    NO_FRAME,
    Field,
    empty_frame,
    inclusion_weights,
    labels_at_edge,
)
from pipeline.particles.size_distribution import WEIGHTING_POWERS, summarise

MEDIAN, LOG_SD = 30, 0.3
HEIGHT, WIDTH = 160, 220


FRAMED = (1, 1, 1, 1)
CROPPED_BELOW = (1, 0, 1, 1)


def weight_of(height, width, *fields):
    (weight,) = inclusion_weights(np.array([height]), np.array([width]), fields)
    return weight


def test_the_weight_of_a_box():
    def weights(frame):
        field = Field(100, 200, frame)
        return inclusion_weights(np.array([30, 1]), np.array([50, 1]), [field])

    expected = [100 * 200 / (69 * 149), 100 * 200 / (98 * 198)]
    np.testing.assert_allclose(weights(NO_FRAME), expected)
    expected = [100 * 200 / (67 * 147), 100 * 200 / (96 * 196)]
    np.testing.assert_allclose(weights(FRAMED), expected)
    expected = [100 * 200 / (68 * 147), 100 * 200 / (97 * 196)]
    np.testing.assert_allclose(weights(CROPPED_BELOW), expected)


def test_images_that_are_alike_weigh_as_one():
    one = Field(100, 200)
    assert weight_of(30, 50, *[one] * 7) == pytest.approx(weight_of(30, 50, one))


def test_images_too_small_for_a_particle_count_with_their_area_alone():
    small, large = Field(50, 60), Field(200, 300)
    areas = 3 * 50 * 60 + 200 * 300
    assert weight_of(80, 20, small, small, small, large) == areas / ((200 - 81) * (300 - 21))
    both = 3 * (50 - 11) * (60 - 11) + (200 - 11) * (300 - 11)
    assert weight_of(10, 10, small, small, small, large) == areas / both


def test_boxes_and_areas_of_images_of_other_magnification_are_in_one_unit():
    """Of 20 nm: 10 pixels of 2 nm, 4 of 5 nm."""
    fine, coarse = Field(100, 100, pixel_size=2.0), Field(100, 100, pixel_size=5.0)
    positions = (100 - 11) ** 2 * 4 + (100 - 5) ** 2 * 25
    assert weight_of(20, 20, fine, coarse) == pytest.approx(100**2 * (4 + 25) / positions)


def test_disks_in_images_of_two_sizes_are_as_many_as_were_dropped():
    """Large ones lie whole in the large images alone: weighed by each image they are too few."""
    random = np.random.default_rng(3)
    fields = [Field(60, 60)] * 40 + [Field(200, 200)] * 4
    diameters, of_images = [], []
    for number, field in enumerate(fields):
        side = field.height + 80  # of what is round the image, too
        found = random.choice([10.0, 70.0], random.poisson(side**2 / 500))
        y, x = random.uniform(-40, field.height + 40, (2, len(found)))
        inner = found / 2 + 0.5
        whole = (inner < y) & (y < side - 80 - inner) & (inner < x) & (x < side - 80 - inner)
        diameters.append(found[whole])
        of_images.append(np.full(whole.sum(), number))
    diameters = np.concatenate(diameters)
    weights = inclusion_weights(diameters, diameters, fields)
    large = diameters > 20
    assert weights[large].sum() / weights.sum() == pytest.approx(0.5, abs=0.07)
    area = 40 * 60**2 + 4 * 200**2
    assert weights.sum() / area == pytest.approx(1 / 500, rel=0.1)
    (by_one,) = inclusion_weights(np.array([70.0]), np.array([70.0]), fields[-1:])
    assert by_one * large.sum() < 0.6 * weights[large].sum()


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
    weight = weight_of(*size, Field(height, width, frame))
    assert weight == pytest.approx(height * width / kept)


@pytest.mark.parametrize("size", [(10, 20), (9, 19), (8, 18)])
def test_a_box_as_large_as_the_image_has_a_finite_weight(size):
    assert weight_of(*size, Field(10, 20)) == 200


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
    diameter = diameter[whole]
    return {
        "equivalent_diameter": diameter,
        "inclusion_weight": inclusion_weights(diameter, diameter, [Field(HEIGHT, WIDTH)]),
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
