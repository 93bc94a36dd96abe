"""One run at a time in a folder."""

import contextlib
import os
import time

import psutil

from pipeline.run_folders import read_json, write_json

SECONDS_TO_WAIT_FOR_A_DYING_STEP = 5.0


@contextlib.contextmanager
def locked(path):
    """Hold the lock file ``path``; yield ``tell(pid)``, to be told the step's process.

    The lock of a process that is gone is taken over, once its step's process is gone too.

    Raises
    ------
    BlockingIOError
        If another run is on; names its process.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    content = {"run": _identity(os.getpid()), "step": None}
    write_json(temporary, content)
    while True:
        try:
            os.link(temporary, path)
            break
        except FileExistsError:
            _wait_or_refuse(path)
            path.unlink(missing_ok=True)
    temporary.unlink()

    def tell(pid):
        write_json(path, {**content, "step": _identity(pid)})

    try:
        yield tell
    finally:
        path.unlink(missing_ok=True)


def _identity(pid):
    try:
        return [pid, psutil.Process(pid).create_time()]
    except psutil.NoSuchProcess:
        return None


def _is_alive(identity):
    return identity is not None and _identity(identity[0]) == identity


def _wait_or_refuse(path):
    held = read_json(path) or {}
    if _is_alive(held.get("run")):
        raise BlockingIOError(
            f"Another run is on in this folder: process {held['run'][0]} ({path}). Wait for it, "
            "stop it, or set another ROOT_DIR."
        )
    end = time.monotonic() + SECONDS_TO_WAIT_FOR_A_DYING_STEP
    while _is_alive(held.get("step")):
        if time.monotonic() > end:
            raise BlockingIOError(
                f"A step of an earlier run is still at work: process {held['step'][0]}. Stop it, "
                "then start again."
            )
        time.sleep(0.2)
