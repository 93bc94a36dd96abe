"""Backgrounds of known levels, place by place."""

import numpy as np
import pytest

from pipeline.training_data.real_backgrounds import measure_backgrounds


def uneven_micrograph(particle=1.0):
    """Return a ramp from 0.1 to 0.5, left to right, with particles on a third of it."""
    image = np.tile(np.linspace(0.1, 0.5, 256, dtype=np.float32), (128, 1))
    rows, columns = np.indices(image.shape)
    image[(rows % 32 < 20) & (columns % 32 < 18)] = particle
    return image


def test_levels_are_those_of_the_background_however_bright_the_particles():
    for particle in (0.7, 1.0):
        places = measure_backgrounds(uneven_micrograph(particle), 64, 64, dark_background=True)
        assert places.dtype == np.float32 and places.shape == (3, 2, 2, 2)
        levels = places[..., 0]
        # Windows of 64 columns hold 0.1 of the ramp; their level is of its darker end.
        np.testing.assert_allclose(levels[:, 0, 0], [0.11, 0.21, 0.31], atol=0.02)
        np.testing.assert_allclose(levels[:, :, 1] - levels[:, :, 0], 0.1, atol=0.02)
        np.testing.assert_array_equal(levels[:, 0], levels[:, 1])


def test_range_left_is_that_of_the_micrograph_or_where_light_is_taken_away_of_the_place():
    micrograph = uneven_micrograph()
    added, taken_away = (measure_backgrounds(micrograph, 64, 64, dark) for dark in (True, False))
    np.testing.assert_array_equal(added[..., 0], taken_away[..., 0])
    np.testing.assert_allclose(added[..., 1], 1 - added[..., 0].max())
    np.testing.assert_allclose(taken_away[..., 1], 1 - taken_away[..., 0])


@pytest.mark.parametrize("dark_background", [True, False])
@pytest.mark.parametrize(
    ("shape", "places"), [((64, 64), 1), ((64, 200), 2), ((100, 130), 1), ((192, 128), 2)]
)
def test_small_micrographs_have_a_place_at_least(shape, places, dark_background):
    measured = measure_backgrounds(np.full(shape, 0.3, np.float32), 64, 64, dark_background)
    np.testing.assert_allclose(measured, np.broadcast_to([0.3, 0.7], (places, 2, 2, 2)))
