"""Deformed outlines: one piece, inside the frame, about as large as before, and not all alike."""

import numpy as np
import pytest
from skimage.draw import ellipse

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
