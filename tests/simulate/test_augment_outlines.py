"""Deformed outlines: one piece, inside the frame, about as large as before, and not all alike."""

import numpy as np
import pytest
from scipy import ndimage
from skimage.draw import ellipse

from simulate import augment_outlines as augmenting
from simulate.augment_outlines import augment_outlines, deform, is_one_particle


@pytest.fixture
def outlines():
    """Return three ellipses, uint8 (3, 64, 64)."""
    outlines = np.zeros((3, 64, 64), np.uint8)
    for outline, radii in zip(outlines, ((6, 10), (12, 12), (20, 14)), strict=True):
        outline[ellipse(32, 32, *radii)] = 255
    return outlines


def test_as_many_as_asked_for_each_one_particle(outlines):
    drawn = augment_outlines(np.random.default_rng(0), outlines, 60)
    assert drawn.shape == (60, 64, 64) and drawn.dtype == np.uint8
    assert all(is_one_particle(outline > 127) for outline in drawn)
    assert len({outline.tobytes() for outline in drawn}) == 60


def test_each_outline_is_used_equally_often_and_keeps_its_size(outlines):
    drawn = augment_outlines(np.random.default_rng(1), outlines, 60)
    areas = np.sort(np.count_nonzero(drawn > 127, axis=(1, 2))).reshape(3, 20)
    given = np.count_nonzero(outlines > 127, axis=(1, 2))
    # The size varies by 5 %, the area by twice as much.
    np.testing.assert_allclose(areas.mean(axis=1), given, rtol=0.08)
    assert (areas.std(axis=1) / given > 0.03).all() and (areas.std(axis=1) / given < 0.2).all()


def test_the_particle_stays_where_it_was():
    outline = np.zeros((60, 80), np.uint8)
    outline[ellipse(20, 55, 9, 12)] = 255
    for seed in range(20):
        rows, columns = np.nonzero(deform(np.random.default_rng(seed), outline) > 127)
        assert rows.mean() == pytest.approx(20, abs=2)
        assert columns.mean() == pytest.approx(55, abs=2)


@pytest.mark.parametrize("radius", [20, 29, 30, 31])
def test_outlines_that_fill_their_frames_are_not_drawn_smaller(radius):
    outline = np.zeros((64, 64), np.uint8)
    outline[ellipse(31.5, 31.5, radius, radius)] = 255
    drawn = augment_outlines(np.random.default_rng(0), outline[None], 60)
    assert all(is_one_particle(one > 127) for one in drawn)
    assert (drawn.shape == (60, 64, 64)) == (radius == 20)
    sizes = np.sqrt(np.count_nonzero(drawn > 127, axis=(1, 2)) / np.count_nonzero(outline))
    assert np.median(sizes) == pytest.approx(1, abs=0.02)
    assert np.percentile(sizes, 90) > 1.04
    assert len({one.tobytes() for one in drawn}) == 60


def test_an_outline_at_the_edge_of_its_frame_gets_room_too(outlines):
    drawn = augment_outlines(np.random.default_rng(0), np.roll(outlines, -15, axis=2), 60)
    assert drawn.shape[1] == drawn.shape[2] > 64


def test_an_outline_that_cannot_be_deformed_is_only_mirrored():
    outline = np.zeros((40, 40), np.uint8)
    outline[10:30, 10:14] = 255
    outline[20, 10:30] = 255  # a line of one pixel, which smoothing takes away
    outline[19:22, 26:30] = 255
    drawn = augment_outlines(np.random.default_rng(0), outline[None], 30)
    assert all(is_one_particle(one > 127) for one in drawn)
    versions = [outline[::down, ::right] for down in (1, -1) for right in (1, -1)]
    mirrored = [any(np.array_equal(one, version) for version in versions) for one in drawn]
    assert np.mean(mirrored) > 0.5


def test_the_same_random_numbers_give_the_same_outlines(outlines):
    first, second = (augment_outlines(np.random.default_rng(5), outlines, 9) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_what_is_one_particle():
    mask = np.zeros((6, 6), bool)
    assert not is_one_particle(mask)
    mask[2, 2] = True
    assert is_one_particle(mask)
    mask[4, 4] = True
    assert not is_one_particle(mask)
    mask[4, 4], mask[0, 2] = False, True
    assert not is_one_particle(mask)


@pytest.fixture
def only(monkeypatch):
    """Return a function that leaves one kind of deformation."""

    def only(kind):
        for name in {"TURN", "STRETCH", "SIZE", "BEND"} - {kind}:
            monkeypatch.setattr(augmenting, name, 0.0)

    return only


def deformed(outline, number):
    return [deform(np.random.default_rng(seed), outline) > 127 for seed in range(number)]


def outline_of(radii, size=128):
    outline = np.zeros((size, size), np.uint8)
    outline[ellipse(size // 2, size // 2, *radii)] = 255
    return outline


def spreads(mask):
    """Return the standard deviations of a mask's pixels along its axes, the smaller first, and the
    angle of the longer axis in degrees, -90 to 90."""
    variances, axes = np.linalg.eigh(np.cov(np.nonzero(mask)))
    return *np.sqrt(variances), np.degrees(np.arctan(axes[0, 1] / axes[1, 1]))


def test_particles_are_turned_by_up_to_15_degrees_to_both_sides(only):
    only("TURN")
    angles = [spreads(mask)[2] for mask in deformed(outline_of((15, 45)), 200)]
    assert min(angles) == pytest.approx(-15, abs=1)
    assert max(angles) == pytest.approx(15, abs=1)


def test_particles_are_stretched_by_8_percent_in_any_direction(only):
    only("STRETCH")
    shapes = [spreads(mask) for mask in deformed(outline_of((40, 40)), 200)]
    # Longer by as much as it is narrower: the ratio is the square.
    stretches = [np.log(longer / shorter) / 2 for shorter, longer, _ in shapes]
    assert np.sqrt(np.mean(np.square(stretches))) == pytest.approx(0.08, rel=0.15)
    in_each_direction, _ = np.histogram([angle for *_, angle in shapes], 3, (-90, 90))
    assert min(in_each_direction) > 40


@pytest.mark.parametrize("radius", [16, 40])
def test_rims_are_bent_by_3_percent_of_the_diameter(only, radius):
    only("BEND")
    shares = []
    for mask in deformed(outline_of((radius, radius)), 40):
        rim = np.nonzero(mask & ~ndimage.binary_erosion(mask))
        shares.append(np.std(np.hypot(*(place - place.mean() for place in rim))) / (2 * radius))
    # Less than 3 %: a bend as long as the particle is wide moves all of it.
    assert 0.015 < np.mean(shares) < 0.028


def test_all_four_mirror_images_are_equally_frequent(monkeypatch):
    monkeypatch.setattr(augmenting, "deform", lambda rng, outline: outline)
    corner = np.zeros((1, 32, 32), np.uint8)
    corner[0, 12:20, 12:14] = corner[0, 12:14, 12:20] = 255
    drawn = augment_outlines(np.random.default_rng(0), corner, 200)
    versions, counts = np.unique(drawn, axis=0, return_counts=True)
    assert {version.tobytes() for version in versions} == {
        corner[0, ::rows, ::columns].tobytes() for rows in (1, -1) for columns in (1, -1)
    }
    assert min(counts) > 30


def test_of_more_outlines_than_wanted_none_is_used_twice(monkeypatch):
    monkeypatch.setattr(augmenting, "deform", lambda rng, outline: outline)
    squares = np.zeros((12, 40, 40), np.uint8)
    for number, square in enumerate(squares):
        square[14 - number // 2 : 26, 14 - number // 2 : 25 + number % 2] = 255
    drawn = augment_outlines(np.random.default_rng(0), squares, 11)
    assert len({np.count_nonzero(outline) for outline in drawn}) == 11


def test_in_frames_that_are_not_square_there_is_room_on_all_sides():
    high = np.zeros((1, 64, 32), np.uint8)
    high[0, 22:42, 11:31] = 255  # one pixel from the right edge
    for outlines in (high, high.transpose(0, 2, 1)):
        (drawn,) = augment_outlines(np.random.default_rng(0), outlines, 1)
        # 15 % of 20 pixels are 3, two more than there are.
        assert drawn.shape == tuple(size + 4 for size in outlines[0].shape)


def test_what_hangs_together_at_a_corner_alone_is_two_particles():
    mask = np.zeros((9, 9), bool)
    mask[2:4, 2:4] = mask[4:6, 4:6] = True
    assert not is_one_particle(mask)
