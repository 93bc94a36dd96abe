"""The plots of the size distribution: what they say, and that they are drawn for any input."""

import numpy as np
import pytest

from pipeline.particles import size_distribution
from pipeline.particles.size_distribution import summarise
from pipeline.results.size_plots import (
    MAX_BARS,
    MIN_BARS,
    bar_edges,
    plot_size_distribution,
)

DIAMETER = {"equivalent_diameter": ("number", "volume")}


def particles_of(sizes, weights=None):
    weights = np.ones(len(sizes)) if weights is None else weights
    return {
        "equivalent_diameter": sizes,
        "inclusion_weight": weights,
        "image": np.zeros(len(sizes)),
    }


@pytest.mark.parametrize("number", [0, 1, 2, 500])
@pytest.mark.parametrize("weighting", ["number", "volume"])
def test_the_plot_of_any_number_of_particles(monkeypatch, weighting, number):
    monkeypatch.setattr(size_distribution, "BOOTSTRAP_SAMPLES", 50)
    particles = particles_of(np.random.default_rng(0).lognormal(5, 0.3, number))
    summary = summarise(DIAMETER, particles, 0)
    figure = plot_size_distribution(particles, weighting, summary, "nm")
    figure.draw_without_rendering()
    texts = " ".join(text.get_text() for text in figure.axes[0].texts)
    assert ("No particles" in texts) == (number == 0)
    assert figure.axes[0].get_xlabel() == "Equivalent circle diameter / nm"
    if number:
        heights = [bar.get_height() for bar in figure.axes[0].patches]
        assert sum(heights) == pytest.approx(100)


def test_the_number_of_bars_is_freedman_and_diaconis_where_that_can_be_read():
    sizes = np.random.default_rng(0).lognormal(5, 0.3, 500)
    assert np.array_equal(bar_edges(sizes), np.histogram_bin_edges(sizes, "fd"))
    assert len(bar_edges(sizes[:4])) == MIN_BARS + 1
    far = np.append(sizes, 1e6)
    assert len(bar_edges(far)) == MAX_BARS + 1
    assert bar_edges(far)[[0, -1]] == pytest.approx([sizes.min(), 1e6])


@pytest.mark.parametrize("difference", [0, 1e-16, 1e-15, 1e-12, 1e-9, 1e-6, 1e-3])
@pytest.mark.parametrize("alike", [0.8, 1.0])
def test_particles_alike_but_for_rounding_give_no_more_bars(difference, alike):
    # Of two images whose pixel sizes differ in the last digits: numpy's rule would make 10**15.
    sizes = np.full(100, 30.0)
    sizes[1::2] *= 1 + difference
    sizes[round(100 * alike) :] *= np.linspace(0.5, 2, 100 - round(100 * alike))
    edges = bar_edges(sizes)
    assert MIN_BARS + 1 <= len(edges) <= MAX_BARS + 1
    assert np.all(np.diff(edges) > 0)
    assert np.histogram(sizes, edges)[0].sum() == 100


def test_the_border_correction_is_drawn(monkeypatch):
    monkeypatch.setattr(size_distribution, "BOOTSTRAP_SAMPLES", 50)
    # The largest particle, alone in the last bar, counts as all others together.
    particles = particles_of(np.array([*range(1, 9), 20.0]), np.array([1.0] * 8 + [8.0]))
    summary = summarise(DIAMETER, particles, 0)
    axes, cumulative = plot_size_distribution(particles, "number", summary, "px").axes
    assert axes.patches[-1].get_height() == pytest.approx(50)
    (text,) = cumulative.texts  # in front of the curve
    assert f"D50 = {summary[0]['D50']:.4g} px" in text.get_text()
    assert summary[0]["D50"] > 8


def test_sizes_from_a_thousand_on_have_all_their_digits(monkeypatch):
    monkeypatch.setattr(size_distribution, "BOOTSTRAP_SAMPLES", 50)
    particles = particles_of(np.full(12, 10_001.4), np.ones(12))
    summary = summarise(DIAMETER, particles, 0)
    (text,) = plot_size_distribution(particles, "number", summary, "nm").axes[1].texts
    assert "D90 = 10001 nm" in text.get_text()


@pytest.mark.parametrize(
    ("weighting", "shares", "halfway"),
    [("number", (25, 75), (12.5, 62.5)), ("volume", (4, 96), (2, 52))],
)
def test_the_shares_of_particles_in_any_order(monkeypatch, weighting, shares, halfway):
    monkeypatch.setattr(size_distribution, "BOOTSTRAP_SAMPLES", 50)
    # The large one counts three times, and by volume 8 times more.
    particles = particles_of(np.array([20.0, 10.0]), np.array([3.0, 1.0]))
    summary = summarise(DIAMETER, particles, 0)
    axes, cumulative = plot_size_distribution(particles, weighting, summary, "px").axes
    bars = [bar.get_height() for bar in axes.patches]
    assert (bars[0], bars[-1]) == pytest.approx(shares)
    sizes, share = cumulative.lines[0].get_data()
    assert list(sizes) == [10, 20]
    assert tuple(share) == pytest.approx(halfway)
