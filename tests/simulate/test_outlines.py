"""From outlines to particles: geometry with known answers, and the plain twin."""

import numpy as np
import pytest
from skimage.draw import disk, ellipse

from simulate import outlines
from simulate.outlines import (
    PARTICLES_PER_DIRECTION,
    PERLIN_DIRECTIONS,
    SMOOTHINGS,
    carve_core,
    draw_scales,
    prepare_library,
    prepare_particle,
    reach_of,
    transform_outline,
    typical_core_diameter,
)
from tests.simulate.plain_simulation import plain_carve_core, plain_transform

SCALING = {
    "use_normal_distribution": True,
    "scaling_mu": 1.0,
    "scaling_sigma": 0.1,
    "min_scaling": 0.75,
    "max_scaling": 1.25,
}


def outline_of(rows_and_columns, shape=(64, 64)):
    outline = np.zeros(shape, np.uint8)
    outline[rows_and_columns] = 255
    return outline


def random_outlines(number, seed=0, size=64):
    """Return noisy ellipses with specks and holes, as a WGAN draws them."""
    rng = np.random.default_rng(seed)
    outlines = np.zeros((number, size, size), np.uint8)
    for outline in outlines:
        radii = rng.uniform(size / 6, size / 2.5, 2)
        angle = rng.uniform(0, np.pi)
        outline[ellipse(size / 2, size / 2, *radii, shape=outline.shape, rotation=angle)] = 255
        speckled = rng.random(outline.shape) < 0.02
        outline[speckled] = rng.integers(0, 256, speckled.sum())
    return outlines


def centre_of_core(particle):
    """Return (row, column) of the core's centre, relative to the particle's."""
    return np.argwhere(particle.core).mean(axis=0) + np.array([particle.top, particle.left])


def test_scale_1_and_angle_0_give_the_pixels_back():
    for shape in ((64, 64), (48, 33), (31, 64)):
        outline = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
        grey = transform_outline(outline, 1.0, 0.0)
        rows, columns = ((np.array(grey.shape) - shape) // 2).tolist()
        np.testing.assert_array_equal(
            grey[rows : rows + shape[0], columns : columns + shape[1]], outline
        )
        assert grey.astype(int).sum() == outline.astype(int).sum()


@pytest.mark.parametrize(("angle", "turns"), [(90, 1), (180, 2), (-90, 3)])
def test_right_angles_turn_the_pixels_counterclockwise(angle, turns):
    outline = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8)
    grey = transform_outline(outline, 1.0, angle)
    rim = (grey.shape[0] - 64) // 2
    inside = grey[rim:-rim, rim:-rim]
    np.testing.assert_array_equal(inside, np.rot90(outline, turns))


@pytest.mark.parametrize("scale", [0.5, 0.8, 1.3, 2.0])
@pytest.mark.parametrize("angle", [0, 33, 250])
def test_scale_multiplies_the_area_by_its_square(scale, angle):
    outline = outline_of(np.s_[12:52, 22:42])
    area = (transform_outline(outline, scale, angle) > 127).sum()
    assert area == pytest.approx(scale**2 * 40 * 20, rel=0.03)


@pytest.mark.parametrize("angle", [0, 17, 45, 137, 271])
@pytest.mark.parametrize("shape", [(64, 64), (80, 40)])
def test_an_outline_that_fills_its_image_is_not_cut(shape, angle):
    grey = transform_outline(np.full(shape, 255, np.uint8), 1.2, angle)
    assert not grey[[0, -1]].any()
    assert not grey[:, [0, -1]].any()
    assert (grey > 127).sum() == pytest.approx(1.44 * shape[0] * shape[1], rel=0.03)


def test_core_of_a_square_is_two_pixels_smaller_on_each_side():
    core, footprint = carve_core(outline_of(np.s_[20:40, 10:40]), "SQUARE")
    assert footprint.sum() == 20 * 30
    expected = np.zeros((64, 64), bool)
    expected[22:38, 12:38] = True
    np.testing.assert_array_equal(core.astype(bool), expected)


def test_holes_are_filled_and_specks_and_thin_bridges_removed():
    outline = outline_of(np.s_[20:40, 10:40])
    outline[28:32, 20:24] = 0  # a hole
    outline[5:13, 50:58] = 255  # a speck smaller than 9 x 9
    outline[29:31, 40:60] = 255  # a bridge two pixels wide
    core, footprint = carve_core(outline)
    whole_core, whole_footprint = carve_core(outline_of(np.s_[20:40, 10:40]))
    np.testing.assert_array_equal(core, whole_core)
    np.testing.assert_array_equal(footprint, whole_footprint)


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_what_is_left_of_a_disk_is_round_or_as_published_angular(smoothing):
    """A square leaves of a disk of 20 pixels 14 along the axes, and 16 along the diagonals."""
    core, _ = carve_core(outline_of(disk((31.5, 31.5), 10)), smoothing)
    rows, columns = np.nonzero(core)
    along, across = np.ptp(rows) + 1, (np.ptp(rows + columns) + 1) / np.sqrt(2)
    if smoothing == "DISK":
        assert 0.9 < along / across < 1.1
    else:
        assert along < 0.9 * across


@pytest.mark.parametrize(("smoothing", "all_stay"), [("DISK", True), ("SQUARE", False)])
def test_narrow_rods_stay_in_all_directions(smoothing, all_stay):
    rod = outline_of(np.s_[26:37, 10:54])  # 11 wide
    areas = [prepare_particle(rod, 1.0, angle, smoothing).area for angle in range(0, 180, 15)]
    assert (min(areas) > 0.8 * max(areas)) == all_stay


def test_threshold_is_above_127():
    assert carve_core(outline_of(np.s_[20:40, 10:40]) // 255 * 127, "SQUARE")[0].sum() == 0
    assert carve_core(outline_of(np.s_[20:40, 10:40]) // 255 * 128, "SQUARE")[0].sum() == 16 * 26


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_carving_equals_the_plain_twin(smoothing):
    for outline in random_outlines(20):
        grey = np.pad(outline, 5)
        core, footprint = carve_core(grey, smoothing)
        plain_core, plain_footprint = plain_carve_core(grey, smoothing)
        np.testing.assert_array_equal(core.astype(bool), plain_core)
        np.testing.assert_array_equal(footprint.astype(bool), plain_footprint)


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_particles_agree_with_the_plain_twin(smoothing):
    rng = np.random.default_rng(1)
    for outline in random_outlines(20, seed=1):
        scale, angle = rng.uniform(0.75, 1.25), float(rng.integers(360))
        particle = prepare_particle(outline, scale, angle, smoothing)
        plain_core, _ = plain_carve_core(plain_transform(outline, scale, angle), smoothing)
        # Both interpolate linearly; OpenCV rounds places to 1/32 of a pixel.
        assert particle.area == pytest.approx(plain_core.sum(), rel=0.03)
        fast = centre_of_core(particle)
        plain = np.argwhere(plain_core).mean(axis=0) - np.array(plain_core.shape) // 2
        np.testing.assert_allclose(fast, plain, atol=0.75)


def test_particle_is_centred_where_the_outline_is():
    particle = prepare_particle(outline_of(disk((31.5, 31.5), 15)), 1.0, 0.0)
    assert centre_of_core(particle).tolist() == [-0.5, -0.5]
    assert particle.core.shape == particle.footprint.shape
    assert particle.footprint.any(axis=1).all()
    assert particle.area == particle.core.sum()


def test_outline_without_particle_has_no_core():
    for outline in (outline_of(np.s_[30:38, 30:38]), np.zeros((64, 64), np.uint8)):
        particle = prepare_particle(outline, 1.0, 0.0)
        assert particle.area == 0
        assert particle.core.shape == particle.footprint.shape == (0, 0)


def test_normal_scales_have_mean_and_deviation_and_end_at_three_sigma():
    scales = draw_scales(np.random.default_rng(0), 100_000, **SCALING)
    assert scales.mean() == pytest.approx(1.0, abs=0.002)
    assert scales.std() == pytest.approx(0.1, rel=0.02)
    assert (scales.min(), scales.max()) == pytest.approx((0.7, 1.3))


def test_uniform_scales_fill_their_limits():
    scaling = SCALING | {"use_normal_distribution": False, "max_scaling": 1.5}
    scales = draw_scales(np.random.default_rng(0), 100_000, **scaling)
    assert (scales.min(), scales.max()) == pytest.approx((0.75, 1.5), abs=1e-3)
    assert scales.std() == pytest.approx(0.75 / np.sqrt(12), rel=0.02)


BAR = outline_of(np.s_[20:44, 4:60])[None]  # lies flat


def directions(particles):
    """Return the orientation of each core in degrees, 0 for flat, in [0, 180)."""
    angles = []
    for particle in particles:
        rows, columns = np.nonzero(particle.core)
        cov = np.cov(columns, -rows)
        angles.append(np.degrees(np.arctan2(2 * cov[0, 1], cov[0, 0] - cov[1, 1]) / 2) % 180)
    return np.array(angles)


def test_rotation_disabled_keeps_the_direction():
    (particles,) = prepare_library(np.random.default_rng(0), BAR, "DISABLE", **SCALING)
    angles = directions(particles)
    assert np.minimum(angles, 180 - angles).max() < 2
    assert len({particle.area for particle in particles}) > 10  # scales differ


def test_random_rotation_takes_all_directions_alike():
    (particles,) = prepare_library(np.random.default_rng(0), BAR, "RANDOM", **SCALING)
    counts, _ = np.histogram(directions(particles), bins=6, range=(0, 180))
    assert counts.min() > 0.8 * len(particles) / 6


def test_perlin_rotation_has_particles_for_each_direction():
    library = prepare_library(np.random.default_rng(0), BAR, "PERLIN", **SCALING)
    assert len(library) == len(PERLIN_DIRECTIONS)
    for direction, particles in list(zip(PERLIN_DIRECTIONS, library, strict=True))[::20]:
        assert len(particles) == PARTICLES_PER_DIRECTION
        deviation = (directions(particles) - direction + 90) % 180 - 90
        assert np.abs(deviation).max() < 3


def test_every_outline_is_used_equally_often():
    sizes = (20, 30, 40)
    squares = np.stack([outline_of(np.s_[:size, :size]) for size in sizes])
    scaling = SCALING | {"scaling_sigma": 0.0}
    how = ("DISABLE", "SQUARE")
    (particles,) = prepare_library(np.random.default_rng(0), squares, *how, **scaling)
    areas, counts = np.unique([particle.area for particle in particles], return_counts=True)
    assert areas.tolist() == [(size - 4) ** 2 for size in sizes]
    assert counts.max() - counts.min() <= 1


def test_unknown_rotation_is_an_error():
    with pytest.raises(ValueError, match=r"use_random_rotation is True; .*'RANDOM', 'PERLIN'"):
        prepare_library(np.random.default_rng(0), BAR, True, **SCALING)


def test_small_outlines_lose_more_to_the_opening_than_the_gap():
    outlines = [outline_of(disk((32, 32), radius)) for radius in (18, 20, 22)]
    assert typical_core_diameter(outlines, 1.0) == pytest.approx(40 - 4, abs=0.8)
    assert typical_core_diameter(outlines, 0.5) == pytest.approx(20 - 4, abs=0.8)
    assert 0 < typical_core_diameter(outlines, 0.33, "SQUARE") < 13.2 - 4
    assert typical_core_diameter(outlines, 0.2) == typical_core_diameter([], 1.0) == 0


def squares(*sides):
    outlines = []
    for side in sides:
        outline = np.zeros((60, 60), np.uint8)
        outline[5 : 5 + side, 5 : 5 + side] = 255
        outlines.append(outline)
    return outlines


def test_the_typical_core_is_that_of_the_outline_in_the_middle():
    # The gap of two pixels goes off on each side.
    diameter = 2 * np.sqrt(16**2 / np.pi)
    assert typical_core_diameter(squares(12, 20, 50), 1.0, "SQUARE") == pytest.approx(diameter)


def test_where_most_outlines_leave_no_core_the_typical_one_has_no_size():
    assert typical_core_diameter(squares(5, 5, 50), 1.0) == 0
    assert typical_core_diameter([], 1.0) == 0


def test_a_particle_is_what_is_brighter_than_half():
    grey = np.zeros((40, 40), np.uint8)
    grey[10:30, 10:30] = 127
    assert not carve_core(grey)[1].any()
    grey[grey > 0] = 128
    assert np.count_nonzero(carve_core(grey, "SQUARE")[1]) == 400


def test_random_rotation_is_by_any_angle(monkeypatch):
    angles = []
    monkeypatch.setattr(outlines, "prepare_particle", lambda *of: angles.append(of[2]))
    prepare_library(np.random.default_rng(0), np.zeros((3, 8, 8), np.uint8), "RANDOM", **SCALING)
    assert min(angles) == 0 and max(angles) == 359


def test_reach_is_that_of_the_furthest_edge_from_a_centre():
    upper_left = prepare_particle(outline_of(np.s_[5:20, 20:40]), 1.0, 0.0)  # centre: 32, 32
    lower_right = prepare_particle(outline_of(np.s_[30:45, 30:54]), 1.0, 0.0)
    nothing = prepare_particle(outline_of(np.s_[0:0]), 1.0, 0.0)
    assert reach_of([[upper_left, lower_right, nothing]]) == 27
    assert reach_of([[lower_right], [nothing]]) == 22
    assert reach_of([[nothing]]) == 0
