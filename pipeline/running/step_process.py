"""The process of a step, seen from the run: started with its job, told to save and stop."""

import contextlib
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

from models.processor import threads_within_quota
from pipeline.files.records import write_json
from pipeline.running.run_lock import identity_of
from pipeline.running.step_table import LOG

logger = logging.getLogger(__name__)

INTERRUPTED = 130  # exit code of a step that saved its state and stopped
# Intel's MKL, which torch uses on CPUs, adds up in another order from run to run, by the memory's
# alignment and the machine's load, unless it is told not to.
REPEATABLE = {"MKL_CBWR": "AUTO,STRICT", "MKL_DYNAMIC": "FALSE", "OMP_DYNAMIC": "FALSE"}
# GPUs are numbered as nvidia-smi does, not the fastest first.
GPU_NUMBERS = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
# What ends a run from outside: batch systems and shutdowns, and a terminal or ssh session lost
# (on Windows, a console window closed).
ENDS = ("SIGTERM", "SIGHUP", "SIGBREAK", "SIGUSR1", "SIGUSR2")
SECONDS_BETWEEN_LOOKS = 0.5


def catch_ends_from_outside():
    """Let signals that end this process act as Ctrl-C does: the step saves its state first.

    One that is ignored stays so: `nohup` asks for that.
    """
    for name in ENDS:
        number = getattr(signal, name, None)  # Windows does not know all
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _raise_interrupt)


def _raise_interrupt(number, frame):
    _end_once()
    raise KeyboardInterrupt


def _end_once():
    """Take no notice of further signals that end this process: shutdowns and lost sessions send
    several, and a second interrupt would not let the step save its state."""
    for name in ENDS:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda number, frame: None)


def run_in_process(folder, call, options, tell_lock, made_with=None):
    """Run a step as it is called; return its exit code and whether the user interrupted it.

    ``folder`` is that of the job and the log; ``options`` are those of StartProcess.py;
    ``tell_lock(pid)`` is told the process; ``made_with`` is a digest of what decides the step's
    output, None where all of it is made anew (see `note_warnings`).
    """
    job = {
        **call._asdict(),
        "made_with": made_with,
        "devices": {
            "use_gpus": options["USE_GPUS_NO"],
            "allow_memory_growth": options["ALLOW_MEMORY_GROWTH"],
            "deterministic": options["DETERMINISTIC"],
            "use_xla": options["USE_XLA"],
        },
        "log_file": str(folder / LOG),
        "parent": identity_of(os.getpid()),
    }
    job_file = folder / "job.json"
    write_json(job_file, job)
    # A group of its own: Ctrl-C reaches the step once, through us, and so does SIGTERM.
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.run_step", str(job_file)],
        env={**_without_home(folder), **environment_of_step()},
        start_new_session=os.name == "posix",
    )
    tell_lock(process.pid)
    try:
        return _wait(process), False
    except KeyboardInterrupt:
        _end_once()
        logger.info("stopping when the state is saved; press Ctrl-C again to stop at once")
        if os.name == "posix":
            process.send_signal(signal.SIGINT)
    try:
        return _wait(process), True
    except KeyboardInterrupt:
        process.kill()
        return INTERRUPTED, True


def _wait(process):
    """Return a process's exit code when it ends; on Windows, too, Ctrl-C interrupts it."""
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(SECONDS_BETWEEN_LOOKS)


def _without_home(folder):
    """Return the environment variables of a process that cannot write into the user's folder, as in
    a container: where Triton, else in there, keeps the kernels it makes."""
    if os.access(os.path.expanduser("~"), os.W_OK):
        return {}
    return {"TRITON_CACHE_DIR": str(folder / "triton")}


def environment_of_step():
    """Return the environment variables of a step's process."""
    project = Path(__file__).resolve().parents[2]
    paths = [str(project), os.environ.get("PYTHONPATH", "")]
    return {
        "TF_CPP_MIN_LOG_LEVEL": "3",
        # Some file servers cannot lock, and then HDF5 opens no file; a run has a lock of its own.
        "HDF5_USE_FILE_LOCKING": "FALSE",
        **threads_within_quota(),
        **REPEATABLE,
        **GPU_NUMBERS,
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "PYTHONHASHSEED": "0",
    }
