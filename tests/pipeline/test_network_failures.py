"""Each way a network fails, provoked; and that good ones are left alone."""

import logging

import cv2
import numpy as np
import pytest

from pipeline.network_failures import (
    act_on_failure,
    describe_contrast,
    describe_outlines,
    describe_probabilities,
    describe_translations,
    is_flat,
)


def masks(number=3):
    images = np.zeros((number, 64, 64), np.uint8)
    for index, image in enumerate(images):
        cv2.circle(image, (20 + 8 * index, 30), 12, 255, -1)
    return images


def micrographs(of, particle=170):
    noise = np.random.default_rng(0).normal(0, 8, of.shape)
    return np.clip(np.where(of > 0, particle, 80) + noise, 0, 255).astype(np.uint8)


def test_a_failure_stops_or_warns(caplog):
    act_on_failure(None, "stop")
    with pytest.raises(ValueError, match=r'went wrong\. To go on .*WHEN_A_NETWORK_FAILS = "warn"'):
        act_on_failure("It went wrong.", "stop")
    assert not caplog.records
    act_on_failure("It went wrong.", "warn")
    ((_, level, message),) = caplog.record_tuples
    assert (level, message) == (logging.WARNING, "It went wrong.")


def test_outlines_without_a_particle_are_found():
    assert describe_outlines(masks()) is None
    specks = np.random.default_rng(0).choice([0, 255], (5, 64, 64), p=[0.9, 0.1]).astype(np.uint8)
    assert "all of 5 samples hold no particle" in describe_outlines(specks)
    assert "white all over" in describe_outlines(np.full((4, 64, 64), 250, np.uint8))
    assert describe_outlines(np.concatenate([specks, masks()])) is None


def test_good_translations_are_left_alone():
    assert describe_translations(masks(), micrographs(masks()), masks()) is None
    # Dark particles are as good, and one micrograph may hold no particle.
    empty = np.concatenate([np.zeros((1, 64, 64), np.uint8), masks()])
    assert describe_translations(empty, micrographs(masks(), 20), masks()) is None


def test_constant_fakes_are_found():
    grey = np.full((3, 64, 64), 128, np.uint8)
    grey[:, ::2] = 129
    assert "all of 3 fake masks" in describe_translations(grey, micrographs(masks()), masks())
    assert "all of 3 fake micrographs" in describe_translations(masks(), grey, masks())


def test_micrographs_that_ignore_their_masks_are_found():
    others = micrographs(np.zeros_like(masks()))
    assert "do not show the particles" in describe_translations(masks(), others, masks())


@pytest.mark.parametrize("dark_background", [True, False])
def test_inverted_contrast_is_found(dark_background):
    sign = 1 if dark_background else -1
    assert describe_contrast(0.4 * sign, dark_background) is None
    assert describe_contrast(0.0, dark_background) is None
    problem = describe_contrast(-0.4 * sign, dark_background)
    assert f"DARK_BACKGROUND is {dark_background}" in problem
    assert f"{-0.4 * sign:+.2f}" in problem


def test_flat_probabilities_are_found():
    noise = np.random.default_rng(0).normal(0.9, 0.005, (40, 50))
    assert is_flat(noise) and is_flat(np.full((40, 50), 0.5, np.float32))
    assert not is_flat(np.where(masks()[0] > 0, 0.6, 0.4))
    one_small_particle = np.full((1000, 700), 0.4, np.float32)
    one_small_particle[500:506, 300:306] = 0.6
    assert not is_flat(one_small_particle)
    assert describe_probabilities(["a.tif"], 2) is None
    assert "any of 2 micrographs" in describe_probabilities(["a.tif", "b.tif"], 2)
