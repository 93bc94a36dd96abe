"""What a run needs of the machine: a backend, GPUs if asked for, and permission to write."""

import contextlib
import importlib.util
import logging
import os
import sys
from collections.abc import Collection
from pathlib import Path

from pipeline.checks.options import OUTPUT_FOLDERS, suggest
from pipeline.running import cyclegan_folders
from pipeline.running.output_folders import EARLIER_RESULTS
from pipeline.running.step_table import OUTPUTS, RUNS, STATE, STATE_FILES

logger = logging.getLogger(__name__)

# Folders whose content a step moves to `EARLIER_RESULTS` beside them, and its number.
GO_ASIDE = {"OUTPUT_DIR_CYCLEGAN": "5", "OUTPUT_DIR_UNET": "6b"}
BACKENDS = ("tensorflow", "torch")
# What the steps write to below the folders that the options name.
WRITTEN_BELOW = {
    "ROOT_DIR": (STATE,),
    "WGAN_DIR": (RUNS, "Output_Images"),
    "CYCLEGAN_DIR": (RUNS, *cyclegan_folders.FOLDERS),
    "UNET_DIR": (RUNS,),
}


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
    """Return the problems if GPUs are asked for that are not there."""
    on_cpu = use_gpus in (0, [])
    if on_cpu and whole_image_on_gpu is True:
        return [
            f"USE_GPU_FOR_WHOLE_IMAGE_INFERENCE is True, but USE_GPUS_NO is {use_gpus}, the CPU. "
            'Set the former to "auto" or False, or USE_GPUS_NO to "all".'
        ]
    there = count_gpus()
    if on_cpu or there is None:
        return []
    problems = []
    if whole_image_on_gpu is True and there == 0:
        problems.append(
            "USE_GPU_FOR_WHOLE_IMAGE_INFERENCE is True, but this machine has no GPU. Allowed are "
            '"auto", which takes one where there is one, and False.'
        )
    if use_gpus == "all":
        return problems
    by_number = isinstance(use_gpus, list | tuple)
    if (max(use_gpus) + 1 if by_number else use_gpus) <= there:
        return problems
    has = f"has {there} (numbers 0 to {there - 1})" if there else "has none"
    return [
        *problems,
        f"USE_GPUS_NO is {use_gpus!r}, but this machine {has}. Allowed are the GPUs that are "
        'there: set USE_GPUS_NO to "all", which also works without a GPU.',
    ]


def tell_of_idle_gpus(use_gpus: int | str | list[int]) -> None:
    """Say that training uses the first GPU only, where several are chosen."""
    chosen = (count_gpus() or 0) if use_gpus == "all" else use_gpus
    number = len(chosen) if isinstance(chosen, list | tuple) else chosen
    if number > 1:
        logger.info("training uses the first of %d GPUs; USE_GPUS_NO can name another", number)


def existing_parent(folder: Path) -> Path:
    """Return the folder itself, or the nearest one above it that exists and can be seen.

    Of a drive that is not there, its name: nothing of it exists.
    """
    folder = Path(os.path.abspath(folder))
    above = (folder, *folder.parents)
    # Not Path.exists, which raises an error below a folder that may not be entered.
    return next((one for one in above if os.path.exists(one)), above[-1])


def _warn_of_masks_that_stay(name: str, folder: Path) -> None:
    """Warn where masks that are there cannot be moved aside, if others are made."""
    aside = folder.parent / EARLIER_RESULTS
    place = aside if os.path.exists(aside) else folder.parent
    with contextlib.suppress(OSError):
        if any(folder.iterdir()) and not os.access(place, os.W_OK | os.X_OK):
            logger.warning(
                "%s is %s, which holds masks, and there is no permission to write in %s, where "
                "they go before others are made: the step would fail then.",
                *(name, folder, place),
            )


def check_write_permission(
    options: dict[str, object], numbers: Collection[str] = tuple(OUTPUTS)
) -> list[str]:
    """Return which of the folders that a run writes cannot be written.

    Networks whose folders none of the steps with these numbers writes may lie in folders without
    permission.
    """
    written = {output for number in numbers for output in OUTPUTS.get(number, ())}
    problems = []
    for name in ("ROOT_DIR", *OUTPUT_FOLDERS):
        if name not in options:
            continue
        is_network = name in WRITTEN_BELOW and name != "ROOT_DIR"
        is_written = not is_network or any(f"{{{name.lower()}}}" in output for output in written)
        below = [Path(options[name]) / inner for inner in WRITTEN_BELOW.get(name, ()) if is_written]
        if GO_ASIDE.get(name) in numbers:
            _warn_of_masks_that_stay(name, Path(options[name]))
        for place in (existing_parent(options[name]), *filter(os.path.exists, below)):
            if not os.path.exists(place):
                problems.append(
                    f"{name} is {options[name]}, but there is no {place}. Allowed is a folder on "
                    "a drive that is there: connect it or change the option."
                )
            elif not place.is_dir():
                problems.append(
                    f"{name} is {options[name]}, but {place} is a file. Allowed is a folder: "
                    "rename the file or change the option."
                )
            elif is_written and not os.access(place, os.W_OK | os.X_OK):
                problems.append(
                    f"{name} is {options[name]}, but there is no permission to write in {place}. "
                    "Allowed is a folder of your own: change the permission or the option."
                )
    for name in STATE_FILES if "ROOT_DIR" in options else ():
        path = Path(options["ROOT_DIR"]) / STATE / name
        if os.path.exists(path) and not os.access(path, os.R_OK | os.W_OK):
            problems.append(
                f"{path}, in which a run notes what it has done, may not be read and written. "
                "Change its permission or its owner."
            )
    return problems
