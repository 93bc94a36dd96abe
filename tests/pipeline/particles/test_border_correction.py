"""Leaving out what the edge cuts favours small particles; the weights make up for it."""

import numpy as np
import pytest
from scipy.stats import norm

from pipeline.particle_shapes import measure_particles
from pipeline.particles.border_correction import inclusion_weights
from pipeline.particles.size_distribution import WEIGHTING_POWERS, summarise

MEDIAN, LOG_SD = 30, 0.3
HEIGHT, WIDTH = 160, 220


def test_the_weight_of_a_box():
    columns = {"bounding_box_height": np.array([30, 1]), "bounding_box_width": np.array([50, 1])}
    expected = [100 * 200 / (70 * 150), 100 * 200 / (99 * 199)]
    np.testing.assert_allclose(inclusion_weights(columns, (100, 200)), expected)


def test_a_box_as_large_as_the_image_has_a_finite_weight():
    columns = {"bounding_box_height": np.array([10]), "bounding_box_width": np.array([20])}
    assert inclusion_weights(columns, (10, 20)) == [200]


def test_the_box_is_that_of_the_pixels_whatever_their_size():
    mask = np.zeros((50, 60), bool)
    mask[10:14, 20:30], mask[5:14, 25] = True, True
    table = measure_particles(mask, pixel_size=2.5)
    assert (table["bounding_box_height"], table["bounding_box_width"]) == ([9], [10])
    assert table["inclusion_weight"] == pytest.approx(50 * 60 / (41 * 50))


def test_particles_count_alike_where_those_at_the_edge_stay():
    mask = np.zeros((50, 60), bool)
    mask[0:9, 3:9], mask[20:30, 20:30] = True, True
    assert (measure_particles(mask, exclude_border=False)["inclusion_weight"] == 1).all()


def drop_disks(random, number):
    """Return the columns of log-normal disks dropped round a frame, without those it cuts."""
    diameter = random.lognormal(np.log(MEDIAN), LOG_SD, number)
    margin = diameter.max()
    centres = random.uniform(-margin, np.add((HEIGHT, WIDTH), margin)[:, None], (2, number))
    y, x = centres
    radius = diameter / 2
    whole = (radius < y) & (y < HEIGHT - radius) & (radius < x) & (x < WIDTH - radius)
    box = {f"bounding_box_{side}": diameter[whole] for side in ("height", "width")}
    return {
        "equivalent_diameter": diameter[whole],
        "inclusion_weight": inclusion_weights(box, (HEIGHT, WIDTH)),
        "image": np.zeros(whole.sum()),
    }


def test_the_sizes_of_disks_that_the_frame_does_not_cut_are_those_of_all(monkeypatch):
    monkeypatch.setattr("pipeline.particles.size_distribution.BOOTSTRAP_SAMPLES", 100)
    particles = drop_disks(np.random.default_rng(0), 400_000)
    rows = summarise({"equivalent_diameter": tuple(WEIGHTING_POWERS)}, particles, 0)
    for row in rows:
        assert row["n"] == len(particles["image"])
        power = WEIGHTING_POWERS[row["weighting"]]
        for statistic, percent in (("D50", 50), ("D90", 90)):
            # A power of the size as weight shifts a log-normal distribution by so many variances.
            truth = MEDIAN * np.exp(LOG_SD * norm.ppf(percent / 100) + power * LOG_SD**2)
            # Three standard errors, of which the interval holds about four.
            margin = 3 / 4 * (row[f"{statistic}_ci_high"] - row[f"{statistic}_ci_low"])
            assert row[statistic] == pytest.approx(truth, abs=margin)
            assert row[f"{statistic}_uncorrected"] < truth - margin
