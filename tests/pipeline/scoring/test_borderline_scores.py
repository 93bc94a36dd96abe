"""Scores at their limits: half on background, specks beside particles, percentiles of few."""

import numpy as np
import pytest

from pipeline.particles.size_distribution import weighted_percentiles
from pipeline.scoring.error_kinds import invented_particles
from pipeline.scoring.score_table import AS_SAVED, log_scores, score_rows
from pipeline.scoring.scores import compare_masks, compute_scores


def squares(*sides):
    labels = np.zeros((40, 200), np.int32)
    for number, side in enumerate(sides, start=1):
        labels[5 : 5 + side, 20 * number : 20 * number + side] = number
    return labels


def test_a_particle_half_on_background_is_invented():
    overlaps = {"predicted": np.array([0, 1]), "intersection": np.array([5, 6])}
    assert invented_particles(np.array([10, 10]), overlaps).tolist() == [True, False]


def test_sizes_are_the_percentiles_of_the_summary():
    sides = (5, 8, 12, 18)
    scores = compute_scores(compare_masks(squares(*sides), squares(*sides)))
    diameters = 2 * np.array(sides) / np.sqrt(np.pi)
    expected = weighted_percentiles(diameters, np.ones(4), (10, 50, 90))
    found = [scores[f"d{percent}_true_px"] for percent in (10, 50, 90)]
    assert found == pytest.approx(expected.tolist())


def test_the_number_without_specks_is_logged(caplog):
    caplog.set_level("INFO")
    comparison = compare_masks(squares(10, 12, 2, 3), squares(10, 12))
    log_scores(score_rows({"a": {AS_SAVED: comparison}}))
    assert "of particles above 9 px, as D10 to D90 are: n/n true 1.000" in caplog.text
