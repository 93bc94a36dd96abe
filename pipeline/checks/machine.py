"""What a run needs of the machine: a backend, and GPUs if asked for."""

import importlib.util
import logging
import os
import shutil
import sys
from pathlib import Path

from pipeline.checks.options import suggest

logger = logging.getLogger(__name__)

BACKENDS = ("tensorflow", "torch")


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
    install = "run `pip install -r requirements.txt`, or `pip install {}`"
    ways_out = {name: install.format(name), "keras": install.format("keras")}
    if importlib.util.find_spec(other):
        ways_out[name] = (
            f'{other} is: set KERAS_BACKEND to "{other}" in the environment, or in the line '
            f"os.environ.setdefault of StartProcess.py. Or {ways_out[name]}"
        )
    return [
        f'KERAS_BACKEND is "{name}", but the package {package} is not installed here; {way_out}.'
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


def machine_shows_gpu() -> bool:
    """Return whether there is any sign of a GPU, without importing a library."""
    count = count_gpus()
    if count is None:  # such as on Windows
        return bool(shutil.which("nvidia-smi") or shutil.which("rocm-smi"))
    return count > 0


def warn_of_gpu_left_out(use_gpus: int | str | list[int], in_use: bool) -> None:
    """Warn where the machine has a GPU that is wanted and that the backend does not use."""
    if not in_use and use_gpus not in (0, [], ()) and machine_shows_gpu():
        logger.warning(
            "%s cannot use the GPU that is there, so it computes on the CPU, which takes many "
            'times as long (README, "With a GPU"); USE_GPUS_NO = 0 asks for that',
            os.environ.get("KERAS_BACKEND", "the backend"),
        )


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
