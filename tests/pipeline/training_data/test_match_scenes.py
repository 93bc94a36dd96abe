"""The fit of the noise's frequency to agglomerates, and of the scale to particles, with scenes
whose chord, or diameter, is known."""

from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.training_data import mask_simulation, match_scenes
from pipeline.training_data.match_scenes import (
    FREQUENCY_SAMPLE,
    _fit_frequency,
    fit_options,
)
from pipeline.training_data.scenes import Scene
from pipeline.training_data.scenes_of_micrographs import Micrographs
from pipeline.training_data.single_particles import Singles
from simulate.outlines import SCALING

STEPS = (0.5, 0.7, 1.0, 1.4, 2.0)
OPTIONS = {"perlin_noise_frequency": 8.0, "tile_height": 64, "tile_width": 96, "seed": 1}


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch):
    """What is simulated here cannot be handed to another one."""
    monkeypatch.setattr(match_scenes, "number_of_processes", lambda number: 1)


def simulate_sample(tried, indices):
    """Return scenes of a mean chord of 80 pixels over the frequency, one of them empty."""
    assert len(indices) == FREQUENCY_SAMPLE
    mean = 80 / tried["perlin_noise_frequency"]
    chords = [0.5 * mean, np.nan, 1.5 * mean]
    return [SimpleNamespace(chord=chord) for chord in chords]


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
    def empty_below_8(tried, indices):
        scenes = simulate_sample(tried, indices)
        return scenes if tried["perlin_noise_frequency"] >= 8 else [scenes[1]]

    assert _fit_frequency(empty_below_8, OPTIONS, 20, STEPS)["perlin_noise_frequency"] == 8


def test_the_frequency_stays_where_all_masks_are_empty():
    def empty(tried, indices):
        return simulate_sample(tried, indices)[1:2]

    assert _fit_frequency(empty, OPTIONS, 20, STEPS) == OPTIONS


def singles(diameters):
    return Singles(np.array(diameters, float), *np.ones((2, len(diameters))))


def made_of(outline):
    """Return the diameter of what is left of an outline, pixels: small ones lose more."""
    if outline < 12.5:
        return 0.0
    return min(outline - 4, 5.6 + 1.7 * (outline - 13))


def fit(monkeypatch, wanted, normal=True, scale=1.0):
    """Return options fitted to particles that are ``wanted`` pixels wide, from outlines of 26.

    Scales that are not normal are uniform, with a middle of twice ``scaling_mu``.
    """

    def simulator(tried):
        def simulate(index, coverage):
            spread = np.random.default_rng(index).uniform(0.9, 1.1)
            return made_of(26 * match_scenes.middle_scale(tried)) * spread

        return simulate, None

    def measure(diameter):
        return Scene(0.2, np.nan, singles([diameter] if diameter else []))

    monkeypatch.setattr(match_scenes, "measure_labels", measure)
    scenes = [Scene(0.2, np.nan, None) for _ in range(20)]
    options = {"use_perlin_noise": False, "scaling_mu": 1.0, "scaling_sigma": 0.1}
    options |= {"min_scaling": 1.5, "max_scaling": 2.5, "use_normal_distribution": normal}
    options |= {"micrograph_scale": scale}
    micrographs = Micrographs(scenes, singles(np.full(40, wanted)))
    return fit_options(micrographs, simulator, lambda scale: made_of(26 * scale), options)


@pytest.mark.parametrize("wanted", [8, 9, 10, 12, 14, 20, 30, 40])
def test_the_scale_is_that_at_which_particles_are_made_as_large_as_wanted(monkeypatch, wanted):
    fitted = fit(monkeypatch, float(wanted))
    assert made_of(26 * fitted["scaling_mu"]) == pytest.approx(wanted, rel=0.03)
    # The others keep their proportion to it.
    assert fitted["scaling_sigma"] == pytest.approx(0.1 * fitted["scaling_mu"])


@pytest.mark.parametrize("wanted", [9, 12, 20])
def test_of_uniform_scales_the_middle_counts(monkeypatch, wanted):
    fitted = fit(monkeypatch, float(wanted), normal=False)
    assert made_of(26 * 2 * fitted["scaling_mu"]) == pytest.approx(wanted, rel=0.03)
    assert fitted["max_scaling"] == pytest.approx(2.5 * fitted["scaling_mu"])


def test_particles_too_small_to_be_made_are_as_small_as_can_be_and_warned_of(monkeypatch, caplog):
    fitted = fit(monkeypatch, 4.0)
    assert 26 * fitted["scaling_mu"] == pytest.approx(12.5, rel=0.01)
    assert "are about 4 px across; at least 10 px are needed" in caplog.text
    assert "set MICROGRAPH_SCALE = 3" in caplog.text
    assert "are merged" not in caplog.text
    caplog.clear()
    fit(monkeypatch, 12.0)
    assert "are about 12.0 px across; in agglomerates of particles of less than 15" in caplog.text
    assert "many are merged: set MICROGRAPH_SCALE = 2" in caplog.text
    caplog.clear()
    fit(monkeypatch, 4.0, scale=2.0)
    assert "cannot be smaller: take the micrographs at a higher magnification" in caplog.text
    caplog.clear()
    fit(monkeypatch, 12.0, scale=1.5)
    assert "12.0 px across, at MICROGRAPH_SCALE = 1.5; in" in caplog.text
    assert "set MICROGRAPH_SCALE = 3" in caplog.text
    caplog.clear()
    fit(monkeypatch, 16.0)
    assert not caplog.text


def test_typical_are_all_outlines_that_hold_a_particle():
    outlines = np.zeros((5, 60, 60), np.uint8)
    for outline, side in zip(outlines, (50, 0, 20, 5, 24), strict=True):
        outline[5 : 5 + side, 5 : 5 + side] = 255
    core_diameter = mask_simulation._make_core_diameter(outlines, 1.0, "SQUARE")
    # Of the square of 24 pixels, which is the middle one, two go off on each side.
    assert core_diameter(1.0) == pytest.approx(2 * 20 / np.sqrt(np.pi))


def test_masks_of_one_round_are_not_those_of_another(monkeypatch):
    """The same ones would show the same single particles once more."""
    seen = []

    def simulator(tried):
        def simulate(index, coverage):
            seen.append(index)
            return 20.0

        return simulate, None

    monkeypatch.setattr(
        match_scenes, "measure_labels", lambda size: Scene(0.1, np.nan, singles([size]))
    )
    options = dict(zip(SCALING, (True, 1.0, 0.1, 0.75, 1.25), strict=True))
    options |= {"use_perlin_noise": False, "micrograph_scale": 1.0}
    scenes = [Scene(0.1, np.nan, None)]
    fit_options(Micrographs(scenes, singles(np.full(20, 20.0))), simulator, float, options)
    number = len(seen)
    assert number == 3 * match_scenes.SCALE_SAMPLE  # each shows one, so that a sample is enough
    first = FREQUENCY_SAMPLE  # those before are of the sample for the frequency
    assert sorted(seen) == list(range(first, first + number))
    seen.clear()
    monkeypatch.setattr(match_scenes, "MOST_SIMULATED", 1e6)
    monkeypatch.setattr(match_scenes, "SIMULATED_FOR_EACH", 1e6)
    fit_options(Micrographs(scenes, singles(np.full(20, 20.0))), simulator, float, options)
    assert sorted(seen) == list(range(first, first + match_scenes.MOST_SAMPLES * number))
    seen.clear()
    fit_options(Micrographs(scenes, singles([20.0] * 9)), simulator, float, options)
    assert not seen  # so few would not be fitted to


def test_the_scale_fits_what_is_seen_of_particles_without_the_gap_around_them(monkeypatch):
    def core(scale):
        return 20 * scale

    def seen(scale):
        return 1.25 * (core(scale) + 4) - 4  # two gaps of two pixels

    options = dict(zip(SCALING, (True, 1.0, 0.1, 0.75, 1.25), strict=True))
    options |= {"use_perlin_noise": False, "micrograph_scale": 1.0}
    monkeypatch.setattr(
        match_scenes, "measure_labels", lambda size: Scene(0.1, np.nan, singles([size]))
    )
    fitted = fit_options(
        Micrographs([Scene(0.1, np.nan, None)], singles(np.full(20, 40.0))),
        lambda tried: (lambda index, coverage: seen(match_scenes.middle_scale(tried)), None),
        core,
        options,
    )
    assert seen(fitted["scaling_mu"]) == pytest.approx(40, rel=0.005)


def test_a_scale_that_an_early_round_has_fitted_is_not_said_to_be_none(monkeypatch, caplog):
    """Later rounds, which know more convex simulated ones, may find too few to compare."""
    first_round = range(FREQUENCY_SAMPLE, FREQUENCY_SAMPLE + match_scenes.SCALE_SAMPLE)

    def measured(index):
        if index not in first_round:
            found = Singles(*np.array([[20.0], [1], [0.99]]))
        else:  # a few alone
            found = Singles(*np.array([[20.0], [1], [0.905]])[:, : index < first_round[20]])
        return Scene(0.1, np.nan, found)

    monkeypatch.setattr(match_scenes, "measure_labels", measured)
    monkeypatch.setattr(match_scenes, "SIMULATED_FOR_EACH", 2)  # which the first round finds
    options = dict(zip(SCALING, (True, 1.0, 0.1, 0.75, 1.25), strict=True))
    options |= {"use_perlin_noise": False, "micrograph_scale": 1.0}
    real = Singles(np.full(12, 40.0), np.ones(12), np.repeat([0.91, 0.95], 6))
    fitted = fit_options(
        Micrographs([Scene(0.1, np.nan, None)], real),
        lambda tried: (lambda index, coverage: index, None),
        lambda scale: 20 * scale,
        options,
    )
    assert fitted["scaling_mu"] == pytest.approx(2, rel=0.2)
    assert "too few to fit the scale" not in caplog.text
