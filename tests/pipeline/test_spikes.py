"""How far out, and how rare, single pixels are that are clipped as spikes."""

import numpy as np
import pytest

from pipeline.intensities import clip_spikes

RAMP = np.tile(np.linspace(1000, 2000, 100), (100, 1))  # 10,000 pixels


def with_pixels(value, number, dtype):
    image = RAMP.astype(dtype)
    image[10 : 10 + 9 * number : 9, 50] = value
    return image


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
@pytest.mark.parametrize(
    ("value", "clipped"), [(3000, False), (4900, False), (5100, True), (60000, True)]
)
def test_spikes_are_farther_out_than_three_times_the_range_of_the_others(value, clipped, dtype):
    image = with_pixels(value, 1, dtype)
    expected = 2000 if clipped else value
    assert clip_spikes(image).max() == expected
    assert (clip_spikes(image) is image) != clipped


@pytest.mark.parametrize(("value", "clipped"), [(-1900, False), (-2100, True)])
def test_dark_spikes_are_as_far_out_on_the_other_side(value, clipped):
    image = with_pixels(value, 1, np.int32)
    assert clip_spikes(image).min() == (1000 if clipped else value)


def test_more_than_one_in_ten_thousand_pixels_are_no_spikes():
    assert clip_spikes(with_pixels(60000, 1, np.uint16)).max() == 2000
    two = with_pixels(60000, 2, np.uint16)
    assert clip_spikes(two) is two
