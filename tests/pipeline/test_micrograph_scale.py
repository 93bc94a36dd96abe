"""The scale of micrographs: how it is chosen, that nothing is lost on the way there and back."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pipeline.image_files import write_image
from pipeline.micrograph_scale import (
    at_scale,
    choose_scale,
    mask_at_size,
    resize,
    scale_of,
    scaled_size,
)
from pipeline.particle_masks import label_particles, to_four_connected


def disk(diameter, side=64):
    away = np.arange(side) - (side - 1) / 2
    return np.where(np.hypot(away[:, None], away) <= diameter / 2, 255, 0).astype(np.uint8)


def write_outlines(folder, diameters, invert=False):
    folder.mkdir()
    for number, diameter in enumerate(diameters):
        write_image(folder / f"{number}.png", disk(diameter) ^ np.uint8(255 * invert))
    return folder


@pytest.mark.parametrize(
    ("diameters", "scale"),
    [([26] * 3, 1), ([15.5] * 3, 1), ([14] * 3, 2), ([12, 40, 12], 2), ([8] * 3, 3), ([3] * 3, 4)],
)
@pytest.mark.parametrize("invert", [False, True])
def test_small_outlines_are_enlarged_to_twenty_pixels(tmp_path, caplog, diameters, scale, invert):
    caplog.set_level("INFO")
    assert choose_scale(write_outlines(tmp_path / "masks", diameters, invert), invert) == scale
    assert (f"enlarged {scale} times (MICROGRAPH_SCALE)" in caplog.text) == (scale > 1)


def test_without_outlines_that_can_be_read_nothing_is_enlarged(tmp_path):
    assert choose_scale(tmp_path / "none") == 1
    assert choose_scale(tmp_path) == 1
    folder = write_outlines(tmp_path / "masks", [10])
    (folder / "damaged.png").write_bytes(b"no image")
    assert choose_scale(folder) == 1


def test_the_options_say_the_scale_or_the_outlines_do(tmp_path):
    options = {"INPUT_DIR_MASKS": str(write_outlines(tmp_path / "masks", [10]))}
    assert scale_of(options | {"MICROGRAPH_SCALE": "auto"}) == 2
    assert scale_of(options | {"MICROGRAPH_SCALE": 0.5}) == 0.5
    assert scale_of(options) == 1
    assert scale_of({"MICROGRAPH_SCALE": "auto", "INPUT_DIR_MASKS": 5}) == 1
    inverted = {"INPUT_DIR_MASKS": write_outlines(tmp_path / "black", [10], invert=True)}
    inverted |= {"MICROGRAPH_SCALE": "auto", "INVERT_INPUT_MASKS": True}
    assert scale_of(inverted) == 2


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (np.uint8, np.uint8),
        (np.uint16, np.uint16),
        (np.float32, np.float32),
        (np.int32, np.float64),
        (np.int8, np.float64),
        (np.float64, np.float64),
    ],
)
@pytest.mark.parametrize("scale", [0.5, 2, 2.5])
def test_greys_stay_in_their_range_and_where_they_were(dtype, expected, scale):
    image = np.zeros((40, 60), dtype)
    image[10:30, 16:30] = 100
    seen = at_scale(image, scale)
    assert (seen.dtype, seen.shape) == (expected, scaled_size(image.shape, scale))
    assert (seen.min(), seen.max()) == (0, 100)
    rows, columns = np.nonzero(seen > 50)
    assert (rows.mean() + 0.5) / scale == pytest.approx(20, abs=0.3)
    assert (columns.mean() + 0.5) / scale == pytest.approx(23, abs=0.3)
    assert np.count_nonzero(seen > 50) == pytest.approx(280 * scale**2, rel=0.03)


def test_at_scale_1_an_image_is_what_it_was():
    image = np.arange(12).reshape(3, 4)
    assert at_scale(image, 1.0) is image
    assert resize(image, (3, 4)) is image
    assert mask_at_size(image, (3, 4), 9) is image


@pytest.mark.parametrize("scale", [0.4, 2, 3])
def test_a_mask_goes_there_and_back(scale):
    mask = disk(30)
    again = mask_at_size(mask_at_size(mask, scaled_size(mask.shape, scale)), mask.shape)
    assert np.mean(again != mask) < (0.002 if scale > 1 else 0.03)


@pytest.mark.parametrize("size", [(40, 41), (29, 33), (60, 80)])
def test_particles_that_a_pixel_separates_stay_separate(size):
    mask = np.zeros((60, 80), np.uint8)
    for row in range(4, 50, 15):
        for column in range(4, 70, 15):
            mask[row : row + 14, column : column + 14] = 255  # gaps of one pixel
    number = label_particles(mask).max()
    assert label_particles(mask_at_size(mask, size, 9)).max() == number == 20


def test_crumbs_are_left_out():
    mask = np.zeros((60, 60), np.uint8)
    mask[10:15, 10:15] = mask[30:50, 30:50] = 255
    assert label_particles(mask_at_size(mask, (30, 30), 9)).max() == 1
    assert label_particles(mask_at_size(mask, (30, 30))).max() == 2


@given(
    mask=arrays.arrays(bool, st.tuples(st.integers(1, 20), st.integers(1, 20))),
    scale=st.floats(0.3, 3),
)
def test_no_particle_touches_another_at_the_new_size(mask, scale):
    mask = to_four_connected(mask.astype(np.uint8) * 255)
    labels, size = label_particles(mask), scaled_size(mask.shape, scale)
    new = mask_at_size(mask, size)
    assert (new.shape, new.dtype) == (size, np.uint8) or new is mask
    np.testing.assert_array_equal(new, to_four_connected(new))
    rows, columns = (
        np.array([math.floor((i + 0.5) * old / n) for i in range(n)])
        for n, old in zip(size, mask.shape, strict=True)
    )
    # Each particle has pixels of one particle only, and there are no others.
    before, after = labels[rows][:, columns], label_particles(new)
    for number in range(1, after.max() + 1):
        assert len(np.unique(before[after == number])) == 1
    assert not np.any((new > 0) & (before == 0))
