"""Percentiles, weights and confidence intervals against NumPy and known distributions."""

import numpy as np
import pytest

from pipeline.particles import size_distribution
from pipeline.particles.size_distribution import (
    FEWEST_IMAGES,
    STATISTICS,
    bootstrap_interval,
    size_statistics,
    summarise,
    weighted_percentiles,
)

DIAMETER = {"equivalent_diameter": ("number", "volume")}
INDEX = {name: index for index, name in enumerate(STATISTICS)}


def particles_of(sizes, images=None, weights=None):
    """Return the columns that `summarise` takes."""
    sizes = np.asarray(sizes, float)
    return {
        "equivalent_diameter": sizes,
        "image": np.zeros(len(sizes)) if images is None else images,
        "inclusion_weight": np.ones(len(sizes)) if weights is None else weights,
    }


@pytest.fixture
def few_samples(monkeypatch):
    monkeypatch.setattr(size_distribution, "BOOTSTRAP_SAMPLES", 400)


@pytest.mark.parametrize("number", [1, 2, 7, 100])
def test_equal_weights_give_numpys_percentiles(number):
    sizes = np.sort(np.random.default_rng(number).random(number))
    found = weighted_percentiles(sizes, np.full(number, 3.0), (10, 50, 90))
    np.testing.assert_allclose(found, np.percentile(sizes, (10, 50, 90), method="hazen"))


def test_a_weight_counts_as_so_many_particles():
    sizes, weights = np.array([1.0, 2.0, 5.0]), np.array([40, 50, 10])
    repeated = np.repeat(sizes, weights)
    mean, sd, *_ = size_statistics(sizes, weights.astype(float))
    assert mean == pytest.approx(repeated.mean())
    # The spread differs only by the number of particles it is taken from.
    freedom = 1 - np.sum((weights / 100) ** 2)
    assert sd**2 * freedom == pytest.approx(repeated.var())


def test_the_standard_deviation_of_equal_weights_is_the_samples():
    sizes = np.array([1.0, 2.0, 4.0, 9.0])
    assert size_statistics(sizes, np.ones(4))[1] == pytest.approx(sizes.std(ddof=1))


def test_by_volume_the_large_particle_counts():
    # A sphere of 10 has as much volume as 1000 of 1.
    sizes = np.concatenate([np.ones(1000), [10.0]])
    rows = summarise(DIAMETER, particles_of(sizes), 0)
    by_number, by_volume = rows
    assert (by_number["weighting"], by_volume["weighting"]) == ("number", "volume")
    assert by_number["mean"] == pytest.approx(1010 / 1001)
    assert by_volume["mean"] == pytest.approx(5.5)
    assert by_number["D90"] == pytest.approx(1)
    assert by_volume["D90"] == pytest.approx(10, rel=0.2)


def test_the_mean_diameters_are_ratios_of_moments():
    sizes = np.random.default_rng(0).lognormal(0, 0.5, 50)
    weights = np.random.default_rng(1).random(50) + 1
    quantities = {"equivalent_diameter": ("number", "surface", "volume")}
    rows = summarise(quantities, particles_of(sizes, weights=weights), 0)
    for row, p in zip(rows, (1, 3, 4), strict=True):
        assert row["mean_is"] == f"D[{p},{p - 1}]"
        for mean, weight in ((row["mean"], weights), (row["mean_uncorrected"], 1)):
            expected = (weight * sizes**p).sum() / (weight * sizes ** (p - 1)).sum()
            assert mean == pytest.approx(expected)


def test_geometric_statistics_and_span_of_a_log_normal_distribution():
    sizes = np.sort(np.random.default_rng(0).lognormal(np.log(50), np.log(1.6), 20_000))
    found = dict(zip(STATISTICS, size_statistics(sizes, np.ones(len(sizes))), strict=True))
    assert found["geometric_mean"] == pytest.approx(50, rel=0.02)
    assert found["geometric_sd"] == pytest.approx(1.6, rel=0.02)
    # D90 / D50 and D50 / D10 are the geometric standard deviation to the power of 1.2816.
    assert found["span"] == pytest.approx(1.6**1.2816 - 1.6**-1.2816, rel=0.03)
    assert found["span"] == pytest.approx((found["D90"] - found["D10"]) / found["D50"])


def test_the_border_correction_is_in_the_intervals_too(few_samples):
    sizes = np.repeat([10.0, 20.0], 50)
    (row,) = summarise(
        {"equivalent_diameter": ("number",)},
        particles_of(sizes, weights=np.where(sizes > 15, 3, 1)),
        0,
    )
    assert (row["n"], row["mean"], row["mean_uncorrected"]) == pytest.approx((100, 17.5, 15))
    assert 15 < row["mean_ci_low"] < 17.5 < row["mean_ci_high"]


def by_volume(sizes, diameters):
    """Return the row by volume of a quantity of particles of these diameters."""
    (row,) = summarise({"quantity": ("volume",)}, particles_of(diameters) | {"quantity": sizes}, 0)
    return row


def test_every_particle_keeps_its_own_weight_in_whatever_order_they_come(few_samples):
    """A quantity that is large where the diameter is small, so that its order is another."""
    diameters = np.random.default_rng(0).permutation(np.linspace(1, 4, 60))
    sizes = 10 - 2 * diameters
    row = by_volume(sizes, diameters)
    volumes = diameters**3
    mean = np.sum(volumes * sizes) / np.sum(volumes)
    assert row["mean"] == pytest.approx(mean)
    deviation = np.sqrt(np.sum(volumes * (sizes - mean) ** 2) / np.sum(volumes))
    assert row["sd"] == pytest.approx(deviation, rel=0.05)
    # Half of the volume is in the particles of a quantity below the median.
    below = volumes[sizes < row["D50"]].sum() / volumes.sum()
    assert below == pytest.approx(0.5, abs=0.05)
    assert row["mean_ci_low"] < mean < row["mean_ci_high"]
    assert row["mean_ci_high"] - row["mean_ci_low"] < 1.2
    again = by_volume(np.sort(sizes), diameters[np.argsort(sizes)])
    assert again["mean"] == pytest.approx(mean) and again["D50"] == pytest.approx(row["D50"])


@pytest.mark.parametrize("images", [np.zeros(60), np.arange(60) % 12])
def test_weights_go_with_their_sizes_into_the_bootstrap(few_samples, images):
    """From the largest to the smallest: weights in another order would turn them over."""
    sizes = np.linspace(4, 1, 60)
    low, high = bootstrap_interval(sizes, sizes**3, images, 0)
    assert low[0] < np.sum(sizes**4) / np.sum(sizes**3) < high[0]
    low, high = bootstrap_interval(sizes, sizes**-3.0, images, 0)
    assert low[0] < np.sum(sizes**-2) / np.sum(sizes**-3) < high[0]


def test_the_interval_of_the_mean_has_the_width_of_theory(few_samples):
    sizes = np.random.default_rng(0).normal(100, 10, 400)
    low, high = bootstrap_interval(sizes, np.ones(400), np.zeros(400), 1)
    assert (high[0] - low[0]) / 2 == pytest.approx(1.96 * 10 / np.sqrt(400), rel=0.15)
    assert low[0] < sizes.mean() < high[0]


def test_the_interval_holds_the_truth_in_about_95_of_100_cases(monkeypatch):
    monkeypatch.setattr(size_distribution, "BOOTSTRAP_SAMPLES", 200)
    random = np.random.default_rng(3)
    hits = 0
    for case in range(100):
        sizes = random.lognormal(0, 0.4, 60)
        low, high = bootstrap_interval(sizes, np.ones(60), np.zeros(60), case)
        # The median of this log-normal distribution.
        hits += low[INDEX["D50"]] <= 1 <= high[INDEX["D50"]]
    assert 88 <= hits <= 100


@pytest.mark.parametrize("images_differ", [0, 5])
def test_the_interval_over_images_holds_the_truth_in_about_95_of_100_cases(
    monkeypatch, images_differ
):
    monkeypatch.setattr(size_distribution, "BOOTSTRAP_SAMPLES", 300)
    random = np.random.default_rng(0)
    images = np.repeat(np.arange(FEWEST_IMAGES), 10)
    hits = np.zeros(len(STATISTICS))
    for case in range(200):
        of_image = random.normal(0, images_differ, FEWEST_IMAGES)
        sizes = random.normal(100, 10, len(images)) + of_image[images]
        hits += within(100, bootstrap_interval(sizes, np.ones(len(images)), images, case))
    for statistic in ("mean", "D50"):
        assert 0.88 < hits[INDEX[statistic]] / 200 < 0.99


def test_of_four_images_that_differ_the_interval_is_on_the_safe_side(monkeypatch):
    """As docs/measuring.md says; with plain percentiles it held the truth in 83 of 100 cases."""
    monkeypatch.setattr(size_distribution, "BOOTSTRAP_SAMPLES", 300)
    random = np.random.default_rng(1)
    images = np.repeat(np.arange(4), 60)
    hits = 0
    for case in range(100):
        sizes = random.normal(100, 10, len(images)) + random.normal(0, 5, 4)[images]
        hits += within(100, bootstrap_interval(sizes, np.ones(len(images)), images, case))
    assert (hits[[INDEX["mean"], INDEX["D50"]]] >= 90).all()


def test_intervals_by_volume_of_few_images_that_differ_hold_the_truth_less_often(monkeypatch):
    """As docs/measuring.md says: about 95 of 100 cases by number, 83 by volume."""
    monkeypatch.setattr(size_distribution, "BOOTSTRAP_SAMPLES", 200)
    random = np.random.default_rng(0)
    sigma, images = 0.3, np.repeat(np.arange(FEWEST_IMAGES), 50)
    variance = sigma**2 * (1 + 0.5**2)
    # Of a log-normal distribution: the moments' ratio with powers 1 and 0, 4 and 3.
    truth = {0: np.exp(variance / 2), 3: np.exp(3.5 * variance)}
    hits = dict.fromkeys(truth, 0)
    for case in range(100):
        of_image = random.normal(0, sigma / 2, FEWEST_IMAGES)
        sizes = np.exp(random.normal(0, sigma, len(images)) + of_image[images])
        for power, value in truth.items():
            interval = bootstrap_interval(sizes, sizes**power, images, case)
            hits[power] += within(value, interval)[INDEX["mean"]]
    assert 88 <= hits[0] <= 99
    assert 72 <= hits[3] < hits[0]


def within(value, interval):
    low, high = interval
    return (low <= value) & (value <= high)


# With 5 images, the limits are at 3.1 standard deviations instead of 1.96 (Student's t).
@pytest.mark.parametrize(("images", "ratio"), [(40, 1), (5, np.sqrt(9 / 5) * 3.1 / 1.96)])
def test_alike_images_give_the_interval_of_their_particles(images, ratio):
    # A bootstrap of particles in a bootstrap of images would count what particles of one image
    # differ by twice: with few images that is so, and said to be.
    half_widths = []
    for seed in range(8):
        sizes = np.random.default_rng(seed).normal(100, 20, 1000)
        of_image = np.repeat(np.arange(images), 1000 // images)
        low, high = bootstrap_interval(sizes, np.ones(1000), of_image, seed)
        half_widths.append((high[0] - low[0]) / 2)
    assert np.mean(half_widths) == pytest.approx(ratio * 1.96 * 20 / np.sqrt(1000), rel=0.1)


def test_images_that_differ_widen_the_interval(few_samples):
    random = np.random.default_rng(0)
    images = np.repeat(np.arange(10), 100)
    sizes = random.normal(100, 5, 1000) + 4 * images
    low, high = bootstrap_interval(sizes, np.ones(1000), images, 0)
    # Student's t for ten images, the standard deviation of their means over the root of ten.
    expected = 2.262 * 4 * np.std(np.arange(10), ddof=1) / np.sqrt(10)
    assert (high[0] - low[0]) / 2 == pytest.approx(expected, rel=0.15)
    alone = bootstrap_interval(sizes, np.ones(1000), np.zeros(1000), 0)
    assert (high - low)[0] > 4 * (alone[1] - alone[0])[0]


def test_the_seed_decides(few_samples):
    sizes = np.random.default_rng(0).random(50)
    first = bootstrap_interval(sizes, np.ones(50), np.zeros(50), 7)
    np.testing.assert_array_equal(first, bootstrap_interval(sizes, np.ones(50), np.zeros(50), 7))
    assert (np.array(first) != bootstrap_interval(sizes, np.ones(50), np.zeros(50), 8)).any()


def test_one_particle_has_a_size_and_no_interval():
    (row, _) = summarise(DIAMETER, particles_of([4.0], np.array(["a"])), 0)
    assert (row["n"], row["mean"], row["D50"]) == (1, 4, 4)
    assert np.isnan([row["sd"], row["D50_ci_low"], row["D50_ci_high"]]).all()


def test_no_particle_has_empty_rows():
    rows = summarise(DIAMETER, particles_of([]), 0)
    assert [row["n"] for row in rows] == [0, 0]
    assert all(np.isnan(row["D50"]) for row in rows)


def test_the_interval_of_a_summary_knows_which_image_a_particle_is_from(few_samples):
    # 10 images of 20 particles that are alike: as uncertain as 10 numbers, not as 200.
    means = 100 + 4.0 * np.arange(10)
    particles = particles_of(np.repeat(means, 20), images=np.repeat(np.arange(10), 20))
    row, _ = summarise(DIAMETER, particles, 0)
    # 2.262: Student's t of nine degrees of freedom, 95 %.
    expected = 2 * 2.262 * means.std(ddof=1) / np.sqrt(10)
    assert row["mean_ci_high"] - row["mean_ci_low"] == pytest.approx(expected, rel=0.25)


def test_a_weight_counts_in_the_geometric_mean_too():
    mean, deviation = size_statistics(np.array([1.0, 2.0, 4.0]), np.array([1.0, 1.0, 2.0]))[-2:]
    assert mean == pytest.approx(2**1.25)
    # Of the logarithms to the base 2, less 1.25: -1.25, -0.25 and twice 0.75.
    variance = (1.25**2 + 0.25**2 + 2 * 0.75**2) / 4
    freedom = 1 - (1 + 1 + 4) / 16
    assert np.log2(deviation) == pytest.approx(np.sqrt(variance / freedom))
