"""The steps: their functions, what they read and what they leave."""

from string import Formatter
from typing import NamedTuple

from pipeline.running.cyclegan_folders import (
    BLURRED_FAKES,
    FAKE_MICROGRAPHS,
    FILTERED_LABELS,
    FILTERED_MASKS,
    PAIRS_TABLE,
    RAW_MASKS,
    SIMULATED_LABELS,
    SIMULATED_MASKS,
    SINGLES,
    TEST_MASKS,
    TEST_TILES,
    TILES,
)

# Below ROOT_DIR: where a run notes what it has done, and by which files.
STATE = ".workflow"
LOG, STEP_RECORDS, PRESET_RECORD, WARNINGS = "log.txt", "steps.json", "preset.json", "warnings.json"
STATE_FILES = (LOG, STEP_RECORDS, PRESET_RECORD, WARNINGS)
# Number, function, and title of each step; the keyword arguments that name the user's own folders.
STEPS = {
    "0": ("prepare_images", "folders and real tiles", ("images_dir",)),
    "1": ("train_wgan", "training the WGAN", ("masks_dir",)),
    "2": ("simulate_masks", "simulating masks", ("masks_dir",)),
    "3": ("train_cyclegan", "training the CycleGAN", ()),
    "4": ("translate_images", "translating masks and micrographs", ("images_dir",)),
    "5": ("filter_masks", "filtering masks", ("images_dir",)),
    "6a": ("train_unet", "training the UNet", ("images_dir",)),
    "6b": ("segment_images", "segmenting the micrographs", ("images_dir",)),
    "7": ("measure_particles", "measuring particles", ("images_dir", "masks_dir")),
    "8": ("score_masks", "scoring masks", ("true_masks_dir", "masks_dir")),
}


class Call(NamedTuple):
    """A call of a step in StartProcess.py: its number and function, and the keyword arguments."""

    number: str
    function: str
    keywords: dict


class Network(NamedTuple):
    """A network's name in print, the step that trains it, and the files that it is in.

    Of the files the last is made last: a run that holds it holds all.
    """

    title: str
    step: str
    files: tuple[str, ...]


# By the start of what is named after them, such as "unet_dir" and "unet_model".
NETWORKS = {
    "wgan": Network("WGAN", "1", ("model.keras",)),
    "cyclegan": Network("CycleGAN", "3", ("mask_to_image.keras", "image_to_mask.keras")),
    "unet": Network("UNet", "6a", ("Checkpoint_Lowest_Loss.keras", "model.keras")),
}
RUNS = "Models"  # the folder of a network's runs, in its own


def _in_runs(network):
    return tuple(f"{{{network}_dir}}/{RUNS}/*/{file}" for file in NETWORKS[network].files)


def _in_cyclegan(path):
    return f"{{cyclegan_dir}}/{path}"


# What each step reads of which steps before it; of a network, or of several folders, what is made
# last.
INPUTS = {
    "2": {"0": _in_cyclegan(TILES), "1": _in_runs("wgan")[-1]},
    "3": {"0": _in_cyclegan(TILES), "2": _in_cyclegan(SIMULATED_MASKS)},
    "4": {
        "2": _in_cyclegan(SIMULATED_MASKS),
        "3": _in_runs("cyclegan")[-1],
    },
    "5": {"2": _in_cyclegan(SIMULATED_MASKS), "4": _in_cyclegan(RAW_MASKS)},
    "6a": {
        "4": _in_cyclegan(FAKE_MICROGRAPHS),
        "5": _in_cyclegan(FILTERED_MASKS),
    },
    "6b": {"6a": _in_runs("unet")[-1]},
    "7": {"6b": "{masks_dir}"},
    "8": {"6b": "{masks_dir}", "7": "{results_dir}/*/particles.csv"},
}
# The steps that run a network; simulate_masks only where the WGAN draws the outlines.
NETWORK_STEPS = (
    "train_wgan",
    "simulate_masks",
    "train_cyclegan",
    "translate_images",
    "train_unet",
    "segment_images",
)
# Options that change how a step works, not what it makes: they make no finished step stale.
WITHOUT_EFFECT = (
    "checkpoint_minutes",
    "preview_every",
    "use_dataloader",
    "use_gpu_for_whole_image",
    "when_failed",
)
# Of step 2, where it matches the scenes: how much is placed is measured in the micrographs.
DECIDED_BY_SCENES = ("perlin_noise_threshold", "min_no_of_particles", "max_no_of_particles")
# What each step leaves; of files in run folders (*) those in the latest.
OUTPUTS = {
    "0": tuple(map(_in_cyclegan, (TILES, TEST_TILES, SINGLES))),
    "1": _in_runs("wgan"),
    "2": tuple(map(_in_cyclegan, (SIMULATED_MASKS, SIMULATED_LABELS, TEST_MASKS))),
    "3": _in_runs("cyclegan"),
    "4": (_in_cyclegan(FAKE_MICROGRAPHS), _in_cyclegan(RAW_MASKS)),
    "5": (
        _in_cyclegan(BLURRED_FAKES),
        _in_cyclegan(FILTERED_MASKS),
        _in_cyclegan(FILTERED_LABELS),
        _in_cyclegan(PAIRS_TABLE),
        "{output_dir}",
    ),
    "6a": _in_runs("unet"),
    "6b": ("{output_dir}",),
    "7": ("{results_dir}/*/particles.csv",),
    "8": ("{results_dir}/*/scores.csv",),
}


def runs_network(function, keywords):
    """Return whether a step, of this function and these keywords, runs a network.

    The others import neither Keras nor its backend.
    """
    return function in NETWORK_STEPS and keywords.get("outline_source") != "augmented"


def deciding(keywords):
    """Return those of a step's keyword arguments that decide what it makes, folders apart."""
    by_scenes = DECIDED_BY_SCENES if keywords.get("match_scenes") else ()
    return {
        name: value
        for name, value in keywords.items()
        if name not in WITHOUT_EFFECT + by_scenes and not name.endswith("_dir")
    }


def named(number):
    """Return a step as messages name it, such as "step 0 (prepare_images)"."""
    return f"step {number} ({STEPS[number][0]})"


def folders_written(calls: list[Call]) -> set[str]:
    """Return the folders, as the steps' keywords name them, below which a run of them writes."""
    return {
        str(keywords[keyword])
        for number, _, keywords in calls
        for pattern in OUTPUTS.get(number, ())
        for _, keyword, _, _ in Formatter().parse(pattern)
        if keyword in keywords
    }
