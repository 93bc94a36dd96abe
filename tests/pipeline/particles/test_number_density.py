"""Particles per area: known sums, and confidence intervals that hold what they should."""

import numpy as np
import pytest

from pipeline.particles import number_density as module
from pipeline.particles.number_density import number_density
from pipeline.particles.size_distribution import FEWEST_IMAGES


def density(counted, weights=None, areas=None, seed=0):
    counted = np.asarray(counted)
    weights = counted.astype(float) if weights is None else np.asarray(weights, float)
    areas = np.ones(len(counted)) if areas is None else np.asarray(areas, float)
    return number_density(counted, weights, areas, seed)


def test_all_images_count_together_those_without_a_particle_too():
    value, low, high = density([10, 0, 20], areas=[1, 2, 1])
    assert value == pytest.approx(30 / 4)
    assert low < value < high


def test_particles_count_for_those_that_the_edge_cut():
    assert density([10, 10], weights=[12.5, 11.5])[0] == pytest.approx(12)


def test_of_one_image_it_is_poissons_interval():
    value, low, high = density([100])
    assert value == 100
    assert (low, high) == (pytest.approx(100 - 1.96 * 10, abs=2), pytest.approx(119.6, abs=2))


def test_particles_that_the_edge_cut_count_in_the_limits_too():
    assert density([10] * 10, weights=[12] * 10) == (12, 12, 12)


def test_images_that_are_all_alike_leave_nothing_open():
    for number in (FEWEST_IMAGES, 10):
        assert density([50] * number) == (50, 50, 50)
    value, low, high = density([50] * (FEWEST_IMAGES - 1))
    assert low < value == 50 < high


def test_of_nothing_no_limits_are_known_and_the_seed_decides():
    for counted in ([0, 0], [1, 0]):
        value, *limits = density(counted)
        assert value == sum(counted) / 2 and np.isnan(limits).all()
    assert density([3, 9, 4], seed=1) == density([3, 9, 4], seed=1)
    assert density([3, 9, 4], seed=1) != density([3, 9, 4], seed=2)


@pytest.mark.parametrize("images", [1, 4, 12])
def test_the_interval_holds_the_truth_of_particles_that_lie_anywhere(images, monkeypatch):
    monkeypatch.setattr(module, "BOOTSTRAP_SAMPLES", 400)
    random = np.random.default_rng(0)
    limits = [density(random.poisson(60, images), seed=seed)[1:] for seed in range(200)]
    low, high = np.transpose(limits)
    assert ((low <= 60) & (high >= 60)).sum() >= 0.9 * 200
    # Of few images each one's number counts twice, once for the images and once for particles, and
    # Student's t is large.
    wide = {1: 1.3, 4: 2.5, 12: 1.3}[images]
    assert np.median(high - low) < wide * 2 * 1.96 * np.sqrt(60 / images)


@pytest.mark.parametrize("images", [3, 4, 7])
def test_of_few_images_that_differ_it_holds_the_truth_too(images, monkeypatch):
    monkeypatch.setattr(module, "BOOTSTRAP_SAMPLES", 400)
    random = np.random.default_rng(0)
    hits = 0
    for seed in range(200):
        expected = 60 * random.lognormal(-(0.3**2) / 2, 0.3, images)  # 60 in the mean
        _, low, high = density(random.poisson(expected), seed=seed)
        hits += low <= 60 <= high
    assert hits >= 0.9 * 200


def test_images_of_one_density_leave_nothing_open_whatever_their_sizes():
    counted = np.arange(5, 45, 4)
    found = number_density(counted, counted.astype(float), counted / 10, seed=0)
    assert found == pytest.approx((10, 10, 10))
