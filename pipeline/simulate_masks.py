"""Step 2: simulated mask images from outlines that the WGAN has learned to draw, or from yours."""

import logging
from collections.abc import Iterator
from copy import deepcopy
from functools import cache, partial
from itertools import chain, islice
from pathlib import Path

import numpy as np

from pipeline.checks.step_options import check_step_options
from pipeline.image_files import list_images, read_image, write_image
from pipeline.processes.worker_processes import number_of_processes, run_in_processes
from pipeline.progress import progress
from pipeline.run_folders import (
    DECIDED_BY_SCENES,
    WITHOUT_EFFECT,
    fingerprint,
    newest_model,
    open_output_folder,
)
from pipeline.training.network_failures import act_on_failure
from pipeline.training_data.match_scenes import (
    coverage_of_image,
    describe_small_particles,
    fit_options,
    measure_micrographs,
    median_diameter,
    middle_scale,
    report_match,
)
from pipeline.training_data.outline_sources import AUGMENTED, draw_from_wgan, load_outlines
from simulate.augment_outlines import augment_outlines
from simulate.mask_image import random_generator, simulate_label_map
from simulate.outlines import (
    SCALING,
    Particle,
    prepare_library,
    prepare_particle,
    scale_limits,
    typical_core_diameter,
)

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

NUMBER_OF_TEST_MASKS = 5
# Outlines drawn from the WGAN: about as many as one image shows particles, for each image, up to
# a number beyond which more outlines would not make the masks more diverse.
OUTLINES_PER_MASK = 128
MOST_OUTLINES = 1024
TYPICAL_OUTLINES = 200  # looked at to know what is made of them at a scale
# The random numbers of the library; those of image i have the number i.
LIBRARY_STREAM = 2**63
# What the first masks show of a wrong option is shown before the others are made.
MASKS_TO_CHECK = 10
FULL = 0.98


def simulate_masks(
    *,
    wgan_dir,
    cyclegan_dir,
    masks_dir,
    invert_masks,
    outline_source,
    wgan_model,
    num_masks,
    tile_height,
    tile_width,
    grid_type,
    grid_spacing_factor,
    grid_noise_factor,
    min_no_of_particles,
    max_no_of_particles,
    use_perlin_noise,
    perlin_noise_threshold,
    perlin_noise_frequency,
    use_normal_distribution,
    scaling_mu,
    scaling_sigma,
    min_scaling,
    max_scaling,
    use_random_rotation,
    max_overlap,
    match_scenes,
    dark_background,
    seed,
    when_failed,
) -> None:
    """Write simulated masks to ``data/trainB`` and their label maps to ``data/labelsB``.

    There are as many as files in ``data/trainA``, and at least ``num_masks``; five go to
    ``data/testB`` too. The options are explained in StartProcess.py. Outlines are drawn by the
    WGAN, or, for ``outline_source`` "augmented", made by deforming those in ``masks_dir``. With
    ``match_scenes`` the masks get the coverage, the agglomerates and the particles of the tiles in
    ``data/trainA`` (see ``match_scenes.py``). ``data/scenes.json`` and ``scenes.png`` compare both.
    ``when_failed``, "stop" or "warn", is what to do if the first masks are all empty, or all full.

    Raises
    ------
    FileNotFoundError
        If there is no trained WGAN, or no outline, as ``outline_source`` needs it.
    ValueError
        If an option is out of its range, no outline holds a particle, or the first masks are
        empty or full and ``when_failed`` is "stop".
    """
    options = dict(locals())
    if problems := check_step_options("simulate_masks", options):
        raise ValueError("\n".join(problems))
    source = Path(masks_dir)
    if outline_source != AUGMENTED:
        source = newest_model(
            Path(wgan_dir) / "Models", "model.keras", "step 1 (train_wgan)", wgan_model
        )
    data_dir = Path(cyclegan_dir) / "data"
    tiles = list_images(data_dir / "trainA") if (data_dir / "trainA").is_dir() else []
    number = max(num_masks, len(tiles))
    made_with = _made_with(options, source, number)
    if match_scenes:
        if not tiles:
            raise FileNotFoundError(
                f"{data_dir / 'trainA'} holds no tiles to match the simulated masks with: run "
                "step 0 (prepare_images) first, it makes them, or set MATCH_SCENES = False."
            )
        logger.info(
            "MATCH_SCENES: how much is covered is measured in the micrographs, so %s, %s and %s "
            "have no effect",
            *DECIDED_BY_SCENES,
        )
        made_with["tiles"] = fingerprint(tiles)
    masks_dir, labels_dir, test_dir = (
        open_output_folder(data_dir / name, made_with) for name in ("trainB", "labelsB", "testB")
    )
    names = [f"{index:05d}.tif" for index in range(number)]
    finished = {path.name for path in list_images(masks_dir)}
    finished &= {path.name for path in list_images(labels_dir)}
    missing = [index for index, name in enumerate(names) if name not in finished]
    scenes = measure_micrographs(tiles, dark_background)
    to_match = scenes if match_scenes else None
    label_maps = iter(())
    if missing:
        label_maps = _simulate_label_maps(source, number, missing, options, to_match)
    label_maps = progress(label_maps, "masks simulated", len(missing))
    for index, labels in zip(missing, label_maps, strict=True):
        _write_mask(masks_dir / names[index], labels_dir / names[index], labels)
    for name in names[:NUMBER_OF_TEST_MASKS]:
        write_image(test_dir / name, read_image(masks_dir / name))
    if scenes:
        report_match(data_dir, scenes, [labels_dir / name for name in names])


def _write_mask(mask_path: Path, labels_path: Path, labels: np.ndarray) -> None:
    """Write a label map, then its mask (0 or 255): a mask that exists is finished."""
    write_image(labels_path, labels)
    write_image(mask_path, np.where(labels > 0, 255, 0).astype(np.uint8))


def _made_with(options: dict, source: Path, number: int) -> dict:
    """Return all that decides the masks."""
    without_effect = ("wgan_dir", "cyclegan_dir", "masks_dir", "wgan_model", *WITHOUT_EFFECT)
    if options["match_scenes"]:
        without_effect += DECIDED_BY_SCENES
    return {
        "options": {name: value for name, value in options.items() if name not in without_effect},
        "number_of_masks": number,
        "outlines": source.parent.name if source.is_file() else "",
        "outlines_fingerprint": fingerprint([source] if source.is_file() else list_images(source)),
    }


def _simulate_label_maps(
    source: Path, number: int, indices: list[int], options: dict, scenes: list | None
) -> Iterator[np.ndarray]:
    """Return the label maps of the images ``indices``, uint16, one after the other.

    ``source`` is the WGAN's model or the folder of the user's outlines; ``scenes`` are those of
    the real tiles, to be matched, or None.
    """
    rng = random_generator(options["seed"], LIBRARY_STREAM)
    outlines = _draw_outlines(
        rng, source, options["invert_masks"], min(MOST_OUTLINES, OUTLINES_PER_MASK * number)
    )
    make_library = cache(partial(_make_library, rng, outlines))
    make_simulator = partial(_make_simulator, make_library, outlines)
    simulate = make_simulator(options)
    _check_library(simulate.args[0], source, len(outlines))
    if scenes is not None:
        core_diameter = _make_core_diameter(outlines, middle_scale(options))
        fitted = fit_options(scenes, make_simulator, core_diameter, options)
        for name in ("perlin_noise_frequency", *SCALING):
            if fitted[name] != options[name]:
                logger.info("%s matched to the micrographs: %.3g", name, fitted[name])
        coverages = {index: coverage_of_image(scenes, index) for index in indices}
        simulate = make_simulator(fitted)
        _check_fitted_library(simulate.args[0], median_diameter(scenes))
        simulate = partial(_simulate_covered, simulate, coverages)
    label_maps = run_in_processes(simulate, indices, number_of_processes(len(indices)))
    if len(indices) < number:  # some were made before, and checked
        return label_maps
    return _checked(label_maps, options)


def _make_library(rng, outlines, use_random_rotation, *scaling) -> list[list[Particle]]:
    # From the same random numbers, whatever the scaling: so that libraries can be compared.
    scaling = dict(zip(SCALING, scaling, strict=True))
    return prepare_library(deepcopy(rng), outlines, use_random_rotation, **scaling)


def _make_simulator(make_library, outlines: np.ndarray, options: dict) -> partial:
    """Return ``simulate(index)``, which gives a label map; ``options`` are those of the step."""
    scaling = {name: options[name] for name in SCALING}
    return partial(
        simulate_label_map,
        make_library(options["use_random_rotation"], *scaling.values()),
        options["seed"],
        image_shape=(options["tile_height"], options["tile_width"]),
        outline_shape=outlines.shape[1:],
        largest_scale=scale_limits(**scaling)[1],
        **{name: options[name] for name in ARRANGEMENT},
    )


def _make_core_diameter(outlines: np.ndarray, scale: float):
    """Return ``core_diameter(scale)`` of typical outlines, those that hold a particle now."""
    typical = (outline for outline in outlines if prepare_particle(outline, scale, 0.0).area)
    return cache(partial(typical_core_diameter, list(islice(typical, TYPICAL_OUTLINES))))


def _simulate_covered(simulate: partial, coverages: dict[int, float], index: int) -> np.ndarray:
    return simulate(index, coverage=coverages[index])


def _draw_outlines(rng, source: Path, invert: bool, number: int) -> np.ndarray:
    """Return outlines of the WGAN, or of the user's augmented: uint8 (number, height, width)."""
    if source.is_file():
        return draw_from_wgan(rng, source, number)
    logger.info("outlines: those in %s, each time deformed a little (OUTLINE_SOURCE)", source)
    return augment_outlines(rng, load_outlines(source, invert), number)


def _check_library(library: list[list[Particle]], source: Path, number: int) -> None:
    """Raise a ValueError if no particle has a core, a warning if many have none."""
    areas = np.array([particle.area for group in library for particle in group])
    what_to_do = "Enlarge the masks in Input_Masks."
    if source.is_file():
        sheets = source.parents[2] / "Output_Images" / source.parent.name
        what_to_do = (
            f"Look at the sheets in {sheets}: if they show no outlines yet, train step 1 for more "
            "epochs (WGAN_EPOCHS); if the outlines are too small, enlarge the masks in Input_Masks."
        )
    if not areas.any():
        raise ValueError(
            f"None of {number} outlines from {source} holds a particle: after smoothing nothing is "
            f"left of them (a particle must be about 10 pixels wide). {what_to_do}"
        )
    if (empty := np.mean(areas == 0)) > 0.5:
        logger.warning(
            "%.0f %% of the outlines from %s hold no particle. %s", 100 * empty, source, what_to_do
        )


def _check_fitted_library(library: list[list[Particle]], diameter: float) -> None:
    """Raise a ValueError if no particle has a core at the scale of the micrographs, where single
    ones have a median ``diameter`` in pixels."""
    if not any(particle.area for group in library for particle in group):
        raise ValueError(
            "No outline holds a particle at the scale of the micrographs: "
            f"{describe_small_particles(diameter)}."
        )


def _checked(label_maps: Iterator[np.ndarray], options: dict) -> Iterator:
    """Return the label maps, once the first of them are known to be neither empty nor full."""
    first = list(islice(label_maps, MASKS_TO_CHECK))
    act_on_failure(_describe_coverage(first, options), options["when_failed"])
    return chain(first, label_maps)


def _describe_coverage(label_maps: list[np.ndarray], options: dict) -> str | None:
    """Return what is wrong if the label maps are all empty, or all full."""
    covered = [float(np.mean(labels > 0)) for labels in label_maps]
    if max(covered) > 0 and min(covered) < FULL:
        return None
    if max(covered) == 0:
        found = "hold no particle"
        change = "Lower perlin_noise_threshold"
        way_out = "place more particles (min_no_of_particles), or enlarge the tiles"
    else:
        found = f"are full (more than {FULL:.0%} covered)"
        change = "Raise perlin_noise_threshold"
        way_out = "set use_perlin_noise to True, place fewer particles, or enlarge the tiles"
    what_to_do = (
        f"{change} (it is {options['perlin_noise_threshold']}; allowed is 0 to 1), {way_out}"
    )
    if options["match_scenes"]:
        what_to_do = (
            "That is how much of the tiles in 2_CycleGAN/data/trainA seems to be covered: look "
            "whether DARK_BACKGROUND is right for them, or set MATCH_SCENES = False"
        )
    return (
        f"The first {len(covered)} simulated masks {found}. {what_to_do}. Look at the outlines in "
        "1_WGAN/Output_Images too."
    )
