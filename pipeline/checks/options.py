"""The options of StartProcess.py: what each may be, and which go together."""

import difflib
import itertools
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from pipeline.checks.values import (
    UNKNOWN,
    Check,
    either,
    folder_name,
    number,
    one_of,
    pair,
    several,
)
from pipeline.checks.values import whole_number as whole
from pipeline.micrographs.micrograph_scale import ALLOWED_SCALES
from pipeline.running.step_table import AUGMENTED

YES_NO = one_of(True, False)
# With fewer pixels nothing is left of a tile after the discriminator's four convolutions.
SMALLEST_TILE = 46
TILE_SIZE = whole(SMALLEST_TILE)
# File names count to 99999; below 2 there is no image to validate the UNet with.
IMAGE_COUNT = whole(2, 99_999)
POSITIVE = whole(1)
MINUTES = number(0, above=True)
SHARE = number(0, 1)
WEIGHT = number(0)
IMAGE_CROP = either(one_of("auto", None), whole(1))
SCALE = number(*ALLOWED_SCALES)
MICROGRAPH_SCALE = either(one_of("auto"), SCALE)
PIXEL_SIZE = either(one_of(None), number(0, above=True))
SEED = whole(0, 2**32 - 1)
PRECISION = one_of("float32", "mixed_bfloat16", "auto")
# Batch normalisation of a single sample gives zeros, and the WGAN the same outline for ever.
WGAN_BATCH_SIZE = whole(2)
CYCLEGAN_FILTERS = whole(1, 1024)
# Fewer than 4 leave the first convolution of a MultiRes block without a filter.
UNET_FILTERS = whole(4, 1024)
CONTRAST_RANGE = pair(number(0, 100), increasing=True)
BLUR = number(0, 100)
UNET_TARGET = one_of("mask", "instances")
OUTLINE_SOURCE = one_of("wgan", AUGMENTED)
WHEN_FAILED = one_of("stop", "warn")
TEST_TIME_FLIPS = one_of(True, "rotations", False)
MAGNIFICATION = number(1, 4)
GPU_FOR_WHOLE_IMAGE = one_of("auto", True, False)

# Every option on top of StartProcess.py and what it may be. A new option gets its line here.
OPTION_CHECKS: dict[str, Check] = {
    "PRESET": one_of("published", "quick", "auto"),
    "ROOT_DIR": folder_name,
    "INPUT_DIR_IMAGES": folder_name,
    "INPUT_DIR_MASKS": folder_name,
    "OUTPUT_DIR_CYCLEGAN": folder_name,
    "OUTPUT_DIR_UNET": folder_name,
    "RESULTS_DIR": folder_name,
    "TRUE_MASKS_DIR": folder_name,
    "TILE_SIZE_W": TILE_SIZE,
    "TILE_SIZE_H": TILE_SIZE,
    "NUM_SIMULATED_MASKS": IMAGE_COUNT,
    "DARK_BACKGROUND": YES_NO,
    "INVERT_INPUT_MASKS": YES_NO,
    "RUN_INFERENCE_ON_WHOLE_IMAGE": YES_NO,
    "IMAGE_CROP": IMAGE_CROP,
    "MICROGRAPH_SCALE": MICROGRAPH_SCALE,
    "PIXEL_SIZE_NM": PIXEL_SIZE,
    "SEED": SEED,
    "RESUME": YES_NO,
    "WHEN_A_NETWORK_FAILS": WHEN_FAILED,
    "CHECKPOINT_MINUTES": MINUTES,
    "PRECISION": PRECISION,
    "USE_GPUS_NO": either(
        one_of("all"), whole(0), several(whole(0), "a list of their numbers such as [0, 2]")
    ),
    "USE_GPU_FOR_WHOLE_IMAGE_INFERENCE": GPU_FOR_WHOLE_IMAGE,
    "ALLOW_MEMORY_GROWTH": YES_NO,
    "DETERMINISTIC": YES_NO,
    "USE_XLA": either(one_of("auto"), YES_NO),
    "OUTLINE_SOURCE": OUTLINE_SOURCE,
    "WGAN_BATCH_SIZE": WGAN_BATCH_SIZE,
    "WGAN_EPOCHS": POSITIVE,
    "MAX_PARTICLE_OVERLAP": SHARE,
    "MATCH_SCENES": YES_NO,
    "CYCLEGAN_BATCH_SIZE": POSITIVE,
    "CYCLEGAN_EPOCHS": POSITIVE,
    "CYCLEGAN_USE_SKIPS": YES_NO,
    "CYCLEGAN_FILTERS": CYCLEGAN_FILTERS,
    "GAUSSIAN_BLUR_AMOUNT": BLUR,
    "UNET_BATCH_SIZE": POSITIVE,
    "UNET_EPOCHS": POSITIVE,
    "UNET_CONTRAST_OPTIMIZATION_RANGE": CONTRAST_RANGE,
    "UNET_FILTERS": UNET_FILTERS,
    "UNET_TARGET": UNET_TARGET,
    "UNET_TEST_TIME_FLIPS": TEST_TIME_FLIPS,
    "UNET_TEST_TIME_MAGNIFICATION": MAGNIFICATION,
    "UNET_VARY_IMAGING": YES_NO,
    "UNET_GAP_WEIGHT": WEIGHT,
    "USE_DATALOADER": YES_NO,
    "WGAN_DIR": folder_name,
    "CYCLEGAN_DIR": folder_name,
    "UNET_DIR": folder_name,
}

INPUT_FOLDERS = ("INPUT_DIR_IMAGES", "INPUT_DIR_MASKS", "TRUE_MASKS_DIR")
EMPTIED_FOLDERS = ("CYCLEGAN_DIR", "OUTPUT_DIR_CYCLEGAN", "OUTPUT_DIR_UNET")
OUTPUT_FOLDERS = (
    "WGAN_DIR",
    "CYCLEGAN_DIR",
    "UNET_DIR",
    "OUTPUT_DIR_CYCLEGAN",
    "OUTPUT_DIR_UNET",
    "RESULTS_DIR",
)


def describe_wrong_value(name: str, value: object, allowed: str) -> str:
    """Return the words for a value that is not allowed."""
    text = repr(value)
    text = text if len(text) <= 60 else f"{text[:57]}..."
    return f"{name} is {text} ({type(value).__name__}); allowed is {allowed}."


def wrong_values(values: dict[str, object], checks: dict[str, Check]) -> dict[str, str]:
    """Return, by name, what would be allowed for every value that does not pass its check."""
    known = {name: value for name, value in values.items() if value is not UNKNOWN}
    found = {name: checks[name](value) for name, value in known.items() if name in checks}
    return {name: allowed for name, allowed in found.items() if allowed is not None}


def suggest(name: str, known) -> str:
    """Return " Did you mean ...?" for a name like a known one, else nothing."""
    by_lower_case = {one.lower(): one for one in known}
    nearest = difflib.get_close_matches(name.lower(), by_lower_case, n=1, cutoff=0.6)
    return f" Did you mean {by_lower_case[nearest[0]]}?" if nearest else ""


def describe_missing_names(names: Iterable[str]) -> list[str]:
    """Return a line for each missing name that the step calls use and that is no option.

    Of a missing option `check_options` tells.
    """
    return [
        f"The calls of the steps use the name {name}, which StartProcess.py does not define."
        f"{suggest(name, OPTION_CHECKS)} Correct it, or define it above the steps."
        for name in names
        if name not in OPTION_CHECKS
    ]


def describe_names_in_other_case(names: dict[str, object]) -> list[str]:
    """Return a line for each name of StartProcess.py that is an option but for upper case.

    ``names``: all there, with their values; of functions, such as `preset`, nothing is said.
    """
    return [
        f"{name} is not read: the names of options are in capitals, and {name.upper()} is one. "
        "Write it so, or give a value of your own another name."
        for name, value in names.items()
        if name.upper() in OPTION_CHECKS and not name.isupper() and not callable(value)
    ]


def check_options(options: dict[str, object]) -> list[str]:
    """Return the problems of the options on top of StartProcess.py, each in a line.

    Parameters: ``options`` holds all names in upper case, with their values.
    """
    problems = _check_backend_option(options)
    problems += [
        f"{name} is no option of StartProcess.py.{suggest(name, OPTION_CHECKS.keys() - options)} "
        "Correct or remove it; a name of your own is free in lower case."
        for name in options
        if name not in OPTION_CHECKS and name != "KERAS_BACKEND"
    ]
    problems += [
        f"{name} is missing in StartProcess.py: put it back, it has no other default."
        for name in OPTION_CHECKS
        if name not in options
    ]
    wrong = wrong_values(options, OPTION_CHECKS)
    problems += [
        f"{describe_wrong_value(name, options[name], allowed)} "
        f"Change it at the top of StartProcess.py."
        for name, allowed in wrong.items()
    ]
    right = {name: value for name, value in options.items() if name not in wrong}
    return problems + _check_xla(right) + _check_folders(right)


def _check_backend_option(options: dict[str, object]) -> list[str]:
    """Return the problem of a variable KERAS_BACKEND, which the published script has: it comes
    too late."""
    used = os.environ.get("KERAS_BACKEND")
    if options.get("KERAS_BACKEND", used) == used:
        return []
    return [
        f"KERAS_BACKEND = {options['KERAS_BACKEND']!r} has no effect in StartProcess.py: {used} is "
        "in use. Remove it; change the line os.environ.setdefault at the top of the file, or set "
        "KERAS_BACKEND in the environment."
    ]


def _check_xla(options: dict[str, object]) -> list[str]:
    is_torch = os.environ.get("KERAS_BACKEND") == "torch"  # which has no XLA
    if options.get("DETERMINISTIC") and options.get("USE_XLA") is True and not is_torch:
        return [
            "DETERMINISTIC is True and USE_XLA is True, but not all of XLA's kernels repeat "
            'themselves. Allowed with DETERMINISTIC = True is USE_XLA = "auto" or False: change '
            "one of the two."
        ]
    return []


def _check_folders(options: dict[str, object]) -> list[str]:
    """Return where a folder that is written is, or holds, one with input or other results."""

    def folders(names) -> dict[str, Path]:
        given = {name: options[name] for name in names if name in options}
        # Through links: what is written to one of two names would be gone from the other.
        return {name: Path(os.path.realpath(os.fspath(value))) for name, value in given.items()}

    def known(folder) -> Path:
        """Return a folder as the system knows it: on macOS, as Path knows of Windows, upper and
        lower case are one."""
        return Path(str(folder).casefold()) if sys.platform == "darwin" else folder

    inputs, outputs = folders(INPUT_FOLDERS), folders(OUTPUT_FOLDERS)
    everything = inputs | outputs
    problems = [
        f"{first} and {second} are both {folder}: each needs a folder of its own. Change one of "
        "them."
        for (first, folder), (second, other) in itertools.combinations(everything.items(), 2)
        if known(folder) == known(other)
    ]
    emptied = "which a run empties before it writes there"
    problems += [
        f"{name} is {folder}, inside of {output} ({output_folder}), "
        f"{emptied if output in EMPTIED_FOLDERS else 'which is for what a run makes'}. Allowed is "
        "any folder outside of it: change one of the two."
        for output, output_folder in outputs.items()
        for name, folder in everything.items()
        if known(output_folder) in known(folder).parents
    ]
    return problems
