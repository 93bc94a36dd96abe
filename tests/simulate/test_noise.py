"""Gradient noise: its definition, range, smoothness and number of periods."""

import numpy as np
import pytest

from simulate.noise import gradient_noise
from tests.simulate.plain_simulation import plain_gradient_noise


@pytest.mark.parametrize(("height", "width", "frequency"), [(24, 40, 4), (31, 17, 2.5), (8, 8, 1)])
def test_equals_the_plain_definition(height, width, frequency):
    fast = gradient_noise(np.random.default_rng(3), height, width, frequency)
    plain = plain_gradient_noise(np.random.default_rng(3), height, width, frequency)
    assert fast.shape == (height, width)
    np.testing.assert_allclose(fast, plain, atol=1e-5)


def test_runs_from_minus_one_to_one():
    noise = gradient_noise(np.random.default_rng(0), 300, 200, 4)
    assert noise.dtype == np.float32
    assert (noise.min(), noise.max()) == (-1, 1)


def test_is_smooth_and_rougher_at_a_higher_frequency():
    steps = []
    for frequency in (2, 8):
        noise = gradient_noise(np.random.default_rng(1), 256, 256, frequency)
        step = np.abs(np.diff(noise, axis=0)).max()
        # Over one cell, 256 / frequency pixels, the noise cannot change by much more than its
        # range; a jump would be far larger than a few times this mean slope.
        assert step < 4 * 2 * frequency / 256
        steps.append(step)
    assert steps[1] > 2 * steps[0]


def test_slopes_grow_with_the_frequency():
    def mean_slope(frequency):
        fields = [gradient_noise(np.random.default_rng(s), 200, 200, frequency) for s in range(20)]
        return np.mean([np.abs(np.diff(field, axis=1)).mean() for field in fields])

    # Twice the periods over the same pixels: twice as steep.
    assert mean_slope(16) == pytest.approx(2 * mean_slope(8), rel=0.1)


@pytest.mark.parametrize("frequency", [0, -1, 33])
def test_impossible_frequency_is_an_error(frequency):
    with pytest.raises(ValueError, match=f"perlin_noise_frequency is {frequency}; .* at most 32"):
        gradient_noise(np.random.default_rng(0), 64, 80, frequency)


def test_no_place_is_always_of_one_value():
    """Lattice points, where the noise is near 0, lie elsewhere in each image."""
    fields = [gradient_noise(np.random.default_rng(seed), 64, 64, 4) for seed in range(400)]
    spread = np.std(fields, axis=0)
    assert spread.min() > 0.7 * spread.max()


def test_cells_are_square_in_a_rectangle_too():
    fields = [gradient_noise(np.random.default_rng(seed), 96, 384, 6) for seed in range(60)]
    slopes = [np.abs(np.diff(fields, axis=axis)).mean() for axis in (1, 2)]
    assert slopes[0] == pytest.approx(slopes[1], rel=0.1)
