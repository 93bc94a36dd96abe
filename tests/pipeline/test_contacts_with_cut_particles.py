"""Contacts of particles with such as the edge cuts, which are left out."""

import numpy as np
import pytest

from pipeline.particle_shapes import measure_particles


@pytest.mark.parametrize("exclude_border", [True, False])
def test_a_particle_that_is_left_out_is_touched_all_the_same(exclude_border):
    labels = np.zeros((30, 40), np.uint8)
    labels[10:20, 0:10] = 1
    labels[10:20, 10:20] = 2
    measured = measure_particles(labels, exclude_border=exclude_border)
    assert measured["label"].tolist() == ([2] if exclude_border else [1, 2])
    assert measured["contact_share"][-1] == pytest.approx(1 / 4)
