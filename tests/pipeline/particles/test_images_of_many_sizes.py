"""Number densities of images of many sizes, and frames that are empty by chance."""

import numpy as np
import pytest

from pipeline.particles.border_correction import empty_frame
from pipeline.particles.number_density import number_density


def test_images_of_one_density_leave_nothing_open_whatever_their_sizes():
    counted = np.arange(5, 45, 4)
    found = number_density(counted, counted.astype(float), counted / 10, seed=0)
    assert found == pytest.approx((10, 10, 10))


@pytest.mark.parametrize(("second", "frame"), [(np.s_[1:9, 20:26], 0), (np.s_[20:29, 20:26], 1)])
def test_particles_that_end_at_one_line_alone_are_cut_by_no_frame(second, frame):
    labels = np.zeros((30, 30), np.int32)
    labels[1:9, 5:11] = 1
    labels[second] = 2
    assert empty_frame(labels) == frame
