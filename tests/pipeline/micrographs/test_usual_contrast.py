"""A micrograph of few particles is stretched no further than is usual in its folder."""

import numpy as np
import pytest

from pipeline.image_files import write_image
from pipeline.intensities import as_unet_sees
from pipeline.micrographs import usual_contrast
from pipeline.micrographs.resampling import at_scale
from pipeline.micrographs.usual_contrast import UsualContrast

RANGE = (0.5, 99.5)
SIZE = 200
TILE = (50, 50)
BACKGROUND, PARTICLES, NOISE = 50, 170, 4


def micrograph(squares, contrast=1.0, seed=0, side=12):
    """Return uint8 noise with so many bright squares, 0.4 % of the image each."""
    image = np.full((SIZE, SIZE), BACKGROUND, float)
    for number in range(squares):
        top, left = 50 * (number // 4) + 10, 50 * (number % 4) + 20
        image[top : top + side, left : left + side] += contrast * (PARTICLES - BACKGROUND)
    noise = np.random.default_rng(seed).normal(0, NOISE, image.shape)
    return np.rint(image + noise).astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
    """Return ``folder(images, **options)``: each image as the UNet sees it, and the contrasts."""

    def see(images, dark_background=True, contrast_range=RANGE):
        files = []
        for number, image in enumerate(images):
            files.append(tmp_path / f"{number}.png")
            write_image(files[-1], image if dark_background else 255 - image)
        contrast = UsualContrast(files, None, contrast_range, dark_background, TILE, 1.0)
        given = [image if dark_background else 255 - image for image in images]
        limits = [contrast.limits(*pair) for pair in zip(files, given, strict=True)]
        seen = [
            as_unet_sees(image, contrast_range, dark_background, own)
            for image, own in zip(given, limits, strict=True)
        ]
        return seen, [files.index(file) for file in contrast.faint_files], limits

    return see


@pytest.mark.parametrize("dark_background", [True, False])
@pytest.mark.parametrize("squares", [0, 1])
def test_the_noise_around_few_particles_is_not_stretched(folder, squares, dark_background):
    dense = [micrograph(12, seed=seed) for seed in range(3)]
    few = micrograph(squares, seed=9)
    seen, faint, _ = folder([*dense, few], dark_background)
    alone = as_unet_sees(few, RANGE, True)
    empty = np.s_[150:]
    assert alone[empty].std() > 0.15  # by itself
    assert seen[3][empty].std() < 0.05
    np.testing.assert_allclose(seen[3][empty].std(), seen[0][empty].std(), rtol=0.2)
    assert faint == ([] if squares else [3])
    if squares:  # it is as bright as those of the others
        square = np.s_[12:20, 22:30]
        assert seen[3][square].mean() == pytest.approx(seen[0][square].mean(), abs=0.05)


@pytest.mark.parametrize("dark_background", [True, False])
def test_others_are_stretched_to_their_own_percentiles(folder, dark_background):
    images = [micrograph(12, contrast, seed) for seed, contrast in enumerate((0.8, 1, 1.2, 1.25))]
    seen, faint, limits = folder(images, dark_background)
    own = [image if dark_background else 255 - image for image in images]
    for number in (2, 3):  # of more than the median
        assert limits[number] == tuple(np.percentile(own[number], RANGE))
        expected = as_unet_sees(own[number], RANGE, dark_background)
        np.testing.assert_array_equal(seen[number], expected)
    # Of those of less the brightest tile decides, which has not much more.
    low, high = limits[0]
    assert high - low == pytest.approx(np.ptp(np.percentile(own[0], RANGE)), rel=0.05)
    assert not faint


def test_something_bright_takes_no_contrast_beyond_the_usual(folder):
    """A label burned into the image, say."""
    labelled = micrograph(6, 0.7, seed=5)
    labelled[180:185, 5:35] = 255
    *_, limits = folder([micrograph(12, seed=1), micrograph(12, seed=2), labelled])
    usual = [high - low for low, high in limits[:2]]
    low, high = limits[2]
    assert high - low == pytest.approx(np.median([*usual, np.ptp(np.percentile(labelled, RANGE))]))


@pytest.mark.parametrize("dark_background", [True, False])
@pytest.mark.parametrize("side", [20, 45])
def test_a_patch_much_brighter_than_particles_leaves_them_as_in_others(
    folder, dark_background, side
):
    """A bar of the grid, say, or a charged patch: of one to five percent of the micrograph."""
    images = [micrograph(12, 0.4, seed) for seed in range(4)]
    images[3][155 : 155 + side, 5 : 5 + side] = 255
    seen, faint, limits = folder(images, dark_background)
    square = np.s_[12:20, 22:30]
    assert np.ptp(np.percentile(images[3], RANGE)) > 2 * np.ptp(limits[0])
    assert seen[3][square].mean() == pytest.approx(seen[0][square].mean(), abs=0.05)
    assert (seen[3][160:170, 10:20] == 1).all() and not faint


@pytest.mark.parametrize("dark_background", [True, False])
def test_a_micrograph_of_brighter_particles_all_over_keeps_its_own(folder, dark_background):
    images = [micrograph(12, 0.4, seed) for seed in range(3)] + [micrograph(12, 1.2, 7)]
    *_, limits = folder(images, dark_background)
    own = images[3] if dark_background else 255 - images[3]
    assert limits[3] == tuple(np.percentile(own, RANGE))
    assert np.ptp(limits[3]) > 2 * np.ptp(limits[0])


@pytest.mark.parametrize("dark_background", [True, False])
def test_few_particles_at_a_higher_gain_keep_their_own(folder, dark_background):
    images = [micrograph(12, 0.4, seed) for seed in range(3)]
    noise = np.random.default_rng(3).normal(0, 10, (SIZE, SIZE))
    few = np.clip(micrograph(2, 1.2, 7) + noise, 0, 255).astype(np.uint8)
    *_, limits = folder([*images, few], dark_background)
    own = few if dark_background else 255 - few
    assert limits[3] == tuple(np.percentile(own, RANGE))
    assert np.ptp(limits[3]) > 2 * np.ptp(limits[0])


@pytest.mark.parametrize("number", [1, 3])
def test_something_bright_in_all_is_not_taken_for_their_particles(folder, number):
    """A scale bar, say, of which a tile holds a hundredth."""
    images = [micrograph(12, 0.4, seed) for seed in range(number)]
    for image in images:
        image[180:182, 5:35] = 255
    *_, limits = folder(images)
    for image, (low, high) in zip(images, limits, strict=True):
        assert high - low == pytest.approx(np.ptp(np.percentile(image, RANGE)), rel=0.1)


def test_16_bit_is_compared_with_16_bit(folder):
    images = [micrograph(12, seed=seed) for seed in range(3)]
    wide = [np.uint16(image) * 257 for image in images]
    _, faint, limits = folder([*images, *wide[:2]])
    assert not faint
    assert limits[3] == pytest.approx([257 * limit for limit in limits[0]], rel=0.01)


@pytest.mark.parametrize("dark_background", [True, False])
@pytest.mark.parametrize("number", [1, 4])
def test_where_all_show_few_particles_their_noise_is_not_stretched(folder, number, dark_background):
    images = [micrograph(1, seed=seed) for seed in range(number)]
    seen, faint, _ = folder(images, dark_background)
    assert not faint
    for image in seen:
        assert image[150:].std() < 0.05  # by itself above 0.15
        assert image[12:20, 22:30].mean() > 0.9


@pytest.mark.parametrize("contrast_range", [None, (0, 99.5)])
def test_without_a_range_there_are_no_limits(folder, contrast_range):
    _, faint, limits = folder([micrograph(12), micrograph(0)], True, contrast_range)
    assert set(limits) == {None} and not faint


def test_one_alone_is_stretched_to_its_own_percentiles(folder):
    image = micrograph(12)
    _, faint, (limits,) = folder([image])
    assert limits == tuple(np.percentile(image, RANGE)) and not faint


def test_a_constant_image_among_others_shows_nothing(folder):
    seen, faint, _ = folder([micrograph(12), micrograph(12), np.full((30, 20), 7, np.uint8)])
    assert not seen[2].any() and faint == [2]


@pytest.mark.parametrize(
    ("scale", "parts"), [(1.0, [(50, 60)]), (2.0, [(25, 30)]), (0.5, [(100, 120)])]
)
def test_parts_are_of_the_micrographs_own_pixels_and_what_is_seen_at_the_scale(
    tmp_path, monkeypatch, scale, parts
):
    image, sizes, tiles = micrograph(12), set(), usual_contrast.iterate_tiles
    write_image(tmp_path / "a.png", image)

    def iterate_tiles(image, height, width, min_overlap):
        sizes.add((height, width))
        return tiles(image, height, width, min_overlap)

    monkeypatch.setattr(usual_contrast, "iterate_tiles", iterate_tiles)
    contrast = UsualContrast([tmp_path / "a.png"], None, RANGE, True, (50, 60), scale)
    assert sizes == set(parts)
    seen = contrast.as_unet_sees(tmp_path / "a.png", image)
    np.testing.assert_array_equal(seen, at_scale(as_unet_sees(image, RANGE, True), scale))
