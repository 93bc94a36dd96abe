"""Everything a run depends on is checked before it writes anything: all problems in one error."""

import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from pipeline.checks.disk import check_disk_space, estimate_bytes
from pipeline.checks.earlier_steps import (
    check_earlier_steps,
    check_named_models,
    check_pairs,
    warn_of_steps_between,
)
from pipeline.checks.files import check_images, warn_of_many_tiles
from pipeline.checks.folders import check_write_permission
from pipeline.checks.gpu_memory import warn_of_little_gpu_memory
from pipeline.checks.machine import (
    check_backend,
    check_gpus,
    tell_of_idle_gpus,
)
from pipeline.checks.options import OPTION_CHECKS, check_options, suggest, wrong_values
from pipeline.checks.outlines import check_masks, largest_scale, smoothing_of
from pipeline.checks.scales import check_scale, check_tile_size, scale_of_unet
from pipeline.checks.step_options import check_step_options
from pipeline.checks.true_masks import check_true_masks
from pipeline.checks.values import UNKNOWN, measured_ranges
from pipeline.checks.whole_images import warn_of_large_images
from pipeline.chosen_scale import with_scale
from pipeline.files.calibration import check_pixel_sizes, read_pixel_sizes
from pipeline.particles.particle_filters import check_unit_of_filters
from pipeline.running.step_table import AUGMENTED, STEPS, Call, folders_written, runs_network
from pipeline.wording import as_text

logger = logging.getLogger(__name__)

MEASURING = STEPS["7"].function
STEPS_WITH_IMAGES = {step.function for step in STEPS.values() if "images_dir" in step.user_folders}


def check_inputs(
    options: dict[str, object],
    calls: list[Call] | None = None,
    is_done: Callable[[Call], bool] = lambda call: False,
    known: Iterable[str] = (),
) -> None:
    """Check all options and input files, and raise one error that lists every problem.

    Nothing is written. Images are read one at a time, so the memory is that of one image.

    Parameters
    ----------
    options : the names in upper case of StartProcess.py, with their values.
    calls : of the steps that will run; only the input these need is
        read. Of a keyword whose value is UNKNOWN the name alone is checked. None for all steps,
        their advanced options unknown.
    is_done : whether a call need not run, so that what it reads may be gone.
    known : problems that were found before.

    Raises
    ------
    ValueError
        If there is a problem; one line for each: the file or option, what was found, what is
        allowed, what to do.
    """
    options, calls = with_scale(options, calls)
    wrong = wrong_values(options, OPTION_CHECKS)
    right = {name: value for name, value in options.items() if name not in wrong}
    problems = [*known, *check_options(options)]
    problems += check_backend(os.environ.get("KERAS_BACKEND"))
    problems += check_gpus(
        right.get("USE_GPUS_NO", "all"), right.get("USE_GPU_FOR_WHOLE_IMAGE_INFERENCE", "auto")
    )
    problems += _check_calls(calls or [], {(repr(options[name]), wrong[name]) for name in wrong})
    calls = None if calls is None else [_without_unknown(call) for call in calls]
    problems += _check_contrast(right, calls or [])
    # Whether a step is done takes reading all input: only looked at where something is missing.
    if calls and check_earlier_steps(calls):
        problems += check_earlier_steps([call for call in calls if not is_done(call)])
    problems += check_pairs(calls or [], is_done)
    warn_of_steps_between(calls or [], is_done, options.get("OUTLINE_SOURCE"))
    problems += check_scale(calls or []) + check_tile_size(calls or [])
    problems += check_named_models(calls or [])
    numbers = STEPS if calls is None else {str(number) for number, _, _ in calls}
    problems += check_write_permission(right, numbers)
    problems += _check_files(right, calls)
    if problems:
        count = f"{len(problems)} problems" if len(problems) > 1 else "1 problem"
        text = f"{count} found before the run:\n" + "\n".join(problems)
        raise ValueError(as_text(text))
    logger.info("options and input files checked: no problem found")
    if calls is None or any(runs_network(function, keywords) for _, function, keywords in calls):
        tell_of_idle_gpus(options.get("USE_GPUS_NO", "all"))
        warn_of_little_gpu_memory(options, calls or [])


def _without_unknown(call: Call) -> Call:
    number, step_name, keywords = call
    known = {name: value for name, value in keywords.items() if value is not UNKNOWN}
    return Call(number, step_name, known)


def _check_calls(calls: list[Call], said: set[tuple[str, str]]) -> list[str]:
    """Return the problems of the step calls.

    ``said``: value and allowed values of wrong options on top of StartProcess.py; where a step is
    handed such a value, it is not said again.
    """
    numbers = {step.function: number for number, step in STEPS.items()}
    problems = [
        f'{step_name}: its number is {number!r}; allowed is "{numbers[step_name]}". Correct it in '
        "the call of run_step in StartProcess.py."
        for number, step_name, _ in calls
        if number != numbers.get(step_name, number)
    ]
    for _, step_name, keywords in calls:
        if step_name in numbers:
            problems += check_step_options(step_name, keywords, said)
        else:
            problems.append(
                f'"{step_name}" is no step.{suggest(step_name, numbers)} Correct the name in the '
                "call of run_step in StartProcess.py."
            )
    return problems


def _check_contrast(options: dict[str, object], calls: list[Call]) -> list[str]:
    """Return the problem if generators that are to keep the contrast have to turn it round."""
    is_dark = options.get("DARK_BACKGROUND")
    return [
        f"{step_name}: same_contrast=True does not go with invert_images={is_dark}, as "
        f"DARK_BACKGROUND is {is_dark}: particles would be bright in the one domain and dark in "
        f"the other. Allowed is invert_images={not is_dark}, or same_contrast=False. Correct it in "
        f"the call of {step_name} in StartProcess.py."
        for _, step_name, keywords in calls
        if isinstance(is_dark, bool)
        and keywords.get("same_contrast") is True
        and keywords.get("invert_images") is is_dark
    ]


def _check_files(options: dict[str, object], calls: list[Call] | None) -> list[str]:
    """Read the input files that the steps need and return their problems, and the disk's.

    ``options`` are allowed, but may lack some.
    """
    steps = None if calls is None else {step_name for _, step_name, _ in calls}

    def is_needed(option: str, by_steps: set[str]) -> bool:
        return option in options and (steps is None or not steps.isdisjoint(by_steps))

    problems = []
    sizes, outline = {}, (0, 0)
    scale = options.get("MICROGRAPH_SCALE", 1.0)
    tile = None
    if "TILE_SIZE_H" in options and "TILE_SIZE_W" in options:
        tile = options["TILE_SIZE_H"], options["TILE_SIZE_W"]
    if is_needed("INPUT_DIR_IMAGES", STEPS_WITH_IMAGES):
        folder = Path(options["INPUT_DIR_IMAGES"])
        image_crop = options.get("IMAGE_CROP", "auto")
        tile_to_cut, scale_to_cut = None, scale
        cuts_tiles = is_needed("TILE_SIZE_H", {"prepare_images"})
        if cuts_tiles:
            tile_to_cut = tile
        elif any(keywords.get("whole_image") is False for _, _, keywords in calls or []):
            tile_to_cut, scale_to_cut = tile, scale_of_unet(calls) or scale
        to_train = is_needed("INPUT_DIR_IMAGES", {"prepare_images", "train_unet"})
        found, sizes = check_images(
            "INPUT_DIR_IMAGES", folder, image_crop, tile_to_cut, scale_to_cut, to_train
        )
        problems += found
        warn_of_large_images(options, calls or [], sizes.values())
        if cuts_tiles and tile and "NUM_SIMULATED_MASKS" in options:
            warn_of_many_tiles(sizes.values(), tile, scale, options["NUM_SIMULATED_MASKS"])
        if _measures_all_by_metadata(calls or []):
            problems += check_pixel_sizes(sizes) or _check_filters(calls, sizes)
    augmented = options.get("OUTLINE_SOURCE") == AUGMENTED
    if is_needed("INPUT_DIR_MASKS", {"train_wgan", *(["simulate_masks"] if augmented else [])}):
        found, outline = check_masks(
            "INPUT_DIR_MASKS",
            Path(options["INPUT_DIR_MASKS"]),
            tile,
            options.get("INVERT_INPUT_MASKS") is True,
            largest_scale(options, calls or []),
            scale,
            smoothing_of(calls or []),
            augmented,
        )
        problems += found
    if is_needed("TRUE_MASKS_DIR", {"score_masks"}):
        partners = _partners_of_true_masks(options, calls or [])
        problems += check_true_masks("TRUE_MASKS_DIR", options["TRUE_MASKS_DIR"], *partners)
    if options.keys() >= OPTION_CHECKS.keys():
        estimate, at_most = (
            estimate_bytes(options, sizes.values(), outline, scale, all_tiles)
            for all_tiles in (False, True)
        )
        if calls is not None:
            written = folders_written(calls)
            estimate = {
                name: size for name, size in estimate.items() if str(options[name]) in written
            }
        problems += check_disk_space(options, estimate, calls or [], at_most)
    return problems


def _partners_of_true_masks(options: dict[str, object], calls: list[Call]) -> tuple:
    """Return the folder that step 8 needs partners of the true masks in, and what these are.

    Micrographs, where step 6b makes the masks that are scored: there are no others then. Else the
    masks that are there. None is a folder that is not known.
    """
    keywords = {step_name: keywords for _, step_name, keywords in calls}
    masks_dir = keywords.get("score_masks", {}).get("masks_dir")
    if not isinstance(masks_dir, str | Path):
        return None, "mask"
    if masks_dir == keywords.get("segment_images", {}).get("output_dir"):
        return options.get("INPUT_DIR_IMAGES"), "micrograph"
    return masks_dir, "mask"


def _check_filters(calls: list[Call], paths: Iterable[Path]) -> list[str]:
    """Return the problem that filters of step 7 have with the micrographs' pixel sizes."""
    filters = next(keywords.get("filters") for _, name, keywords in calls if name == MEASURING)
    try:
        if filters and measured_ranges(filters) is None:
            check_unit_of_filters(filters, read_pixel_sizes(paths))
    except ValueError as error:
        return [str(error)]
    return []


def _measures_all_by_metadata(calls: list[Call]) -> bool:
    """Return whether every micrograph gets a mask and is measured with its file's pixel size.

    Where masks are there already, they may be of some of the micrographs only: step 7 looks.
    """
    keywords = {step_name: keywords for _, step_name, keywords in calls}
    measuring = keywords.get(MEASURING, {})
    return "segment_images" in keywords and measuring.get("pixel_size_nm", 0) is None
