"""Whether trainings will fit into the GPU's memory, before the first of them takes hours."""

import logging
import os
import subprocess
from contextlib import suppress
from typing import NamedTuple

from pipeline.running.step_failures import BATCH_SIZES
from pipeline.running.step_table import Call

logger = logging.getLogger(__name__)

# GiB that a training step takes: of the weights, and for each tile of 384 x 384 pixels, by
# precision, at the published number of filters. The weights grow with its square, tiles with it.
# Counted with torch: benchmarks/training_memory.py, tables in benchmarks/notebook/gpu.md; but the
# CycleGAN's in float32, where 5 tiles took 26.3 GiB on a GPU and the tensors alone make 19.
COUNTED = {
    "train_cyclegan": (64, 1.1, {"float32": 5.1, "mixed_bfloat16": 2.0}),
    "train_unet": (16, 0.04, {"float32": 0.73, "mixed_bfloat16": 0.39}),
}
PIXELS_COUNTED = 384 * 384
BESIDES = 1.0  # GiB that CUDA and its libraries take, or more
MUCH_TAKEN = 1.0  # GiB in use: less may be of the screen
QUERY = "memory.total,memory.free"
SECONDS_TO_ASK = 20


def warn_of_little_gpu_memory(options: dict[str, object], calls: list[Call]) -> None:
    """Log a warning for each training that the GPU in use has hardly enough memory for.

    Nothing is said where no NVIDIA GPU tells its memory.
    """
    needed = {"batch_size", "filters", "precision"}  # one that is not known may be left out
    trainings = [
        (name, keywords)
        for _, name, keywords in calls
        if name in COUNTED and needed <= keywords.keys()
    ]
    has = gpu_memory(options.get("USE_GPUS_NO", "all")) if trainings else None
    if has is None:
        return
    taken = has.total - has.free > MUCH_TAKEN
    taken_words = f", of which {has.free:.0f} are free now: other programs use it" if taken else ""
    for name, keywords in trainings:
        least = has.free if taken else has.total
        batch, largest = keywords["batch_size"], largest_batch(options, name, keywords, least)
        if batch <= largest:
            continue
        lower = f"{BATCH_SIZES[name]} to {largest}" if largest else "TILE_SIZE_H and TILE_SIZE_W"
        precise = keywords["precision"] != "mixed_bfloat16"
        logger.warning(
            "%s: %d tiles in a batch may not fit into the GPU's %.0f GiB of memory%s (an "
            "estimate). If the step fails for that, lower %s%s%s; its training then begins anew.",
            *(name, batch, has.total, taken_words, lower),
            ", or choose another GPU (USE_GPUS_NO)" if taken else "",
            ', or, on a GPU of 2020 or later, set precision="mixed_bfloat16" in its call'
            if precise
            else "",
        )


def largest_batch(
    options: dict[str, object], name: str, keywords: dict[str, object], gibibytes: float
) -> int:
    """Return how many tiles of TILE_SIZE_H and TILE_SIZE_W fit into so much memory; 0 for none."""
    filters, of_weights, of_tiles = COUNTED[name]
    wider = keywords["filters"] / filters
    pixels = options["TILE_SIZE_H"] * options["TILE_SIZE_W"]
    of_tile = of_tiles.get(keywords["precision"], of_tiles["float32"])
    of_tile *= wider * pixels / PIXELS_COUNTED
    return max(0, int((gibibytes - BESIDES - of_weights * wider**2) / of_tile))


class Memory(NamedTuple):
    """A GPU's memory in GiB: all of it, and what no program uses now."""

    total: float
    free: float


def gpu_memory(use_gpus: int | str | list[int]) -> Memory | None:
    """Return the memory of the GPU that will be used, None where it is not known."""
    chosen = use_gpus[:1] if isinstance(use_gpus, list | tuple) else [0] if use_gpus else []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    with suppress(OSError, ValueError, IndexError, subprocess.SubprocessError):
        (number,) = chosen
        if visible is not None:
            number = int(visible.split(",")[number])
        answer = subprocess.run(
            ["nvidia-smi", f"--query-gpu={QUERY}", "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            check=True,
            timeout=SECONDS_TO_ASK,
        )
        numbers = answer.stdout.splitlines()[number].split(",")
        return Memory(*(float(mebibytes) / 1024 for mebibytes in numbers))
    return None
