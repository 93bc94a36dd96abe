"""How large the core of a typical outline is."""

import numpy as np
import pytest

from simulate.outlines import typical_core_diameter


def squares(*sides):
    outlines = []
    for side in sides:
        outline = np.zeros((60, 60), np.uint8)
        outline[5 : 5 + side, 5 : 5 + side] = 255
        outlines.append(outline)
    return outlines


def test_the_typical_core_is_that_of_the_outline_in_the_middle():
    # The gap of two pixels goes off on each side.
    diameter = 2 * np.sqrt(16**2 / np.pi)
    assert typical_core_diameter(squares(12, 20, 50), 1.0) == pytest.approx(diameter)


def test_where_most_outlines_leave_no_core_the_typical_one_has_no_size():
    assert typical_core_diameter(squares(5, 5, 50), 1.0) == 0
    assert typical_core_diameter([], 1.0) == 0
