"""Where particles are known to be, and noise that shows none."""

import cv2
import numpy as np
import pytest
from skimage.filters import threshold_li

from pipeline.intensities import stretch_to_uint8
from pipeline.micrographs.foreground import foreground_by_parts, foreground_of_micrograph
from pipeline.tiles import iterate_tiles
from simulate.examples import make_examples
from simulate.mask_image import foreground_of_labels
from simulate.outlines import CROSS


@pytest.fixture(scope="module")
def examples():
    """Return pairs of a synthetic micrograph and its labels."""
    return [(micrograph, labels) for _, micrograph, labels in make_examples(1)[:3]]


def disks(centres, radius, shape=(120, 160)):
    image = np.zeros(shape, np.uint8)
    for column, row in centres:
        cv2.circle(image, (column, row), radius, 1, -1)
    return image.astype(bool)


@pytest.mark.parametrize("dark_background", [True, False])
def test_the_foreground_of_a_micrograph_is_where_its_particles_are(dark_background):
    true = disks([(40, 40), (110, 70)], 15)
    noise = np.random.default_rng(0).normal(0, 6, true.shape)
    image = np.where(true == dark_background, 170, 60) + noise
    found = foreground_of_micrograph(np.clip(image, 0, 255).astype(np.uint8), dark_background)
    assert np.mean(found != true) < 0.01


def scattered(number, contrast, noise=10, shape=(200, 200)):
    """Return where ``number`` disks are, bool, and a micrograph of them, float; ``contrast`` in
    standard deviations of the noise."""
    random = np.random.default_rng(number)
    true = disks(random.integers(20, 180, (number, 2)).tolist(), 10, shape)
    return true, 80 + noise * (contrast * true + random.normal(size=shape))


@pytest.mark.parametrize("dark_background", [True, False])
@pytest.mark.parametrize(("number", "contrast"), [(1, 10), (1, 4), (3, 6), (20, 2), (60, 1.2)])
def test_few_particles_are_told_from_noise(number, contrast, dark_background):
    true, image = scattered(number, contrast)
    image = np.rint(image if dark_background else 255 - image).astype(np.uint8)
    found = foreground_of_micrograph(image, dark_background)
    true = foreground_of_labels(true)
    assert np.count_nonzero(found & true) > 0.85 * np.count_nonzero(found | true)


@pytest.mark.parametrize("dark_background", [True, False])
@pytest.mark.parametrize("extent", [0, 1, 2])  # of the grain, sigma in pixels
@pytest.mark.parametrize("noise", [0.5, 1, 10, 25])
def test_noise_shows_no_particle(noise, extent, dark_background):
    random = np.random.default_rng(0).normal(size=(200, 200))
    random = cv2.GaussianBlur(random, (0, 0), extent) if extent else random
    image = np.clip(np.rint(120 + noise * random / random.std()), 0, 255).astype(np.uint8)
    assert foreground_of_micrograph(image, dark_background).mean() < 0.002


def sparse(dark_background):
    """A few disks on a ground with stains, of which a threshold over all cuts the stains in two."""
    shape = (480, 640)
    true = disks([(60, 90), (330, 520), (400, 100)], 11, shape)
    random = np.random.default_rng(3)
    stains = cv2.GaussianBlur(random.normal(size=shape), (0, 0), 40)
    image = 70 + 5 * stains / stains.std() + random.normal(0, 3, shape) + 110 * true
    image = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    return true, image if dark_background else 255 - image


@pytest.mark.parametrize("dark_background", [True, False])
def test_few_particles_are_found_in_a_large_micrograph_part_by_part(dark_background):
    true, image = sparse(dark_background)
    found = foreground_by_parts(image, dark_background, 120, 160)
    assert np.count_nonzero(found & true) > 0.8 * np.count_nonzero(found | true)


@pytest.mark.parametrize("dark_background", [True, False])
def test_parts_with_nothing_but_particles_are_known_from_those_beside_them(dark_background):
    true = np.zeros((120, 240), bool)
    true[:, 100:] = True  # the second part is full
    image = np.where(true, 150, 60) + np.random.default_rng(0).normal(0, 5, true.shape)
    image = np.rint(image if dark_background else 255 - image).astype(np.uint8)
    found = foreground_by_parts(image, dark_background, 120, 120)
    assert np.mean(found != true) < 0.01


def domes(shape=(128, 128)):
    """Convex particles side by side, brighter to their rims, and two dark gaps: float."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = 100 + 6 * np.hypot((y % 32) - 15.5, (x % 32) - 15.5)
    image += np.random.default_rng(0).normal(0, 8, shape)
    image[60:64, 30:60] = image[90:96, 80:84] = 20
    return image


def test_where_no_part_is_sure_each_is_cut_by_itself():
    image = np.clip(np.rint(domes((128, 300))), 0, 255).astype(np.uint8)
    assert foreground_by_parts(image, True, 128, 128).mean() > 0.6


@pytest.mark.parametrize("dark_background", [True, False])
def test_one_place_that_is_brighter_than_all_hides_no_particles(dark_background):
    """Of 16 bit, of which it leaves the particles less than a grey of 8 bit."""
    true = disks([(60, 60), (60, 180), (180, 60)], 12, (240, 240))
    image = 1000 + 250 * true + np.random.default_rng(0).normal(0, 12, true.shape)
    image[170:190, 170:190] = 65000
    image = image if dark_background else 65535 - image
    found = foreground_by_parts(np.rint(image).astype(np.uint16), dark_background, 120, 120)
    found[165:195, 165:195] = False
    assert np.count_nonzero(found & true) > 0.8 * np.count_nonzero(found | true)


def test_where_particles_are_many_it_is_li_s_threshold_that_tells_them(examples):
    for micrograph, labels in examples:
        for tile, true in zip(
            iterate_tiles(micrograph, 128, 128, 0), iterate_tiles(labels, 128, 128, 0), strict=True
        ):
            if np.mean(true > 0) < 0.05:
                continue
            tile = stretch_to_uint8(tile[..., 0])
            smooth = np.rint(cv2.GaussianBlur(tile.astype(np.float32), (0, 0), 1.0))
            bright = (smooth > threshold_li(smooth)).astype(np.uint8)
            opened = cv2.morphologyEx(bright, cv2.MORPH_OPEN, CROSS)
            np.testing.assert_array_equal(
                foreground_of_micrograph(tile, True), foreground_of_labels(opened)
            )


@pytest.mark.parametrize("with_brighter_one", [False, True])
def test_an_agglomerate_that_fills_the_tile_is_not_taken_for_noise(with_brighter_one):
    image = domes()
    if with_brighter_one:  # which alone stands apart for sure
        image[20:36, 90:106] = 255
    found = foreground_of_micrograph(np.clip(np.rint(image), 0, 255).astype(np.uint8), True)
    assert found.mean() > 0.6


def test_dark_particles_are_found_as_bright_ones_are(examples):
    micrograph = stretch_to_uint8(examples[0][0])
    bright, dark = (
        foreground_of_micrograph(image, dark_background)
        for image, dark_background in ((micrograph, True), (255 - micrograph, False))
    )
    assert 0.1 < bright.mean() < 0.6
    np.testing.assert_array_equal(dark, bright)


def test_a_micrograph_of_one_grey_has_no_foreground():
    assert not foreground_of_micrograph(np.full((30, 40), 7, np.uint8), True).any()


@pytest.mark.parametrize("dark_background", [True, False])
def test_particles_of_which_only_the_rim_shines_are_whole(dark_background):
    whole = disks([(40, 40), (70, 40), (110, 70), (0, 100)], 14)  # two touch, one is cut
    inner = disks([(40, 40), (70, 40), (110, 70), (0, 100)], 9)
    shines = (whole & ~inner) == dark_background
    image = np.where(shines, 170, 60) + np.random.default_rng(0).normal(0, 6, whole.shape)
    found = foreground_of_micrograph(np.clip(image, 0, 255).astype(np.uint8), dark_background)
    assert found[40, 40] and found[40, 70] and found[70, 110]
    assert not found[100, 3]  # open to the edge: background, for all that is known
    inside = np.s_[:, 20:]
    assert np.mean(found[inside] != whole[inside]) < 0.015
