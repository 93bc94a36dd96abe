"""What a run needs of the machine: a backend, GPUs if asked for, permission and disk space."""

import importlib.util
import logging
import os
import shutil
import sys
from pathlib import Path

from pipeline.check_options import OUTPUT_FOLDERS, suggest

logger = logging.getLogger(__name__)

BACKENDS = ("tensorflow", "torch")

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
# Per pixel of a micrograph: its tiles and its raw mask; a mask; a mask and float32
# probabilities; an overlay in colour and a label map.
BYTES_PER_PIXEL = {"CYCLEGAN_DIR": 2, "OUTPUT_DIR_CYCLEGAN": 1, "OUTPUT_DIR_UNET": 5}
RESULT_BYTES_PER_PIXEL = 5


def check_backend(name: str | None) -> list[str]:
    """Return the problems of the chosen backend; it is looked for, not imported."""
    if name is None:
        return []
    if name not in BACKENDS:
        return [
            f'KERAS_BACKEND is "{name}"; allowed is "tensorflow" or "torch".'
            f"{suggest(str(name), BACKENDS)} Correct it in StartProcess.py, or in the environment, "
            "whose value wins."
        ]
    other = BACKENDS[1 - BACKENDS.index(name)]
    ways_out = {name: f'`pip install {name}`, or choose "{other}"', "keras": "`pip install keras`"}
    return [
        f'KERAS_BACKEND is "{name}", but the package {package} is not installed here. Run '
        f"`pip install -r requirements.txt` or {way_out}."
        for package, way_out in ways_out.items()
        if importlib.util.find_spec(package) is None
    ]


def count_gpus() -> int | None:
    """Return how many GPUs a network can see, None where only a framework could tell."""
    # AMD, the Windows subsystem and Jetson list their GPUs elsewhere.
    elsewhere = ("/dev/kfd", "/dev/dxg", "/dev/nvhost-gpu")
    if sys.platform != "linux" or any(Path(device).exists() for device in elsewhere):
        return None
    count = sum(1 for _ in Path("/dev").glob("nvidia[0-9]*"))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        count = min(count, sum(name.strip() not in ("", "-1") for name in visible.split(",")))
    return count


def check_gpus(use_gpus: int | str | list[int], whole_image_on_gpu: bool | str) -> list[str]:
    """Return the problem if GPUs are asked for by number and are not there."""
    there = count_gpus()
    if there is None:
        return []
    if whole_image_on_gpu is True and there == 0:
        logger.warning(
            "USE_GPU_FOR_WHOLE_IMAGE_INFERENCE is True, but there is no GPU: the CPU does it."
        )
    if use_gpus == "all":
        return []
    by_number = isinstance(use_gpus, list | tuple)
    if (max(use_gpus) + 1 if by_number else use_gpus) <= there:
        return []
    has = f"has {there} (numbers 0 to {there - 1})" if there else "has none"
    return [
        f"USE_GPUS_NO is {use_gpus!r}, but this machine {has}. Allowed are the GPUs that are "
        'there: set USE_GPUS_NO to "all", which also works without a GPU.'
    ]


def existing_parent(folder: Path) -> Path:
    """Return the folder itself, or the nearest one above it that exists."""
    folder = Path(os.path.abspath(folder))
    return next(one for one in (folder, *folder.parents) if one.exists())


def check_write_permission(options: dict[str, object]) -> list[str]:
    """Return which of the folders that a run writes cannot be written."""
    problems = []
    for name in ("ROOT_DIR", *OUTPUT_FOLDERS):
        if name not in options:
            continue
        place = existing_parent(options[name])
        if not place.is_dir():
            problems.append(
                f"{name} is {options[name]}, but {place} is a file. Allowed is a folder: rename "
                "the file or change the option."
            )
        elif not os.access(place, os.W_OK | os.X_OK):
            problems.append(
                f"{name} is {options[name]}, but there is no permission to write in {place}. "
                "Allowed is a folder of your own: change the permission or the option."
            )
    return problems


def estimate_bytes(
    options: dict[str, object], image_pixels: int, outline: tuple[int, int]
) -> dict[str, int]:
    """Return how many bytes a whole run will write, by the option of the folder.

    Parameters
    ----------
    options : the options of StartProcess.py, all of them allowed.
    image_pixels : pixels of all micrographs together.
    outline : (height, width) of the largest outline, in pixels.
    """
    tile_pixels = options["TILE_SIZE_H"] * options["TILE_SIZE_W"]
    # The first layer of the WGAN's generator grows with the outline (128: its latent size).
    outline_growth = max(0, outline[0] * outline[1] - 64 * 64) // 64 * 256 * 128
    cyclegan_scale = (options["CYCLEGAN_FILTERS"] / CYCLEGAN_PUBLISHED_FILTERS) ** 2
    unet_scale = max(1, options["UNET_FILTERS"] / UNET_PUBLISHED_FILTERS) ** 2
    parts = {
        "WGAN_DIR": MODEL_BYTES_PER_PARAMETER * (WGAN_PARAMETERS + outline_growth),
        "CYCLEGAN_DIR": MODEL_BYTES_PER_PARAMETER * CYCLEGAN_PARAMETERS * cyclegan_scale
        # The image pools: 2 of 50 float32 tiles, in three checkpoints.
        + 3 * 2 * 50 * 4 * tile_pixels
        # Two sheets an epoch of two images in four views, in colour.
        + options["CYCLEGAN_EPOCHS"] * 2 * 2 * 4 * 3 * tile_pixels
        + options["NUM_SIMULATED_MASKS"] * BYTES_PER_SIMULATED_PIXEL * tile_pixels,
        "UNET_DIR": MODEL_BYTES_PER_PARAMETER * UNET_PARAMETERS * unet_scale,
        "RESULTS_DIR": RESULT_BYTES_PER_PIXEL * image_pixels,
    }
    for name, bytes_per_pixel in BYTES_PER_PIXEL.items():
        parts[name] = parts.get(name, 0) + bytes_per_pixel * image_pixels
    return {name: int(size) for name, size in parts.items()}


def folder_bytes(folder: Path) -> int:
    """Return the size of all files in a folder and below, 0 if there is none."""
    return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())


def check_disk_space(options: dict[str, object], estimate: dict[str, int]) -> list[str]:
    """Return the problem if a disk has less room than a run will need.

    What lies in a folder from before counts as written already, if the run is continued.
    """
    needed: dict[int, int] = {}
    places: dict[int, Path] = {}
    for name, size in estimate.items():
        place = existing_parent(options[name])
        written = folder_bytes(options[name]) if options.get("RESUME") else 0
        device = place.stat().st_dev
        needed[device] = needed.get(device, 0) + max(0, size - written)
        places.setdefault(device, place)
    return [
        f"The disk of {places[device]} has {shutil.disk_usage(places[device]).free / 1e9:.1f} GB "
        f"free; the run will write about {size / 1e9:.1f} GB. Free some space, change ROOT_DIR, "
        "or lower NUM_SIMULATED_MASKS or CYCLEGAN_FILTERS."
        for device, size in needed.items()
        if shutil.disk_usage(places[device]).free < size
    ]
