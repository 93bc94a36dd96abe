"""The plots of the size distribution: what they say, and that they are drawn for any input."""

import numpy as np
import pytest

from pipeline.particles import size_distribution
from pipeline.particles.size_distribution import summarise
from pipeline.results.size_plots import plot_size_distribution

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


def test_the_border_correction_is_drawn(monkeypatch):
    monkeypatch.setattr(size_distribution, "BOOTSTRAP_SAMPLES", 50)
    # The largest particle, alone in the last bar, counts as all others together.
    particles = particles_of(np.array([*range(1, 9), 20.0]), np.array([1.0] * 8 + [8.0]))
    summary = summarise(DIAMETER, particles, 0)
    axes = plot_size_distribution(particles, "number", summary, "px").axes[0]
    assert axes.patches[-1].get_height() == pytest.approx(50)
    assert any(f"D50 = {summary[0]['D50']:.4g} px" in text.get_text() for text in axes.texts)
    assert summary[0]["D50"] > 8
