"""Of a label map most of the numbers up to the largest occur."""

import numpy as np
import pytest

from pipeline.particles.label_maps import is_label_map


@pytest.mark.parametrize(("step", "told"), [(1, True), (2, True), (3, False)])
def test_a_third_of_the_numbers_is_too_few(step, told):
    numbers = step * np.arange(1, 17, dtype=np.uint16).reshape(4, 4)
    labels = np.pad(np.kron(numbers, np.ones((10, 10), np.uint16)), 5)
    assert is_label_map(labels) == told
