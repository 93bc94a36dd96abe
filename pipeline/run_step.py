"""Run one step in a process of its own: `python -m pipeline.run_step job.json`.

The job names the step's function, its keywords, and the devices. A process a step frees the GPU's
memory and keeps a crash of one library from the rest. This process ends when its parent does.
"""

import contextlib
import functools
import importlib
import json
import logging
import os
import signal
import sys
import traceback
from pathlib import Path

from pipeline.running.run_lock import end_with
from pipeline.running.step_failures import in_words
from pipeline.running.step_process import INTERRUPTED
from pipeline.running.step_table import runs_network
from pipeline.running.step_warnings import collected, note_warnings

logger = logging.getLogger(__name__)


def set_up_logging(log_file=None):
    """Say INFO and worse on the standard output, plainly, and all that in ``log_file``, too."""
    if hasattr(sys.stdout, "reconfigure"):  # not where a notebook shows it
        # Redirected on Windows, it cannot hold all characters that file names have.
        sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
    handlers = [logging.StreamHandler(sys.stdout)]
    handlers[0].setFormatter(logging.Formatter("  %(message)s"))
    if log_file is not None:
        in_file = logging.FileHandler(log_file, encoding="utf-8", errors="backslashreplace")
        in_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        handlers.append(in_file)
    for handler in handlers:
        handler.addFilter(_is_of_interest)
        handler.handleError = functools.partial(_say_unless_unwritable, handler)
    logging.basicConfig(level=logging.INFO, handlers=handlers, force=True)
    for name in ("absl", "tensorflow", "h5py", "matplotlib"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _say_unless_unwritable(handler, record):
    # On a full disk, or where the output has ended (`| head`), a traceback would only repeat it.
    if not isinstance(sys.exc_info()[1], OSError):
        logging.Handler.handleError(handler, record)


def _is_of_interest(record):
    # Libraries tell much that is not, such as fontTools each letter that a plot has.
    is_ours = record.name.partition(".")[0] in ("pipeline", "models", "simulate", "__main__")
    return is_ours or record.levelno >= logging.WARNING


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
    else:
        # It comes to all processes of a console window that is closed.
        signal.signal(signal.SIGBREAK, signal.default_int_handler)
    end_with(job["parent"])
    with collected() as warnings:
        code = run_job(job)
    if code == 0:
        with contextlib.suppress(OSError):  # the step is done, and the log holds them
            note_warnings(Path(sys.argv[1]).parent, job["number"], warnings)
    sys.exit(code)


if __name__ == "__main__":
    main()
