"""Masks of known disks, of what both kinds of network say."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.filters import threshold_otsu

from pipeline.intensities import stretch_to_uint8
from pipeline.particle_masks import label_particles, segment_particles, to_four_connected
from pipeline.particles import unet_output
from pipeline.particles.unet_output import otsu_of_few_particles, segment_output
from tests.pipeline.disks_output import ALONE, RADIUS, TOUCHING, alike, disks, network_output


def test_particles_are_grown_over_what_otsus_threshold_leaves():
    """Of the stretched probability: halo and background are below it, whatever their level."""
    mask = segment_output(network_output(), -1, True, 9)
    assert mask.dtype == np.uint8 and set(np.unique(mask)) == {0, 255}
    expected = disks((TOUCHING[0], RADIUS), (TOUCHING[1], RADIUS), (ALONE, 8))
    assert alike(mask, expected) > 0.94  # but for a line between two, and smoothed rims
    areas = np.bincount(label_particles(mask).ravel())[1:]
    assert sorted(areas) == pytest.approx([np.pi * 64, np.pi * 196, np.pi * 196], rel=0.1)


@pytest.mark.parametrize("channels", [1, 2])
def test_a_single_particle_is_told_from_a_noisy_background(channels):
    """Otsu's threshold itself would cut the background in two: the particle is 0.0006 of it."""
    output = np.zeros((400, 500, channels), np.float32)
    output[..., 0] = np.random.default_rng(0).normal(0.4, 0.02, (400, 500))
    particle = np.hypot(*np.ogrid[-100:300, -70:430]) <= 6
    output[particle] = 0.9
    assert np.count_nonzero(output[..., 0] > threshold_otsu(output[..., 0])) > 0.2 * particle.size
    mask = segment_output(output, -1, True, 9)
    assert np.count_nonzero((mask > 0) != particle) <= 12


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("deviation", [0.04, 0.08])
@pytest.mark.parametrize("hole", [0, 8, 12, 20, 40])  # radius: 0 to 2.5 % are background
def test_a_layer_that_leaves_hardly_any_background_is_all_particles(channels, deviation, hole):
    """Otsu's threshold would cut the particles in two, or find nothing above it."""
    rows, columns = np.indices((400, 500))
    central = np.abs(np.sin(np.pi * rows / 40) * np.sin(np.pi * columns / 50))
    noise = cv2.GaussianBlur(np.random.default_rng(0).normal(size=rows.shape), (0, 0), 1.5)
    probability = (0.9 + deviation * noise / noise.std()).clip(0, 1)
    background = np.hypot(rows - 200, columns - 250) < hole
    probability[background] = 0.03
    output = np.stack([probability, np.where(background, 0, central)], -1).astype(np.float32)
    mask = segment_output(output[..., :channels], -1, channels == 2, 9)
    assert np.count_nonzero((mask == 0) & ~background) < 0.05 * mask.size  # the lines between them
    assert np.count_nonzero((mask > 0) & background) < 0.2 * background.sum() + 1
    if channels == 2:
        assert 90 <= label_particles(mask).max() <= 100


def test_noise_alone_is_background():
    noise = np.random.default_rng(0).normal(0.4, 0.02, (400, 500))
    assert np.count_nonzero(noise > otsu_of_few_particles(noise)) < 10


@pytest.mark.parametrize("share", [0.01, 0.02, 0.05])
def test_a_background_as_uneven_as_a_seventh_of_the_range_hides_no_particles(share):
    """No cut has classes a third of the range apart here: the best of all counts."""
    random = np.random.default_rng(0)
    is_particle = random.random((600, 800)) < share
    bright, dark = (random.normal(*of, is_particle.shape) for of in ((215, 14), (91, 30)))
    probability = np.where(is_particle, bright, dark).clip(0, 255).round()
    above = probability > otsu_of_few_particles(probability.astype(np.uint8))
    assert above[is_particle].mean() > 0.98 and above[~is_particle].mean() < 0.05


@given(share=st.floats(0.02, 0.98), seed=st.integers(0, 2**32 - 1))
def test_where_particles_stand_out_otsus_threshold_is_that_of_all_pixels(share, seed):
    random = np.random.default_rng(seed)
    image = (random.random((30, 40)) < share) * 160 + random.normal(40, 6, (30, 40)).clip(0, 80)
    image = np.rint(image).astype(np.uint8)
    assert otsu_of_few_particles(image) == threshold_otsu(image)


@pytest.mark.parametrize(("threshold", "halo"), [(50, 3), (100, 0), (254, 0)])
def test_particles_are_grown_over_what_is_above_a_threshold_that_is_given(threshold, halo):
    """In 255ths of the range from 0.2 to 0.7, of which the halo has three tenths: 76.5."""
    mask = segment_output(network_output(), threshold, True, 9)
    pairs = [(centre, RADIUS + halo) for centre in TOUCHING] + [(ALONE, 8 + halo)]
    assert alike(mask, disks(*pairs)) > 0.94
    assert label_particles(mask).max() == 3
    assert not segment_output(network_output(), 255, True, 9).any()


def test_a_mask_of_grown_particles_is_4_connected_whatever_the_options_of_the_other_kind():
    mask = segment_output(network_output(), -1, True, 9)
    np.testing.assert_array_equal(mask, to_four_connected(mask))
    for options in ((False, 9), (True, 40)):
        np.testing.assert_array_equal(mask, segment_output(network_output(), -1, *options))


@pytest.mark.parametrize(
    ("watershed_lines", "min_distance", "number"),
    [(True, 9, 3), (False, 9, 2), (True, 27, 2)],
)
def test_without_centrality_particles_are_split_as_the_options_say(
    watershed_lines, min_distance, number
):
    """The centres of the two that touch are 26 pixels apart."""
    probability = network_output()[..., :1]
    mask = segment_output(probability, -1, watershed_lines, min_distance)
    assert label_particles(mask).max() == number
    expected = disks((TOUCHING[0], RADIUS), (TOUCHING[1], RADIUS), (ALONE, 8))
    assert alike(mask, expected) > 0.94
    low = segment_output(probability, 50, watershed_lines, min_distance)
    assert np.count_nonzero(low) > 1.2 * np.count_nonzero(mask)


def test_an_image_without_particles_gives_an_empty_mask():
    noise = np.random.default_rng(0).uniform(0.05, 0.3, (60, 60)).astype(np.float32)
    assert not segment_output(noise[..., None], -1, True, 9).any()
    noise[5, 5] = 0.9
    assert not segment_output(noise[..., None], -1, True, 9).any()
    noise[10:20, 10:20] = 0.45  # likelier than the rest, but not likely
    assert not segment_output(noise[..., None], -1, True, 9).any()
    assert segment_output(noise[..., None], 90, True, 9)[11:19, 11:19].all()  # as the user says
    noise[20:35, 20:35] = 0.8
    mask = segment_output(noise[..., None], -1, True, 9)
    assert mask[22:33, 22:33].all()
    assert np.count_nonzero(mask) == pytest.approx(15 * 15, abs=3)


def test_grown_particles_come_without_crumbs(monkeypatch):
    """Of one label eight pixels hang on a square by a corner; of another nine stand alone."""
    labels = np.zeros((60, 60), np.int32)
    labels[20:40, 20:40] = labels[18:20, 16:20] = 1
    labels[50:53, 50:53] = 2
    monkeypatch.setattr(unet_output, "grow_particles", lambda *output: labels)
    output = np.random.default_rng(0).random((60, 60, 2), np.float32)
    mask = segment_output(output, -1, True, 9)
    assert not mask[18:20, 16:20].any()
    assert mask[50:53, 50:53].all() and mask[20:40, 20:40].all()
    assert np.count_nonzero(mask) == 20 * 20 + 9


def test_a_flat_probability_image_gives_an_empty_mask_whatever_its_level():
    """Stretched to 0..255 and cut by Otsu's threshold, noise would be thousands of particles."""
    for level in (0.0, 0.3, 0.9, 1.0):
        noise = np.random.default_rng(0).normal(level, 0.004, (60, 80, 1)).astype(np.float32)
        assert not segment_output(np.clip(noise, 0, 1), -1, True, 9).any()


def test_a_threshold_of_0_takes_all_that_is_above_0():
    output = np.zeros((40, 40, 1), np.float32)
    output[5:15, 5:15], output[20:30, 20:30] = 0.2, 1
    assert np.count_nonzero(segment_output(output, 0, False, 9)) == 200
    grey = np.rint(output[..., 0] * 255).astype(np.uint8)
    assert np.count_nonzero(segment_particles(grey, 0, False, 9)) == 200


@pytest.mark.parametrize(
    ("counts", "above"),
    [
        ({0: 5000, 85: 4900, 255: 100}, 5000),  # 0.34 of the range is enough
        ({0: 10_000, 75: 1000, 145: 100, 200: 10, 255: 1}, 1111),  # none has it: the best counts
    ],
)
def test_the_first_cut_of_enough_contrast_counts_else_the_best(counts, above):
    image = np.repeat(np.array(list(counts), np.uint8), list(counts.values()))
    assert np.count_nonzero(image > otsu_of_few_particles(image)) == above


def test_where_particles_leave_hardly_any_background_the_threshold_is_a_half():
    probability = np.random.default_rng(0).uniform(0.85, 0.95, (100, 100)).astype(np.float32)
    probability[0, :3] = 0.02
    low, high = float(probability.min()), float(probability.max())
    found = unet_output._otsu_or_half(probability[..., None], stretch_to_uint8(probability))
    assert found == pytest.approx(255 * (0.5 - low) / (high - low))
    # Particles of two brightnesses are not cut into these either.
    probability = np.repeat(np.array([[0.02, 0.6, 0.85]], np.float32), (3, 5000, 5000), axis=1)
    stretched = stretch_to_uint8(probability)
    above = stretched > unet_output._otsu_or_half(probability[..., None], stretched)
    assert np.count_nonzero(above) == 10_000


@pytest.mark.parametrize(
    ("of_darker", "level"),
    [(0.05, "between"), (0.3, "half")],  # a background, and particles that are darker
)
def test_a_background_likelier_than_a_half_is_told_by_its_centrality(of_darker, level):
    """As a UNet says of it after a short training: of one such image all was taken for particle."""
    random = np.random.default_rng(0)
    output = np.empty((100, 100, 2), np.float32)
    output[..., 0], output[..., 1] = 0.55, of_darker
    output[30:60, 30:70] = 0.85, 0.4
    output[..., 0] += random.normal(0, 0.01, (100, 100))
    output[0, 0, 0] = 0.1  # so that Otsu's two sides differ by less than a third of the range
    stretched = stretch_to_uint8(output[..., 0])
    above = stretched > unet_output._otsu_or_half(output, stretched)
    wanted = 30 * 40 if level == "between" else 100 * 100 - 1
    assert abs(np.count_nonzero(above) - wanted) < 50
