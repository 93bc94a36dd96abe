"""Micrographs imaged otherwise: what changes, by how much, and what does not."""

import numpy as np
import pytest

from pipeline.training_data import imaging_variations
from pipeline.training_data.imaging_variations import background_levels


def tiles(number=40, side=64):
    """White disks of radius 20 on grey, float32 (number, side, side, 1)."""
    rows, columns = np.ogrid[:side, :side]
    disk = (rows - side / 2) ** 2 + (columns - side / 2) ** 2 < 400
    return np.tile(np.where(disk, 0.8, 0.4).astype(np.float32)[None, ..., None], (number, 1, 1, 1))


def vary_imaging(images, random, levels=None):
    """Vary images; without ``levels`` each keeps the background that it has."""
    if levels is not None:
        return imaging_variations.vary_imaging(images, levels, random)
    own = [background_levels(image[..., 0], *image.shape[:2])[:1] for image in images]
    varied = [
        imaging_variations.vary_imaging(image[None], levels, random)
        for image, levels in zip(images, own, strict=True)
    ]
    return np.concatenate(varied)


@pytest.fixture
def only(monkeypatch):
    def leave(name):
        for other in {"LARGEST_BLUR", "LARGEST_NOISE", "LARGEST_SHADE"} - {name}:
            monkeypatch.setattr(imaging_variations, other, 0.0)

    return leave


def test_each_micrograph_varies_within_the_grey_range():
    varied = vary_imaging(tiles(), np.random.default_rng(0))
    assert varied.dtype == np.float32 and varied.shape == tiles().shape
    assert varied.min() >= 0 and varied.max() <= 1
    assert len(np.unique(varied.mean(axis=(1, 2, 3)))) == len(varied)
    np.testing.assert_array_equal(varied, vary_imaging(tiles(), np.random.default_rng(0)))


def test_particles_stay_where_they_are():
    """A disk far from the middle, so that it would show if the image were flipped or turned."""
    rows, columns = np.ogrid[:64, :64]
    disk = (rows - 18) ** 2 + (columns - 42) ** 2 < 144
    images = np.where(disk, np.float32(0.8), np.float32(0.3))[None, ..., None].repeat(60, 0)
    others = [disk[::-1], disk[:, ::-1], disk[::-1, ::-1], disk.T, np.roll(disk, 6, 0)]
    for varied in vary_imaging(images, np.random.default_rng(1)):
        alike = np.corrcoef(varied.ravel(), disk.ravel())[0, 1]
        assert alike > 0.7
        assert alike > 0.1 + max(np.corrcoef(varied.ravel(), one.ravel())[0, 1] for one in others)


def test_noise_is_white_and_of_its_strength(only):
    only("LARGEST_NOISE")
    images = tiles(200)
    noise = (vary_imaging(images, np.random.default_rng(2)) - images)[..., 0]
    strengths = noise.std(axis=(1, 2))
    assert 0 < strengths.min() < 0.005 and 0.045 < strengths.max() < 0.052
    strongest = noise[strengths.argmax()]
    assert abs(np.corrcoef(strongest[:, 1:].ravel(), strongest[:, :-1].ravel())[0, 1]) < 0.05


def test_blur_softens_the_rims_alone(only):
    only("LARGEST_BLUR")
    images = tiles()
    varied = vary_imaging(images, np.random.default_rng(3))
    steps = np.abs(np.diff(varied[:, 32, :, 0], axis=1)).max(axis=1)
    assert steps.max() == pytest.approx(0.4) and steps.min() < 0.2
    np.testing.assert_allclose(varied[:, 32, 32], 0.8, atol=1e-5)
    np.testing.assert_allclose(varied.mean(axis=(1, 2)), images.mean(axis=(1, 2)), atol=1e-4)


def test_shade_is_smooth_and_a_factor(only):
    only("LARGEST_SHADE")
    images = np.full((60, 192, 192, 1), 0.4, np.float32)
    factors = vary_imaging(images, np.random.default_rng(4))[..., 0] / 0.4
    assert 0.3 < factors.min() < 0.75 and 1.25 < factors.max() < 1.7
    assert abs(factors.mean() - 1) < 0.03
    assert np.abs(np.diff(factors, axis=1)).max() < 0.1  # no step that looks like a rim


def uneven_micrograph(particle=1.0):
    """Return a ramp from 0.1 to 0.5, left to right, with particles on a third of it."""
    image = np.tile(np.linspace(0.1, 0.5, 256, dtype=np.float32), (128, 1))
    rows, columns = np.indices(image.shape)
    image[(rows % 32 < 20) & (columns % 32 < 18)] = particle
    return image


def test_levels_are_those_of_the_background_however_bright_the_particles():
    for particle in (0.7, 1.0):
        levels = background_levels(uneven_micrograph(particle), 64, 64)
        assert levels.dtype == np.float32 and levels.shape == (3, 2, 2)
        # Windows of 64 columns hold 0.1 of the ramp; their level is of its darker end.
        np.testing.assert_allclose(levels[:, 0, 0], [0.11, 0.21, 0.31], atol=0.02)
        np.testing.assert_allclose(levels[:, :, 1] - levels[:, :, 0], 0.1, atol=0.02)
        np.testing.assert_array_equal(levels[:, 0], levels[:, 1])


@pytest.mark.parametrize(
    ("shape", "places"), [((64, 64), 1), ((64, 200), 2), ((100, 130), 1), ((192, 128), 2)]
)
def test_small_micrographs_have_a_place_at_least(shape, places):
    levels = background_levels(np.full(shape, 0.3, np.float32), 64, 64)
    np.testing.assert_allclose(levels, np.full((places, 2, 2), 0.3))


@pytest.mark.parametrize("own", [0.0, 0.2, 0.6])
def test_the_background_becomes_that_of_a_real_place_and_white_stays_white(only, own):
    only("none of them")
    images = np.full((30, 64, 64, 1), own, np.float32)
    images[:, 24:40, 24:40] = 1.0
    levels = np.array([[[0.1, 0.1], [0.1, 0.1]], [[0.2, 0.4], [0.2, 0.4]]], np.float32)
    varied = vary_imaging(images, np.random.default_rng(5), levels)[..., 0]
    np.testing.assert_allclose(varied[:, 24:40, 24:40], 1.0, atol=1e-6)
    left, right = varied[:, :16, :4].mean(axis=(1, 2)), varied[:, :16, -4:].mean(axis=(1, 2))
    kinds = {(round(float(a), 2), round(float(b), 2)) for a, b in zip(left, right, strict=True)}
    assert kinds == {(0.1, 0.1), (0.2, 0.4)}
    assert np.abs(np.diff(varied[:, :16], axis=2)).max() < 0.01  # no step between the places


def test_a_background_that_is_even_stays_as_it_is(only):
    only("none of them")
    images = tiles()
    np.testing.assert_allclose(vary_imaging(images, np.random.default_rng(6)), images, atol=1e-6)
