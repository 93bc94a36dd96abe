"""Whether the disk has room for what a run will write."""

import logging
import math
import os
import shutil
from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from pipeline.checks.files import Size
from pipeline.checks.folders import existing_parent
from pipeline.files.records import as_recorded, read_json
from pipeline.micrographs.resampling import scaled_size
from pipeline.results.overlays import enlargement
from pipeline.run_folders import OPTIONS_RECORD, RUN_NAME, finished_runs
from pipeline.running.cyclegan_folders import DATA, TRANSLATED
from pipeline.running.output_folders import MADE_WITH
from pipeline.running.step_table import NETWORKS, RUNS, Call, deciding
from pipeline.tiles import number_of_tiles

logger = logging.getLogger(__name__)

# Parameters of the networks as published, both domains' together, for the size of their files;
# they grow with the square of the filters.
WGAN_PARAMETERS = 6_900_000  # at outlines of 64 x 64
CYCLEGAN_PARAMETERS, CYCLEGAN_PUBLISHED_FILTERS = 96_500_000, 64
UNET_PARAMETERS, UNET_PUBLISHED_FILTERS = 2_430_000, 16
# float32 weights and two moments of Adam; two checkpoints are kept while a third is written,
# and the finished model has the weights alone.
MODEL_BYTES_PER_PARAMETER = 4 * (3 * 3 + 1)
# Per pixel of a simulated image: mask 1, label map 2, fake micrograph 1, filtered mask 1 and
# label map 2, blurred fake 1, and the tile of a real micrograph 1.
BYTES_PER_SIMULATED_PIXEL = 9
# Per pixel of a target that step 6a keeps while it trains, and value of it: float32.
BYTES_PER_TARGET = 4
# Per pixel of a micrograph as the networks see it: its tiles and its raw mask.
BYTES_PER_SEEN_PIXEL = 2
# Per pixel of a micrograph: a mask; a mask and float32 probabilities; a label map with the regions
# and the report.
BYTES_PER_PIXEL = {"OUTPUT_DIR_CYCLEGAN": 1, "OUTPUT_DIR_UNET": 5, "RESULTS_DIR": 3}
BYTES_PER_OVERLAY_PIXEL = 2.25  # in colour, as PNG

# The step that notes its options with what it leaves in a folder.
NOTED_BY = {
    "WGAN_DIR": "train_wgan",
    "CYCLEGAN_DIR": "train_cyclegan",
    "UNET_DIR": "train_unet",
    "OUTPUT_DIR_CYCLEGAN": "filter_masks",
    "OUTPUT_DIR_UNET": "segment_images",
    "RESULTS_DIR": "measure_particles",
}
# Folders of CYCLEGAN_DIR that steps go on with, or empty first, whatever is there.
REWRITTEN = (DATA, TRANSLATED)


def estimate_bytes(
    options: dict[str, object],
    sizes: Collection[Size],
    outline: Size,
    scale: float = 1.0,
    all_tiles: bool = False,
) -> dict[str, int]:
    """Return how many bytes a whole run will write, by the option of the folder.

    Parameters
    ----------
    options : the options of StartProcess.py, all of them allowed.
    sizes : (height, width) of the micrographs.
    outline : (height, width) of the largest outline, in pixels, resized.
    scale : MICROGRAPH_SCALE, as a number.
    all_tiles : there are as many tiles and masks as tiles that show particles, and at least
        NUM_SIMULATED_MASKS. How many do, step 0 alone finds out: False takes them to be no more
        than that, True to be all.
    """
    tile = options["TILE_SIZE_H"], options["TILE_SIZE_W"]
    tile_pixels = tile[0] * tile[1]
    tiles = options["NUM_SIMULATED_MASKS"]
    if all_tiles:
        tiles = max(tiles, sum(number_of_tiles(scaled_size(size, scale), tile) for size in sizes))
    image_pixels = sum(height * width for height, width in sizes)
    # The first layer of the WGAN's generator grows with the outline (128: its latent size).
    outline_growth = max(0, outline[0] * outline[1] - 64 * 64) // 64 * 256 * 128
    seen_pixels = image_pixels * scale**2
    cyclegan_scale = (options["CYCLEGAN_FILTERS"] / CYCLEGAN_PUBLISHED_FILTERS) ** 2
    unet_scale = max(1, options["UNET_FILTERS"] / UNET_PUBLISHED_FILTERS) ** 2
    values = [True, options["UNET_TARGET"] == "instances", options["UNET_GAP_WEIGHT"] > 0]
    kept_values = sum(values) if options["USE_DATALOADER"] and any(values[1:]) else 0
    parts = {
        "WGAN_DIR": MODEL_BYTES_PER_PARAMETER * (WGAN_PARAMETERS + outline_growth),
        "CYCLEGAN_DIR": MODEL_BYTES_PER_PARAMETER * CYCLEGAN_PARAMETERS * cyclegan_scale
        # The image pools: 2 of 50 float32 tiles, in three checkpoints.
        + 3 * 2 * 50 * 4 * tile_pixels
        # Two sheets an epoch of two images in four views, in colour.
        + options["CYCLEGAN_EPOCHS"] * 2 * 2 * 4 * 3 * tile_pixels
        + tiles * BYTES_PER_SIMULATED_PIXEL * tile_pixels
        + BYTES_PER_SEEN_PIXEL * seen_pixels,
        "UNET_DIR": MODEL_BYTES_PER_PARAMETER * UNET_PARAMETERS * unet_scale
        + tiles * BYTES_PER_TARGET * kept_values * tile_pixels,
    }
    parts |= {name: number * image_pixels for name, number in BYTES_PER_PIXEL.items()}
    overlay_pixels = sum(math.prod(size) * enlargement(size) ** 2 for size in sizes)
    parts["RESULTS_DIR"] += BYTES_PER_OVERLAY_PIXEL * overlay_pixels
    return {name: int(size) for name, size in parts.items()}


def check_disk_space(
    options: dict[str, object],
    estimate: dict[str, int],
    calls: list[Call],
    at_most: dict[str, int] | None = None,
) -> list[str]:
    """Return the problem if a disk has less room than a run of these step calls will need.

    What a run goes on with, if it is continued, is written already (see `bytes_written`). Where
    there is room for the ``estimate``, but not for what may be written ``at_most``, a warning is
    logged.
    """
    needed: Counter[int] = Counter()
    may_need: Counter[int] = Counter()
    places: dict[int, Path] = {}
    for name, size in estimate.items():
        place = existing_parent(options[name])
        if not os.path.exists(place):  # which `check_write_permission` tells
            continue
        written = bytes_written(name, options[name], calls) if options.get("RESUME") else 0
        device = place.stat().st_dev
        needed[device] += max(0, size - written)
        may_need[device] += max(0, (at_most or estimate)[name] - written)
        places.setdefault(device, place)
    problems = []
    for device, place in places.items():
        free = shutil.disk_usage(place).free
        words = (
            f"The disk of {place} has {free / 1e9:.1f} GB free; the run will write about "
            f"{needed[device] / 1e9:.1f} GB, {may_need[device] / 1e9:.1f} GB if all tiles show "
            "particles. Free some space, change ROOT_DIR, raise TILE_SIZE_H and TILE_SIZE_W, or "
            "lower NUM_SIMULATED_MASKS or CYCLEGAN_FILTERS."
        )
        if free < needed[device]:
            problems.append(words)
        elif free < may_need[device]:
            logger.warning("%s", words)
    return problems


def bytes_written(name: str, folder: Path, calls: list[Call]) -> float:
    """Return how much of what a continued run would write to a folder is there already.

    ``name`` is the folder's option. Runs and results of other options stay beside new ones, so they
    do not count. Inputs are not compared: among runs of the same options the largest counts, and
    if one is finished, as all there is to write (infinite). So a run that can go on is never
    refused; one whose inputs changed may find the disk full later.
    """
    folder = Path(folder)
    rewritten, sizes = 0, Counter()
    for place, _, files in os.walk(folder):
        inner = Path(place).relative_to(folder).parts
        size = sum(_size(os.path.join(place, file)) for file in files)
        if inner[:1] and inner[0] in REWRITTEN:
            rewritten += size
        else:
            sizes[next(filter(RUN_NAME.fullmatch, inner), None)] += size
    noted_by = [keywords for _, step_name, keywords in calls if step_name == NOTED_BY[name]]
    alike = [run for run in sizes if all(_agree(_noted(folder, run), one) for one in noted_by)]
    network = name.removesuffix("_DIR").lower()
    finished = finished_runs(network, folder) if network in NETWORKS else []
    if any(run.name in alike for run in finished):
        return math.inf
    return rewritten + max((sizes[run] for run in alike), default=0)


def _size(path: str) -> int:
    with suppress(OSError):
        return os.lstat(path).st_size
    return 0


def _noted(folder: Path, run: str | None) -> object:
    """Return the options that a run of a folder, or None for the folder itself, was made with."""
    file = folder / MADE_WITH
    if run:
        inner = f"{RUNS}/{run}" if os.path.exists(folder / RUNS / run) else run
        file = folder / inner / OPTIONS_RECORD
    with suppress(OSError):
        noted = read_json(file)
        return noted.get("options", noted) if isinstance(noted, dict) else None
    return None


def _agree(noted: object, keywords: dict[str, object]) -> bool:
    """Return whether noted options are those of a step call, as far as both tell."""
    return isinstance(noted, dict) and all(
        noted.get(name, value) == value
        for name, value in as_recorded(deciding(keywords)).items()
        if not name.endswith("_model")  # of one asked for, the run that was found is noted
    )
