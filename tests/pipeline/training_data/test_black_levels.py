"""From which grey on the means of tiles are compared: a detector's offset is left out."""

import numpy as np
import pytest

from pipeline.training_data.real_tiles import _black_level


@pytest.mark.parametrize("scale", [1, 200])
@pytest.mark.parametrize(
    ("darkest", "black"), [(-30, -30), (0, 0), (60, 0), (180, 0), (220, 220), (400, 400)]
)
def test_a_darkest_grey_of_more_than_twice_the_range_is_black(darkest, black, scale):
    image = scale * (darkest + np.linspace(0, 100, 100 * 100).reshape(100, 100))
    # Half a percent of the pixels is darker than the darkest that counts.
    assert _black_level(image) == pytest.approx(scale * black, abs=scale)
