"""One run at a time in a folder."""

import contextlib
import json
import os
import platform
import time

import psutil

from pipeline.run_folders import read_json, write_json

SECONDS_TO_WAIT_FOR_A_DYING_STEP = 5.0
# Start times of processes are derived from the clock, which may be set a little meanwhile.
SECONDS_OF_CLOCK_CHANGE = 5.0


@contextlib.contextmanager
def locked(path):
    """Hold the lock file ``path``; yield ``tell(pid)``, to be told the step's process.

    The lock of a process that is gone is taken over, once its step's process is gone too.

    Raises
    ------
    BlockingIOError
        If another run is on; names its process and computer.
    """
    content = {"computer": platform.node(), "run": identity_of(os.getpid()), "step": None}
    while not _create(path, content):
        held = read_json(path) or {}
        _wait_or_refuse(path, held)
        if (read_json(path) or {}) == held:
            path.unlink(missing_ok=True)

    def tell(pid):
        write_json(path, {**content, "step": identity_of(pid)})

    try:
        yield tell
    finally:
        path.unlink(missing_ok=True)


def _create(path, content):
    """Write the lock, unless there is one; return whether it was written."""
    try:
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        return False
    with open(file, "w", encoding="utf-8") as lock:
        json.dump(content, lock)
    return True


def identity_of(pid):
    """Return what tells a process from later ones with its number: [pid, start time], or None.

    None is for one that is gone; that is also one that nobody has asked for its exit code (in
    containers it may stay listed for ever).
    """
    try:
        process = psutil.Process(pid)
        gone = process.status() == psutil.STATUS_ZOMBIE
        return None if gone else [pid, process.create_time()]
    except psutil.NoSuchProcess:
        return None


def is_alive(identity):
    """Return whether a process, [pid, start time], is still there."""
    now = identity and identity_of(identity[0])
    return bool(now) and abs(now[1] - identity[1]) < SECONDS_OF_CLOCK_CHANGE


def _wait_or_refuse(path, held):
    computer = held.get("computer", platform.node())
    if computer != platform.node():
        raise BlockingIOError(
            f"A run on the computer {computer}, process {(held.get('run') or ['unknown'])[0]}, "
            f"holds this folder. Wait for it, or, if it is gone for sure, delete {path}."
        )
    if is_alive(held.get("run")):
        raise BlockingIOError(
            f"Another run is on in this folder: process {held['run'][0]} ({path}). Wait for it, "
            "stop it, or set another ROOT_DIR."
        )
    end = time.monotonic() + SECONDS_TO_WAIT_FOR_A_DYING_STEP
    # A lock without content may be one that is just being written.
    while is_alive(held.get("step")) or (not held and time.monotonic() < end):
        if time.monotonic() > end:
            raise BlockingIOError(
                f"A step of an earlier run is still at work: process {held['step'][0]}. Stop it, "
                "then start again."
            )
        time.sleep(0.2)
