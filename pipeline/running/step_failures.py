"""What goes wrong in a step, in the user's words, and what there is to do about it."""

import sys
from concurrent.futures.process import BrokenProcessPool

from pipeline.files.whole_files import DISK_IS_FULL
from pipeline.running.step_table import runs_network

# The options that say how many images a training step holds at a time.
BATCH_SIZES = {
    "train_wgan": "WGAN_BATCH_SIZE",
    "train_cyclegan": "CYCLEGAN_BATCH_SIZE",
    "train_unet": "UNET_BATCH_SIZE",
}
CRASHES_ON_WINDOWS = 0xC0000000  # exit codes from here on are errors that ended a process


def in_words(error, function=None, keywords=None):
    """Return what an exception says to the user, and what there is to do about it.

    ``function`` and ``keywords`` are those of the step, where there is one.
    """
    backend = sys.modules.get("models.backend")
    if isinstance(error, MemoryError) or (backend and backend.is_out_of_memory(error)):
        return f"out of memory. {less_memory(function, keywords or {})} ({error})"
    if isinstance(error, BrokenProcessPool):
        advice = less_memory(function, keywords or {})
        return f"one of its processes was ended, most often because memory ran out. {advice}"
    if isinstance(error, OSError) and error.errno in DISK_IS_FULL:
        return (
            f"the disk is full, or your share of it used up ({error}). Make room; all that is "
            "finished is kept."
        )
    if isinstance(error, PermissionError) and error.filename:
        return (
            f"{error}. Close it where another program, such as Excel, has it open, or change its "
            "permission."
        )
    if isinstance(error, ValueError | OSError):
        return str(error)
    return f"{type(error).__name__}: {error}"


def less_memory(function, keywords):
    """Return what makes a step, of this function and these keywords, need less memory."""
    if keywords.get("whole_image"):
        return (
            "Set RUN_INFERENCE_ON_WHOLE_IMAGE = False: micrographs are then computed tile by tile."
        )
    if keywords.get("magnification", 1) > 1:
        return "Set UNET_TEST_TIME_MAGNIFICATION = 1, or end other programs."
    if function == "train_wgan":
        return (
            "Crop the outlines in Input_Masks to the particles, as all are learned at the size of "
            f"the largest, or use a smaller {BATCH_SIZES[function]}."
        )
    if function in BATCH_SIZES:
        return (
            f"Use a smaller {BATCH_SIZES[function]}, or, on what multiplies it, such as GPUs since "
            '2020, precision="mixed_bfloat16" in the call of this step (with PRECISION the other '
            "networks are trained anew, too), or smaller tiles (for which all but step 1 runs "
            "again); or, where other programs use the GPU, end them, or choose another one "
            "(USE_GPUS_NO)."
        )
    if runs_network(function, keywords):
        return "Use smaller tiles (TILE_SIZE_H, TILE_SIZE_W), or end other programs."
    lower = ", or lower MICROGRAPH_SCALE" if keywords.get("micrograph_scale", 1) > 1 else ""
    return f"End other programs, or cut the largest micrographs into parts{lower}."


def why_ended(code, function=None, keywords=None):
    """Return what the exit code of a step's process, which is not 0, tells."""
    if 0 <= code < CRASHES_ON_WINDOWS:
        return f"stopped with exit code {code}"
    by = f"by signal {-code}" if code < 0 else f"by Windows (0x{code:08X})"
    why = ""
    if code == -9:  # what a system that runs out of memory does
        advice = less_memory(function, keywords or {}).rstrip(".")
        why = f", most often because memory ran out. {advice}"
    return f"was ended {by}{why}"
