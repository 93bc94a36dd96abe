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
import traceback
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from pipeline.checks.machine import warn_of_gpu_left_out
from pipeline.files.digests import recall_digests
from pipeline.files.records import read_record
from pipeline.running.logs import set_up_logging
from pipeline.running.run_lock import end_with
from pipeline.running.step_failures import in_words
from pipeline.running.step_process import ENDS, INTERRUPTED
from pipeline.running.step_table import DIGESTS, runs_network
from pipeline.running.step_warnings import collected, note_warnings

logger = logging.getLogger(__name__)

asked_to_end = []  # the numbers of signals that came, such as a shutdown's


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
            devices = importlib.import_module("models.devices")
            # The CycleGAN's two generators, and its two discriminators, do not wait for each other.
            independent = 2 if job["function"] == "train_cyclegan" else 1
            decided = devices.set_up_devices(**job["devices"], independent_networks=independent)
            if decided:
                logger.info("%s", decided)
            if job["function"].startswith("train_"):
                in_use = importlib.import_module("models.backend").has_gpu()
                warn_of_gpu_left_out(job["devices"]["use_gpus"], in_use)
        module = importlib.import_module(f"pipeline.{job['function']}")
        getattr(module, job["function"])(**job["keywords"])
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        if isinstance(error, BrokenProcessPool) and asked_to_end:  # its processes were, too
            return INTERRUPTED
        what = in_words(error, job["function"], job["keywords"])
        logger.error("Step %s failed: %s", job["number"], what)
        with (
            contextlib.suppress(OSError),
            open(job["log_file"], "a", encoding="utf-8") as file,
        ):
            file.write(traceback.format_exc())
        return 1
    return 0


def main():
    """Run the job of the file named on the command line."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    set_up_logging(job["log_file"])
    if os.name == "posix":
        # Shutdowns and batch systems send them to all processes; the run passes them on as SIGINT.
        # Not SIG_IGN, which the processes of this one would inherit.
        for name in ENDS:
            if number := getattr(signal, name, None):
                signal.signal(number, lambda number, frame: asked_to_end.append(number))
        # Shells start what runs in the background with SIGINT ignored, and Python leaves it so.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    else:
        # It comes to all processes of a console window that is closed.
        signal.signal(signal.SIGBREAK, signal.default_int_handler)
    end_with(job["parent"])
    state_folder = Path(sys.argv[1]).parent
    with contextlib.suppress(OSError):  # they only save time
        recall_digests(read_record(state_folder / DIGESTS))
    with collected() as warnings:
        code = run_job(job)
    if code in (0, INTERRUPTED):
        with contextlib.suppress(OSError):  # the step is done, and the log holds them
            note_warnings(state_folder, job["number"], warnings, job.get("made_with"))
    sys.exit(code)


if __name__ == "__main__":
    main()
