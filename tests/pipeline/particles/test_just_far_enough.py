"""Centres that are just as far apart as particles must be."""

import numpy as np
import pytest

from pipeline.particles.touching_particles import split_touching_particles


@pytest.mark.parametrize(("min_distance", "particles"), [(9, 2), (10, 1)])
@pytest.mark.parametrize("step", [(0, 9), (9, 0), (9, 9)])
def test_centres_at_the_least_distance_are_two_and_any_closer_one(min_distance, particles, step):
    mask = np.zeros((50, 50), bool)
    for row, column in ((20, 20), (20 + step[0], 20 + step[1])):
        mask[row - 3 : row + 4, column - 3 : column + 4] = True
    assert split_touching_particles(mask, min_distance).max() == particles
