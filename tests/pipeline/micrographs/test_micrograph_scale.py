"""The scale of micrographs: how it is chosen, that nothing is lost on the way there and back."""

import weakref

import cv2
import numpy as np
import pytest

from pipeline.image_files import read_mask, write_image
from pipeline.micrographs import micrograph_scale
from pipeline.micrographs.micrograph_scale import in_own_pixels, scale_for_outlines
from pipeline.micrographs.resampling import (
    as_cyclegan_sees,
    at_scale,
    resize,
    scaled_size,
)
from pipeline.particles.mask_resampling import mask_at_size
from simulate.outlines import prepare_particle


def disk(diameter, side=64):
    away = np.arange(side) - (side - 1) / 2
    return np.where(np.hypot(away[:, None], away) <= diameter / 2, 255, 0).astype(np.uint8)


def write_outlines(folder, diameters, invert=False):
    folder.mkdir()
    for number, diameter in enumerate(diameters):
        outline = disk(diameter, side=max(64, round(1.1 * diameter)))
        write_image(folder / f"{number}.png", outline ^ np.uint8(255 * invert))
    return folder


@pytest.mark.parametrize(
    ("diameters", "scale"),
    [
        ([26] * 3, 1),
        ([15.5] * 3, 1),
        ([14] * 3, 2),
        ([12, 40, 12], 2),
        ([8] * 3, 3),
        ([3] * 3, 4),
        ([39] * 3, 1),
        ([41] * 3, 0.5),
        ([61] * 3, 0.33),
        ([200] * 3, 0.1),
        ([600] * 2, 0.1),
        ([90] * 8 + [41] * 2, 0.5),
        ([16] * 2 + [90] * 8, 1),
        ([16] + [90] * 19, 0.25),
    ],
)
@pytest.mark.parametrize("invert", [False, True])
def test_outlines_are_resized_to_twenty_pixels_and_more(tmp_path, diameters, scale, invert):
    folder = write_outlines(tmp_path / "masks", diameters, invert)
    assert scale_for_outlines(folder, invert) == scale


@pytest.mark.parametrize(
    ("width", "length", "scale"),
    [
        (20, 20, 1),
        (12, 220, 1),  # as a circle 58 across, and at a half too thin to be simulated
        (28, 400, 0.5),
        (60, 480, 0.25),
        (8, 220, 2),
        (3, 220, 3),
    ],
)
def test_of_needles_the_width_decides(tmp_path, width, length, scale):
    needle = np.zeros((512, 512), np.uint8)
    cv2.line(needle, (100, 30), (100 + length * 3 // 5, 30 + length * 4 // 5), 255, width)
    for name in "ab":
        write_image(tmp_path / f"{name}.png", needle)
    assert scale_for_outlines(tmp_path) == scale
    if width > 3:  # and step 2 has something left of them
        assert prepare_particle(needle, scale, 0.0).area


def star(arm_width):
    """A disk of 80 pixels with six arms of 60."""
    picture = np.zeros((220, 220), np.uint8)
    cv2.circle(picture, (110, 110), 40, 255, -1)
    for angle in np.arange(0, np.pi, np.pi / 3):
        reach = 100 * np.array([np.cos(angle), np.sin(angle)])
        ends = [tuple((110 + sign * reach).astype(int).tolist()) for sign in (-1, 1)]
        cv2.line(picture, *ends, 255, arm_width)
    return picture


@pytest.mark.parametrize(("arm_width", "scale"), [(40, 0.25), (20, 0.5), (12, 1)])
def test_stars_are_not_reduced_to_disks(tmp_path, arm_width, scale):
    for name in "ab":
        write_image(tmp_path / f"{name}.png", star(arm_width))
    assert scale_for_outlines(tmp_path) == scale
    assert prepare_particle(star(arm_width), scale, 0.0).area > 0.4 * (
        star(arm_width) > 0
    ).sum() * (scale**2)


def test_outlines_that_cannot_be_read_do_not_count(tmp_path):
    assert scale_for_outlines(tmp_path / "none") is None
    assert scale_for_outlines(tmp_path) is None
    folder = write_outlines(tmp_path / "masks", [10])
    (folder / "damaged.png").write_bytes(b"no image")
    write_image(folder / "empty.png", disk(0))
    assert scale_for_outlines(folder) == 2


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


def test_a_distance_in_own_pixels():
    assert [in_own_pixels(9, scale) for scale in (0.5, 1, 2, 4, 30)] == [18, 9, 4, 2, 1]


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_spikes_are_clipped_before_they_are_spread(scale):
    micrograph = np.random.default_rng(0).normal(2000, 60, (200, 250)).round().astype(np.uint16)
    highest = micrograph.max()
    micrograph[100, 100] = 60_000
    assert as_cyclegan_sees(micrograph, scale).max() <= highest


def test_a_reduced_micrograph_has_the_mean_of_the_pixels_that_become_one():
    lines = np.zeros((64, 64), np.float32)
    lines[::4] = 100
    np.testing.assert_allclose(at_scale(lines, 0.25), 25, atol=1e-4)


def test_outlines_are_read_one_at_a_time(tmp_path, monkeypatch):
    """They may be masks of whole micrographs, put there by mistake."""
    folder, read_ones, alive = write_outlines(tmp_path / "masks", [90] * 6), [], []

    class Outline(np.ndarray):
        pass

    def read(file, invert):
        outline = read_mask(file, invert).view(Outline)
        read_ones.append(weakref.ref(outline))
        alive.append(sum(one() is not None for one in read_ones))
        return outline

    monkeypatch.setattr(micrograph_scale, "read_mask", read)
    assert scale_for_outlines(folder) == 0.25
    assert len(alive) >= 12 and max(alive) <= 2
