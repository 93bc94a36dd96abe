"""Simulation options that make simulated masks look like the micrographs they are to go with.

A CycleGAN that is given masks and micrographs of different scenes has to invent particles, or to
leave some out, and its pairs then teach the UNet wrong. So what micrographs show is measured
(``scenes_of_micrographs.py``), and the masks are made to show it, too.
"""

import itertools
import logging
import math
from functools import partial

import numpy as np

from pipeline.micrographs.micrograph_scale import LARGEST_SCALE, SMALL_DIAMETER, words_of
from pipeline.progress import progress
from pipeline.running.worker_processes import number_of_processes, run_in_processes
from pipeline.training_data.scenes import Scene, mean_chord, measure_labels
from pipeline.training_data.scenes_of_micrographs import Micrographs, coverage_of_image
from pipeline.training_data.single_particles import comparable, joined
from pipeline.wording import counted
from simulate.outlines import GAP, SCALING, scale_limits, scaling_of

logger = logging.getLogger(__name__)

# Masks simulated to try a frequency, and at a time to find single particles, which are rare.
FREQUENCY_SAMPLE, SCALE_SAMPLE = 24, 400
MOST_SAMPLES = 2  # in a round
# So many single particles are looked for in simulated masks: for each in the micrographs, and in
# all. More would not make the ratio of their sizes much more certain.
SIMULATED_FOR_EACH, MOST_SIMULATED = 10, 400
# The agglomerates' size and the particles' depend on each other, so both are fitted in rounds:
# in each, these factors of the frequency found so far are tried.
FREQUENCY_STEPS = (
    (0.5, 0.7, 1.0, 1.4, 2.0),
    (0.5, 0.7, 1.0, 1.4, 2.0),
    (0.75, 0.87, 1.0, 1.15, 1.33),
)
FEWEST_SINGLE = 10  # single particles, below which their size says little
WIDEST, HALVINGS = 16, 12  # how far a fitted scale is looked for, and how often it is halved
# Pixels; the simulation's opening leaves cores of 9 at least (8 became 9, 10 were met).
SMALLEST_DIAMETER = 10


def fit_options(micrographs: Micrographs, make_simulator, core_diameter, options: dict) -> dict:
    """Return options of step 2 with the scale and the noise frequency that fit the micrographs.

    Parameters
    ----------
    micrographs : what they show.
    make_simulator : ``make_simulator(options)`` gives ``simulate(index, coverage=...)`` -> label
        map, and the library it takes particles from.
    core_diameter : ``core_diameter(scale)`` -> what is made of a typical outline at that scale,
        pixels; 0 where nothing is left of it.
    options : of step 2; ``perlin_noise_frequency``, ``scaling_mu``, ``scaling_sigma``,
        ``min_scaling`` and ``max_scaling`` are fitted.
    """
    scenes, singles = micrographs
    chord = mean_chord(scenes)
    if singles.number >= FEWEST_SINGLE:
        _warn_of_small_particles(singles.median, options["micrograph_scale"])
    found = []  # single simulated particles, as sizes over those of the cores, from all tries

    def simulate_sample(tried, indices):
        simulate, _ = make_simulator(tried)
        coverages = {index: coverage_of_image(scenes, index) for index in indices}
        measure = partial(_simulate_and_measure, simulate, coverages)
        sample = list(run_in_processes(measure, indices, number_of_processes(len(indices))))
        if core := core_diameter(middle_scale(tried)):
            for scene in sample:
                # With the gap on either side, sizes are in proportion to the scale.
                ratios = (scene.singles.diameters + 2 * GAP) / (core + 2 * GAP)
                found.append(scene.singles._replace(diameters=ratios))
        return sample

    # Those of the sample for the frequency once more would tell nothing new.
    indices, is_fitted = itertools.count(FREQUENCY_SAMPLE), False

    def find_singles(tried, share):
        """Return single particles to compare, real and simulated, the latter of more masks until
        there are this share of those that are wanted."""
        for _ in range(MOST_SAMPLES if singles.number >= FEWEST_SINGLE else 0):
            simulate_sample(tried, list(itertools.islice(indices, SCALE_SAMPLE)))
            real, simulated = comparable(singles, joined(found))
            if simulated.number >= share * min(SIMULATED_FOR_EACH * real.number, MOST_SIMULATED):
                break
        return comparable(singles, joined(found))

    rounds = progress(FREQUENCY_STEPS, "rounds of matching masks to the micrographs")
    for number, steps in enumerate(rounds, start=1):
        if options["use_perlin_noise"] and np.isfinite(chord):
            options = _fit_frequency(simulate_sample, options, chord, steps)
        real, simulated = find_singles(options, share=number / len(FREQUENCY_STEPS))
        if min(real.number, simulated.number) >= FEWEST_SINGLE:
            is_fitted = True
            wanted = (real.median + 2 * GAP) / simulated.median - 2 * GAP
            scale = middle_scale(options)
            factor = _scale_for(core_diameter, wanted, scale) / scale
            options = options | {name: float(options[name] * factor) for name in SCALING[1:]}
    if not is_fitted:
        logger.warning(
            "%s in the micrographs, %d in the simulated masks: too few to fit the scale, so "
            "simulated particles are as large as your outlines less %d px all round%s (the gap "
            "between neighbours), and those found may be too small as well. %s",
            *(counted(real.number, "single particle"), simulated.number, GAP),
            *(words_of(options["micrograph_scale"]), _make_up_for_gap(options, core_diameter)),
        )
    return options


def _make_up_for_gap(options, core_diameter):
    """Return what to do where the scale cannot be fitted."""
    if not (core := core_diameter(middle_scale(options))):
        return "Trace larger particles, or set a larger MICROGRAPH_SCALE."
    outline = core + 2 * GAP
    factor = (outline + 2 * GAP) / outline
    return (
        "If your outlines are as large as most particles, scales (scaling_mu, or min_scaling and "
        f"max_scaling, in the call of step 2) that are {factor:.2f} times as large make up for it. "
        "Where single ones are too large to lie in a tile, larger tiles show them."
    )


def _simulate_and_measure(simulate, coverages: dict[int, float], index: int) -> Scene:
    return measure_labels(simulate(index, coverage=coverages[index]))


def describe_small_particles(diameter: float, scale: float) -> str:
    """Return what to do about particles in the micrographs too small to be simulated.

    ``diameter`` is theirs in pixels, in micrographs resized by ``scale`` (MICROGRAPH_SCALE).
    """
    factor = math.ceil(max(2, SMALLEST_DIAMETER / diameter))
    return (
        f"the particles in your micrographs are about {diameter:.0f} px across{words_of(scale)}; "
        f"at least {SMALLEST_DIAMETER} px are needed, for simulated ones cannot be smaller: "
        f"{_enlarge(factor, scale)}"
    )


def _warn_of_small_particles(diameter: float, scale: float) -> None:
    if diameter < SMALLEST_DIAMETER:
        logger.warning("%s", describe_small_particles(diameter, scale))
    elif diameter < SMALL_DIAMETER:
        logger.warning(
            "the particles in your micrographs are about %.1f px across%s; in agglomerates of "
            "particles of less than %d px many are merged: %s",
            diameter,
            words_of(scale),
            SMALL_DIAMETER,
            _enlarge(2, scale),
        )


def _enlarge(factor: float, scale: float) -> str:
    if factor * scale <= LARGEST_SCALE:
        return f"set MICROGRAPH_SCALE = {factor * scale:g}"
    return "take the micrographs at a higher magnification"


def middle_scale(options: dict) -> float:
    """Return the scale in the middle of those that the options of step 2 allow."""
    return sum(scale_limits(**scaling_of(options))) / 2


def _scale_for(core_diameter, wanted: float, scale: float) -> float:
    """Return the scale at which a typical outline leaves a core of the diameter that is wanted.

    It is looked for within a factor of ``WIDEST`` of ``scale``, by halving. Where no core is as
    small, it is the smallest scale that leaves one: of small outlines the simulation's opening
    leaves less than in proportion, and then nothing.
    """
    low, high = scale / WIDEST, scale * WIDEST
    for _ in range(HALVINGS):
        middle = np.sqrt(low * high)
        if core_diameter(middle) < wanted:
            low = middle
        else:
            high = middle
    return high


def _fit_frequency(simulate_sample, options, chord, steps):
    def misfit(frequency):
        tried = options | {"perlin_noise_frequency": frequency}
        found = mean_chord(simulate_sample(tried, range(FREQUENCY_SAMPLE)))
        return abs(np.log(found / chord)) if np.isfinite(found) else np.inf

    highest = min(options["tile_height"], options["tile_width"]) / 2  # a cell of two pixels
    tried = [min(options["perlin_noise_frequency"] * step, highest) for step in steps]
    misfits = [misfit(frequency) for frequency in tried]
    if np.isinf(misfits).all():
        return options
    return options | {"perlin_noise_frequency": tried[int(np.argmin(misfits))]}
