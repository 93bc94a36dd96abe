"""The steps: their functions, what they read and what they leave."""

from string import Formatter
from typing import NamedTuple

from pipeline.running.cyclegan_folders import (
    BLURRED_FAKES,
    COVERED_SHARES,
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
DIGESTS = "digests.json"
STATE_FILES = (LOG, STEP_RECORDS, PRESET_RECORD, WARNINGS, DIGESTS)
AUGMENTED = "augmented"  # of OUTLINE_SOURCE: outlines as given, deformed; else "wgan"


class Step(NamedTuple):
    """A step: its function and title, and what it reads and leaves.

    user_folders: the keyword arguments that name the user's own folders. reads: by the step that
    makes it; without the last of them, the step cannot begin. leaves: of files in run folders (*),
    as of what is read, those in the latest. runs_network: whether it imports Keras and its backend.
    """

    function: str
    title: str
    user_folders: tuple[str, ...]
    reads: dict[str, tuple[str, ...]]
    leaves: tuple[str, ...]
    runs_network: bool


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
OUTLINE_SHEETS = "Output_Images"  # the folder of the WGAN's preview sheets, in its own
MICROGRAPHS_RECORD = "micrographs.json"  # in a UNet's run: what is known of those it was trained on


def _in_runs(network):
    return tuple(f"{{{network}_dir}}/{RUNS}/*/{file}" for file in NETWORKS[network].files)


def _in_cyclegan(*paths):
    return tuple(f"{{cyclegan_dir}}/{path}" for path in paths)


STEPS = {
    "0": Step(
        "prepare_images",
        "folders and real tiles",
        user_folders=("images_dir",),
        reads={},
        leaves=_in_cyclegan(TILES, TEST_TILES, SINGLES, COVERED_SHARES),
        runs_network=False,
    ),
    "1": Step(
        "train_wgan",
        "training the WGAN",
        user_folders=("masks_dir",),
        reads={},
        leaves=_in_runs("wgan"),
        runs_network=True,
    ),
    "2": Step(
        "simulate_masks",
        "simulating masks",
        user_folders=("masks_dir",),
        reads={"0": _in_cyclegan(SINGLES, COVERED_SHARES, TILES), "1": _in_runs("wgan")},
        leaves=_in_cyclegan(SIMULATED_MASKS, SIMULATED_LABELS, TEST_MASKS),
        runs_network=True,
    ),
    "3": Step(
        "train_cyclegan",
        "training the CycleGAN",
        user_folders=(),
        reads={"0": _in_cyclegan(TILES), "2": _in_cyclegan(SIMULATED_MASKS)},
        leaves=_in_runs("cyclegan"),
        runs_network=True,
    ),
    "4": Step(
        "translate_images",
        "translating masks and micrographs",
        user_folders=("images_dir",),
        reads={"2": _in_cyclegan(SIMULATED_MASKS), "3": _in_runs("cyclegan")},
        leaves=_in_cyclegan(FAKE_MICROGRAPHS, RAW_MASKS),
        runs_network=True,
    ),
    "5": Step(
        "filter_masks",
        "filtering masks",
        user_folders=("images_dir",),
        reads={
            "2": _in_cyclegan(SIMULATED_LABELS, SIMULATED_MASKS),
            "4": _in_cyclegan(FAKE_MICROGRAPHS, RAW_MASKS),
        },
        leaves=(
            *_in_cyclegan(BLURRED_FAKES, FILTERED_MASKS, FILTERED_LABELS, PAIRS_TABLE),
            "{output_dir}",
        ),
        runs_network=False,
    ),
    "6a": Step(
        "train_unet",
        "training the UNet",
        user_folders=("images_dir",),
        reads={
            "4": _in_cyclegan(FAKE_MICROGRAPHS),
            "5": _in_cyclegan(PAIRS_TABLE, BLURRED_FAKES, FILTERED_LABELS, FILTERED_MASKS),
        },
        leaves=_in_runs("unet"),
        runs_network=True,
    ),
    "6b": Step(
        "segment_images",
        "segmenting the micrographs",
        user_folders=("images_dir",),
        reads={"6a": _in_runs("unet")},
        leaves=("{output_dir}",),
        runs_network=True,
    ),
    "7": Step(
        "measure_particles",
        "measuring particles",
        user_folders=("images_dir", "masks_dir"),
        reads={"6b": ("{masks_dir}",)},
        leaves=("{results_dir}/*/particles.csv",),
        runs_network=False,
    ),
    "8": Step(
        "score_masks",
        "scoring masks",
        user_folders=("true_masks_dir", "masks_dir"),
        reads={"6b": ("{masks_dir}",), "7": ("{results_dir}/*/particles.csv",)},
        leaves=("{results_dir}/*/scores.csv",),
        runs_network=False,
    ),
}
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


def reads_of(number: str, outline_source: str | None) -> dict[str, tuple[str, ...]]:
    """Return what a step reads, by the step that makes it: augmented outlines need no WGAN."""
    reads = STEPS[number].reads if number in STEPS else {}
    unused = "1" if outline_source == AUGMENTED else None
    return {earlier: paths for earlier, paths in reads.items() if earlier != unused}


def runs_network(function: str, keywords: dict) -> bool:
    """Return whether a step, of this function and these keywords, runs a network.

    Augmented outlines need none. Steps without one import neither Keras nor its backend.
    """
    with_network = [step.function for step in STEPS.values() if step.runs_network]
    return function in with_network and keywords.get("outline_source") != AUGMENTED


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
    return f"step {number} ({STEPS[number].function})"


def folders_written(calls: list[Call]) -> set[str]:
    """Return the folders, as the steps' keywords name them, below which a run of them writes."""
    return {
        str(keywords[keyword])
        for number, _, keywords in calls
        if number in STEPS
        for pattern in STEPS[number].leaves
        for _, keyword, _, _ in Formatter().parse(pattern)
        if keyword in keywords
    }
