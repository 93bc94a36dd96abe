"""Label maps simulated from outlines, as step 2's options, or the micrographs' scenes, say."""

import logging
from collections.abc import Iterator
from copy import deepcopy
from functools import cache, lru_cache, partial
from itertools import chain, islice
from pathlib import Path

import numpy as np

from pipeline.network_failures import act_on_failure, describe_coverage
from pipeline.running.worker_processes import number_of_processes, run_in_processes
from pipeline.training_data.match_scenes import fit_options, middle_scale
from pipeline.training_data.outline_doubts import (
    TYPICAL_OUTLINES,
    check_fitted_library,
    check_library,
    warn_of_lost_by_turning,
    warn_of_other_size,
)
from pipeline.training_data.outline_sources import draw_from_wgan, load_outlines
from pipeline.training_data.scenes_of_micrographs import Micrographs, coverage_of_image
from simulate.augment_outlines import augment_outlines
from simulate.mask_image import random_generator, simulate_label_map
from simulate.outlines import (
    GAP,
    SCALING,
    prepare_library,
    prepare_particle,
    reach_of,
    scale_limits,
    scaling_of,
    typical_core_diameter,
)
from simulate.positions import grid_steps

logger = logging.getLogger(__name__)

ARRANGEMENT = (
    "grid_type",
    "grid_spacing_factor",
    "grid_noise_factor",
    "min_no_of_particles",
    "max_no_of_particles",
    "use_perlin_noise",
    "perlin_noise_threshold",
    "perlin_noise_frequency",
    "max_overlap",
)
# Outlines drawn, by the WGAN or by augmentation: about as many as one image shows particles, for
# each image, up to a number beyond which more outlines would not make the masks more diverse.
OUTLINES_PER_MASK = 128
MOST_OUTLINES = 1024
# The random numbers of the library; those of image i have the number i.
LIBRARY_STREAM = 2**63
# What the first masks show of a wrong option is shown before the others are made.
MASKS_TO_CHECK = 10


def simulate_label_maps(
    source: Path,
    number: int,
    indices: list[int],
    options: dict,
    micrographs: Micrographs | None,
) -> Iterator[np.ndarray]:
    """Return the label maps (h, w), uint16, of the images ``indices``, one after the other.

    Parameters
    ----------
    source : the WGAN's model, or the folder of the user's outlines.
    number : of the images in all; outlines are drawn for so many.
    options : of step 2.
    micrographs : what they show, to be matched, or None.

    Raises
    ------
    FileNotFoundError
        If there is no outline.
    ValueError
        If no outline holds a particle, or the first masks of a step are all empty or all full and
        ``when_failed`` is "stop".
    """
    rng = random_generator(options["seed"], LIBRARY_STREAM)
    outlines = _draw_outlines(
        rng,
        source,
        options["invert_masks"],
        options["micrograph_scale"],
        min(MOST_OUTLINES, OUTLINES_PER_MASK * number),
    )
    make_simulator = _simulator_maker(rng, outlines)
    if options["grid_type"] != "DISABLE":
        steps = grid_steps(options["grid_spacing_factor"], outlines.shape[1:])
        words = "grid: places %d rows and %d columns apart, of outlines in frames of %d x %d"
        logger.info(words, *steps, *outlines.shape[1:])
    simulate, library = make_simulator(options)
    check_library(library, source, len(outlines))
    simulated_with = options
    if micrographs is not None:
        core_diameter = _make_core_diameter(outlines, middle_scale(options), options["smoothing"])
        fitted = fit_options(micrographs, make_simulator, core_diameter, options)
        for name in ("perlin_noise_frequency", *SCALING):
            if fitted[name] != options[name]:
                logger.info("%s matched to the micrographs: %.3g", name, fitted[name])
        times = middle_scale(fitted) / middle_scale(options)
        if times != 1:  # it was fitted: cores, less than outlines by the gap, are as large as real
            outline = core_diameter(middle_scale(options)) + 2 * GAP
            warn_of_other_size(times - 2 * GAP / outline)
        simulate, library = make_simulator(fitted)
        check_fitted_library(library, micrographs.singles.median, options["micrograph_scale"])
        coverages = {index: coverage_of_image(micrographs.scenes, index) for index in indices}
        simulate = partial(_simulate_covered, simulate, coverages)
        simulated_with = fitted
    if options["use_random_rotation"] != "DISABLE":
        warn_of_lost_by_turning(outlines, middle_scale(simulated_with), options["smoothing"])
    label_maps = run_in_processes(simulate, indices, number_of_processes(len(indices)))
    if len(indices) < number:  # some were made before, and checked
        return label_maps
    return _checked(label_maps, options)


def _simulator_maker(rng, outlines: np.ndarray):
    """Return ``make(options)``, which gives ``simulate(index)`` -> label map, and its library.

    ``options`` are those of the step.
    """

    @lru_cache(maxsize=2)  # of large outlines a library takes hundreds of MB
    def library_of(use_random_rotation, smoothing, *scaling):
        # From the same random numbers, whatever the scaling: so that libraries can be compared.
        scaling = dict(zip(SCALING, scaling, strict=True))
        return prepare_library(deepcopy(rng), outlines, use_random_rotation, smoothing, **scaling)

    def make(options):
        names = "use_random_rotation", "smoothing", *SCALING
        library = library_of(*(options[name] for name in names))
        simulate = partial(
            simulate_label_map,
            library,
            options["seed"],
            image_shape=(options["tile_height"], options["tile_width"]),
            outline_shape=outlines.shape[1:],
            largest_scale=scale_limits(**scaling_of(options))[1],
            reach=reach_of(library),
            **{name: options[name] for name in ARRANGEMENT},
        )
        return simulate, library

    return make


def _make_core_diameter(outlines: np.ndarray, scale: float, smoothing: str):
    """Return ``core_diameter(scale)`` of typical outlines, those that hold a particle now."""
    holding = (x for x in outlines if prepare_particle(x, scale, 0.0, smoothing).area)
    typical = list(islice(holding, TYPICAL_OUTLINES))
    return cache(partial(typical_core_diameter, typical, smoothing=smoothing))


def _simulate_covered(simulate: partial, coverages: dict[int, float], index: int) -> np.ndarray:
    return simulate(index, coverage=coverages[index])


def _draw_outlines(rng, source: Path, invert: bool, scale: float, number: int) -> np.ndarray:
    """Return outlines of the WGAN, or of the user's augmented: uint8 (number, height, width)."""
    if source.is_file():
        return draw_from_wgan(rng, source, number)
    logger.info("outlines: those in %s, each time deformed a little (OUTLINE_SOURCE)", source)
    return augment_outlines(rng, load_outlines(source, invert, scale), number)


def _checked(label_maps: Iterator[np.ndarray], options: dict) -> Iterator:
    """Return the label maps, once the first of them are known to be neither empty nor full."""
    first = list(islice(label_maps, MASKS_TO_CHECK))
    act_on_failure(describe_coverage(first, options), options["when_failed"])
    return chain(first, label_maps)
