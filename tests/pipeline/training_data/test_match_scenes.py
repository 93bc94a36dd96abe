"""The fit of the noise's frequency to agglomerates, with scenes whose chord is known."""

from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.training_data.match_scenes import FREQUENCY_SAMPLE, _fit_frequency

STEPS = (0.5, 0.7, 1.0, 1.4, 2.0)
OPTIONS = {"perlin_noise_frequency": 8.0, "tile_height": 64, "tile_width": 96, "seed": 1}


def simulate_sample(tried, number):
    """Return scenes of a mean chord of 80 pixels over the frequency, one of them empty."""
    assert number == FREQUENCY_SAMPLE
    mean = 80 / tried["perlin_noise_frequency"]
    chords = [0.5 * mean, np.nan, 1.5 * mean]
    return [SimpleNamespace(chord=chord, diameters=np.zeros(0)) for chord in chords]


@pytest.mark.parametrize(
    ("chord", "frequency"), [(20.5, 4), (14, 5.6), (10, 8), (7, 11.2), (4.9, 16), (200, 4), (1, 16)]
)
def test_the_frequency_whose_agglomerates_are_most_alike_is_taken(chord, frequency):
    fitted = _fit_frequency(simulate_sample, OPTIONS, chord, STEPS)
    assert fitted == OPTIONS | {"perlin_noise_frequency": pytest.approx(frequency)}


def test_no_frequency_has_more_than_a_period_in_two_pixels():
    options = OPTIONS | {"tile_height": 24}
    assert _fit_frequency(simulate_sample, options, 1, STEPS)["perlin_noise_frequency"] == 12


def test_a_frequency_of_which_masks_are_empty_is_not_taken():
    def empty_below_8(tried, number):
        scenes = simulate_sample(tried, number)
        return scenes if tried["perlin_noise_frequency"] >= 8 else [scenes[1]]

    assert _fit_frequency(empty_below_8, OPTIONS, 20, STEPS)["perlin_noise_frequency"] == 8
