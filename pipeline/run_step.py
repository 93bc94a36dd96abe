"""Run one step in a process of its own: `python -m pipeline.run_step job.json`.

The job names the step's function, its keywords, and the devices. A process a step frees the GPU's
memory and keeps a crash of one library from the rest. This process ends when its parent does.
"""

import contextlib
import importlib
import json
import logging
import os
import signal
import sys
import threading
import time
import traceback
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from pipeline.processes.run_lock import is_alive
from pipeline.run_folders import DISK_IS_FULL

logger = logging.getLogger(__name__)

# The steps that run a network; simulate_masks only where the WGAN draws the outlines.
NETWORK_STEPS = (
    "train_wgan",
    "simulate_masks",
    "train_cyclegan",
    "translate_images",
    "train_unet",
    "segment_images",
)
# The options that say how many images a training step holds at a time.
BATCH_SIZES = {
    "train_wgan": "WGAN_BATCH_SIZE",
    "train_cyclegan": "CYCLEGAN_BATCH_SIZE",
    "train_unet": "UNET_BATCH_SIZE",
}
INTERRUPTED = 130


def set_up_logging(log_file=None):
    """Say INFO and worse on the standard output, plainly; everything also in ``log_file``."""
    if hasattr(sys.stdout, "reconfigure"):  # not where a notebook shows it
        sys.stdout.reconfigure(line_buffering=True)
    handlers = [logging.StreamHandler(sys.stdout)]
    handlers[0].setFormatter(logging.Formatter("  %(message)s"))
    if log_file is not None:
        handlers.append(logging.FileHandler(log_file, encoding="utf-8"))
        handlers[1].setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        # On a full disk the other handler still says what is wrong; this one could only repeat it.
        handlers[1].handleError = lambda record: None
    logging.basicConfig(level=logging.INFO, handlers=handlers, force=True)
    for name in ("absl", "tensorflow", "h5py", "matplotlib"):
        logging.getLogger(name).setLevel(logging.ERROR)


def end_with(parent):
    """End this process when another, [pid, start], is gone: no step goes on by itself."""

    def watch():
        while is_alive(parent):
            time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def runs_network(function, keywords):
    """Return whether a step, of this function and these keywords, runs a network.

    The others import neither Keras nor its backend.
    """
    return function in NETWORK_STEPS and keywords.get("outline_source") != "augmented"


def run_job(job):
    """Call the step's function; return the exit code."""
    try:
        if runs_network(job["function"], job["keywords"]):
            if os.environ.get("KERAS_BACKEND") == "torch":
                # Keras would import TensorFlow, where it is installed, to save a model.
                sys.modules.setdefault("tensorflow", None)
            if job["function"].startswith("train_"):
                # By itself TensorFlow uses oneDNN's kernels only on some processors. On the others,
                # too, training takes half to four fifths of the time with them, and less memory;
                # but a whole image twice as long.
                os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
            backend = importlib.import_module("models.backend")
            # The CycleGAN's two generators, and its two discriminators, do not wait for each other.
            independent = 2 if job["function"] == "train_cyclegan" else 1
            decided = backend.set_up_devices(**job["devices"], independent_networks=independent)
            if decided:
                logger.info("%s", decided)
        module = importlib.import_module(f"pipeline.{job['function']}")
        getattr(module, job["function"])(**job["keywords"])
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        what = in_words(error, job["function"], job["keywords"])
        logger.error("Step %s failed: %s", job["number"], what)
        with (
            contextlib.suppress(OSError),
            open(job["log_file"], "a", encoding="utf-8") as file,
        ):
            file.write(traceback.format_exc())
        return 1
    return 0


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
            f"the disk is full, or your share of it used up ({error}). Make room, then run "
            "StartProcess.py again: it goes on here, with all that is finished."
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
            f"Use a smaller {BATCH_SIZES[function]} or smaller tiles, or, on a GPU, PRECISION = "
            '"mixed_bfloat16".'
        )
    if runs_network(function, keywords):
        return "Use smaller tiles (TILE_SIZE_H, TILE_SIZE_W), or end other programs."
    lower = ", or lower MICROGRAPH_SCALE" if keywords.get("micrograph_scale", 1) > 1 else ""
    return f"End other programs, or cut the largest micrographs into parts{lower}."


def why_ended(code, function=None, keywords=None):
    """Return what the exit code of a step's process, which is not 0, tells."""
    if code >= 0:
        return f"stopped with exit code {code}"
    why = ""
    if code == -9:  # what a system that runs out of memory does
        advice = less_memory(function, keywords or {}).rstrip(".")
        why = f", most often because memory ran out. {advice}"
    return f"was ended by signal {-code}{why}. Run StartProcess.py again to go on where it was"


def main():
    """Run the job of the file named on the command line."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    set_up_logging(job["log_file"])
    if os.name == "posix":
        # Shutdowns and batch systems send it to all processes; the run passes it on as SIGINT.
        # Not SIG_IGN, which the processes of this one would inherit.
        signal.signal(signal.SIGTERM, lambda number, frame: None)
        # Shells start what runs in the background with SIGINT ignored, and Python leaves it so.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    end_with(job["parent"])
    sys.exit(run_job(job))


if __name__ == "__main__":
    main()
