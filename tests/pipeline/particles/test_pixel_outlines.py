"""Outlines must lose no pixel, and the perimeter must be right on shapes whose own is known."""

import numpy as np
import pytest
from skimage.measure import label as label_components

from pipeline.particles.pixel_outlines import outline_polygons, perimeters, signed_area, walk_edges


def fill_slowly(polygons, shape):
    """The even-odd rule for the centre of every pixel, one vertical edge after the other."""
    inside = np.zeros(shape, bool)
    for polygon in polygons:
        for (y1, x1), (y2, x2) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
            if x1 == x2:
                inside[min(y1, y2) : max(y1, y2), x1:] ^= True
    return inside


def random_labels(seed, shape=(24, 31), share=0.6):
    mask = np.random.default_rng(seed).random(shape) < share
    return label_components(mask, connectivity=1)


@pytest.mark.parametrize("seed", range(12))
def test_filling_the_outlines_gives_back_exactly_the_pixels(seed):
    # Random pixels have holes, holes in touching corners, and particles round other particles.
    labels = random_labels(seed, share=0.45 + 0.03 * seed)
    polygons = outline_polygons(walk_edges(labels))
    assert list(polygons) == list(range(1, labels.max() + 1))
    for label, parts in polygons.items():
        assert (fill_slowly(parts, labels.shape) == (labels == label)).all()
        assert sum(map(signed_area, parts)) == (labels == label).sum()


def test_outlines_have_corners_only():
    labels = np.zeros((9, 9), int)
    labels[2:5, 1:8] = 7
    (polygon,) = outline_polygons(walk_edges(labels))[7]
    assert sorted(map(tuple, polygon.tolist())) == [(2, 1), (2, 8), (5, 1), (5, 8)]


def test_a_hole_runs_the_other_way_and_comes_after_the_outer_outline():
    labels = np.ones((7, 7), int)
    labels[2:4, 3:5] = 0
    outer, hole = outline_polygons(walk_edges(labels))[1]
    assert signed_area(outer) == 49
    assert signed_area(hole) == -4


def test_pixels_that_share_only_a_corner_have_an_outline_each():
    labels = np.array([[1, 0], [0, 1]])
    assert len(outline_polygons(walk_edges(labels))[1]) == 2


def test_an_empty_label_map_has_no_outlines():
    edges = walk_edges(np.zeros((5, 5), int))
    assert outline_polygons(edges) == {}
    assert perimeters(edges) == {}


def disk(radius, centre_y=0.0, centre_x=0.0):
    y, x = np.mgrid[:140, :140] - 70.0
    return ((y - centre_y) ** 2 + (x - centre_x) ** 2 <= radius**2).astype(int)


@pytest.mark.parametrize("radius", [5, 8, 20, 60])
def test_perimeter_of_disks_is_right_within_one_percent_in_the_mean(radius):
    random = np.random.default_rng(radius)
    found = [
        perimeters(walk_edges(disk(radius, *random.random(2))))[1] / (2 * np.pi * radius)
        for _ in range(12)
    ]
    assert np.mean(found) == pytest.approx(1, abs=0.01)
    assert max(found) < 1.03 and min(found) > 0.97


@pytest.mark.parametrize("degrees", [0, 10, 22.5, 30, 45])
def test_perimeter_of_turned_squares_is_right_within_four_percent(degrees):
    y, x = np.mgrid[:140, :140] - 70.3
    angle = np.radians(degrees)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    labels = (np.maximum(abs(u), abs(v)) <= 40).astype(int)
    assert perimeters(walk_edges(labels))[1] == pytest.approx(320, rel=0.04)


def test_perimeter_is_counted_out_for_a_small_square():
    # The border pixels' centres of 3 x 3: 8 straight steps, 4 corners.
    labels = np.zeros((5, 5), int)
    labels[1:4, 1:4] = 1
    expected = 8 * 0.980 - 4 * 0.091 + np.pi
    assert perimeters(walk_edges(labels))[1] == pytest.approx(expected)


def test_holes_do_not_count_for_the_perimeter():
    full = disk(30)
    with_hole = full - disk(10)
    assert perimeters(walk_edges(with_hole)) == perimeters(walk_edges(full))


def test_turning_and_mirroring_keeps_the_perimeter():
    labels = random_labels(3)
    expected = sorted(perimeters(walk_edges(labels)).values())
    for same in (labels[::-1], labels[:, ::-1], labels.T, np.rot90(labels)):
        assert sorted(perimeters(walk_edges(same)).values()) == pytest.approx(expected)
