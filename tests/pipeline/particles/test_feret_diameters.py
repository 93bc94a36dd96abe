"""Calipers on polygons whose widths are known, and against turning them in small steps."""

import numpy as np
import pytest

from pipeline.particles.feret_diameters import angle_of, convex_hull, max_feret, rectangles


def turned_rectangle(height, width, degrees, centre=(3.0, -2.0)):
    """Corners (4, 2) as (y, x); the width lies at ``degrees`` anticlockwise from the x axis."""
    angle = np.radians(degrees)
    along = np.array([-np.sin(angle), np.cos(angle)])
    across = np.array([np.cos(angle), np.sin(angle)])
    signs = [(-1, -1), (-1, 1), (1, 1), (1, -1)]
    return np.array([centre + a * width / 2 * along + b * height / 2 * across for a, b in signs])


@pytest.mark.parametrize("degrees", [0, 17, 45, 90, 133, 179])
def test_a_rectangle_at_any_rotation(degrees):
    hull = turned_rectangle(6, 20, degrees)
    by_feret, by_area, ends = rectangles(hull)
    assert max_feret(hull)[0] == pytest.approx(np.hypot(6, 20))
    for rectangle in (by_feret, by_area):
        assert rectangle["width"] == pytest.approx(6)
        assert rectangle["length"] == pytest.approx(20)
        assert rectangle["angle"] == pytest.approx(degrees)
        assert (rectangle["centre_y"], rectangle["centre_x"]) == pytest.approx((3, -2))
    assert np.hypot(*(ends[0] - ends[1])) == pytest.approx(6)


def test_the_narrowest_rectangle_of_a_right_triangle_lies_on_its_long_side():
    # Sides 30, 40, 50: the heights are 40, 30 and 24. All three rectangles have the area 1200.
    hull = np.array([(0.0, 0.0), (0.0, 40.0), (30.0, 0.0)])
    by_feret, by_area, ends = rectangles(hull)
    assert by_feret["width"] == pytest.approx(24)
    assert by_feret["length"] == pytest.approx(50)
    assert by_area["width"] * by_area["length"] == pytest.approx(1200)
    assert ends[0] == pytest.approx((0, 0))
    assert max_feret(hull)[0] == pytest.approx(50)


def test_ends_of_the_maximum_feret_are_the_two_vertices_furthest_apart():
    hull = np.array([(0.0, 0.0), (5.0, 1.0), (9.0, 9.0), (1.0, 5.0)])
    length, ends = max_feret(hull)
    assert length == pytest.approx(np.hypot(9, 9))
    assert sorted(map(tuple, ends.tolist())) == [(0, 0), (9, 9)]


def test_ends_of_the_minimum_feret_lie_on_the_polygon_where_edges_face_each_other():
    hull = np.array([(0.0, 0.0), (0.0, 9.0), (8.0, 24.0), (8.0, 15.0)])  # a slanted stripe
    by_feret, _, ends = rectangles(hull)
    stripe = np.array([8.0, 15.0]) / 17  # along its long edges, 9 pixels apart in a row
    assert by_feret["width"] == pytest.approx(9 * stripe[0])
    assert np.hypot(*(ends[0] - ends[1])) == pytest.approx(9 * stripe[0])
    assert (ends[0] - ends[1]) @ stripe == pytest.approx(0)
    assert ends.mean(axis=0) == pytest.approx((4, 12))  # the middle of the stripe


@pytest.mark.parametrize("seed", range(10))
def test_ends_of_the_minimum_feret_lie_on_the_polygon(seed):
    points = np.random.default_rng(seed).integers(0, 12, (25, 2))  # in a small grid edges face
    hull = convex_hull(points)
    by_feret, _, ends = rectangles(hull)
    assert np.hypot(*(ends[0] - ends[1])) == pytest.approx(by_feret["width"])
    following = np.roll(hull, -1, axis=0)
    for y, x in ends:
        edge_y, edge_x = (following - hull).T
        off = edge_y * (x - hull[:, 1]) - edge_x * (y - hull[:, 0])  # >= 0 or <= 0 inside all
        off /= np.hypot(edge_y, edge_x)
        assert min(off.max(), -off.min()) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("seed", range(10))
def test_against_turning_in_small_steps(seed):
    points = np.random.default_rng(seed).integers(0, 60, (25, 2))
    hull = convex_hull(points)
    angles = np.radians(np.arange(0, 180, 0.01))
    extents = [
        np.ptp(points @ np.stack([np.sin(turn), np.cos(turn)]), axis=0)
        for turn in (angles, angles + np.pi / 2)
    ]
    by_feret, by_area, _ = rectangles(hull)
    assert by_feret["width"] == pytest.approx(extents[0].min(), abs=0.02)
    assert by_area["width"] * by_area["length"] == pytest.approx(
        (extents[0] * extents[1]).min(), rel=1e-3
    )
    assert max_feret(hull)[0] == pytest.approx(extents[0].max(), abs=1e-3)


def test_angles_stay_below_the_period():
    assert angle_of(-1e-17, 1.0) == 0
    assert angle_of(0.0, -1.0) == 0
    assert angle_of(1.0, 0.0) == 90
    assert angle_of(1.0, -1.0) == 135
