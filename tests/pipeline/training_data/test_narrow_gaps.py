"""How close particles are to each other at each pixel, which the UNet's loss can weigh."""

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from pipeline.training_data.narrow_gaps import closeness_of_particles


def plain(labels):
    """Return the same by the distances of all pixels to all particles, sorted."""
    distances = [distance_transform_edt(labels != label) for label in np.unique(labels[labels > 0])]
    if len(distances) < 2:
        return np.zeros(labels.shape)
    both = np.sort(distances, axis=0)[:2].sum(axis=0)
    return np.where(both <= 15, np.exp(-(both**2) / 50), 0)


@pytest.mark.parametrize("seed", range(8))
def test_it_is_that_of_the_distances_to_all_particles(seed):
    random = np.random.default_rng(seed)
    labels = np.zeros((70, 90), np.uint16)
    for label in random.permutation(40)[: random.integers(2, 25)] + 1:  # not all numbers
        row, column = random.integers(-5, (65, 85))
        height, width = random.integers(1, 18, 2)
        labels[max(row, 0) : row + height, max(column, 0) : column + width] = label
    found = closeness_of_particles(labels)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, plain(labels), atol=1e-6)


def test_it_falls_with_the_width_of_the_gap_and_is_largest_where_particles_touch():
    labels = np.zeros((30, 60), np.int32)
    labels[:10, :20], labels[:10, 20:40], labels[12:20, :20] = 1, 2, 3
    found = closeness_of_particles(labels)
    # A pixel beside the other particle is one pixel away from it.
    np.testing.assert_allclose(found[4, 19:21], np.exp(-1 / 50), rtol=1e-6)
    # Across the gap of two pixels the distances to its sides add up to three.
    np.testing.assert_allclose(found[10:12, 5], np.exp(-9 / 50), rtol=1e-6)
    assert found[4, 19] > found[10, 5] > found[9, 30] > 0
    assert not found[:, 55:].any()


@pytest.mark.parametrize("particles", [0, 1])
def test_without_a_second_particle_there_is_no_gap(particles):
    labels = np.zeros((20, 20), np.int32)
    labels[5:9, 5:9] = particles
    assert not closeness_of_particles(labels).any()
