"""Micrographs imaged otherwise: what changes, by how much, and what does not."""

import numpy as np
import pytest

from pipeline.training_data import imaging_variations
from pipeline.training_data.imaging_variations import LARGEST_SHADE


def tiles(number=40, side=64):
    """White disks of radius 20 on grey, float32 (number, side, side, 1)."""
    rows, columns = np.ogrid[:side, :side]
    disk = (rows - side / 2) ** 2 + (columns - side / 2) ** 2 < 400
    return np.tile(np.where(disk, 0.8, 0.4).astype(np.float32)[None, ..., None], (number, 1, 1, 1))


def vary_imaging(images, random, dark_background=True):
    return imaging_variations.vary_imaging(images, random, dark_background)


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


def test_dark_particles_are_shaded_as_in_the_microscope(only):
    """The bright background is, the black of it not; negated, as the network sees both."""
    only("LARGEST_SHADE")
    images = np.zeros((60, 96, 96, 1), np.float32)  # negatives: a white background,
    images[:, :20] = 1.0  # and black
    micrographs = 1 - vary_imaging(images, np.random.default_rng(5), dark_background=False)
    assert micrographs[:, :20].max() < 1e-6
    background = micrographs[:, 20:, :, 0]
    darkest = background.min(axis=(1, 2))
    least = (1 - LARGEST_SHADE) / (1 + LARGEST_SHADE)
    assert 0.5 * least < darkest.min() < 0.5 and 0.9 < darkest.max() <= 1
    assert background.max(axis=(1, 2)).min() > 0.7  # somewhere it is as bright as it was
    assert np.abs(np.diff(background, axis=1)).max() < 0.1
