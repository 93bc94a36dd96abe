"""One run at a time in a folder; processes are told apart, and end with the one they belong to."""

import contextlib
import json
import logging
import os
import platform
import threading
import time
from pathlib import Path

import psutil

from pipeline.files.records import read_record, write_json

logger = logging.getLogger(__name__)

SECONDS_TO_WAIT_FOR_A_DYING_STEP = 5.0
# A run touches its lock so often, for other computers that share the folder: they cannot see its
# process. Without a sign for so long it is gone; file servers may show one a minute late.
SECONDS_BETWEEN_SIGNS, SECONDS_WITHOUT_A_SIGN = 10.0, 120.0
SECONDS_ASIDE = 1.0
SECONDS_BETWEEN_LOOKS = 0.5  # for a sign
LOST = 4  # exit code of a run whose folder another has taken over
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@contextlib.contextmanager
def locked(path):
    """Hold the lock file ``path``; yield ``tell(pid)``, to be called with each step's process.

    The lock of a process that is gone is taken over, once its step's process is gone too; that of
    a run on another computer, once it has given no sign for `SECONDS_WITHOUT_A_SIGN`.

    Raises
    ------
    BlockingIOError
        If another run is on; names its process and computer.
    """
    content = {"computer": platform.node(), "run": identity_of(os.getpid()), "step": None}
    while not _create(path, content):
        held = _read(path)
        _wait_or_refuse(path, held)
        _remove(path, held)

    def tell(pid):
        _end_if_lost(path, content)
        write_json(path, {**content, "step": identity_of(pid)})

    try:
        with _signs_of_life(path, content):
            yield tell
    finally:
        if _is_of(_read(path), content):  # not of a run that took this one, asleep, for gone
            path.unlink(missing_ok=True)


def _end_if_lost(path, content):
    """End this process, and with it its step, where another run has taken its lock over.

    At once, as what is done to the end, or saved, would go among what the other one makes.
    """
    held = _read(path)  # nothing where it cannot be read just now
    if (held and not _is_of(held, content)) or _is_gone(path):
        logger.error(
            "another run took this folder over, as this one gave no sign of life for %.0f s (the "
            "computer asleep, or the network gone?), so this one ends here (%s)",
            *(SECONDS_WITHOUT_A_SIGN, path),
        )
        os._exit(LOST)


def _is_gone(path):
    """Return whether there is no lock in a folder that is there: another run took it, and ended.

    It is looked for twice, as one that takes a lock over puts it aside for a moment.
    """
    for wait in (SECONDS_ASIDE, 0):
        if path.exists() or not path.parent.is_dir():
            return False
        time.sleep(wait)
    return True


def _is_of(held, content):
    """Return whether what a lock says is of the run whose first ``content`` this is."""
    return [held.get(name) for name in ("computer", "run")] == [content["computer"], content["run"]]


@contextlib.contextmanager
def _signs_of_life(path, content):
    ended = threading.Event()

    def show():
        while not ended.wait(SECONDS_BETWEEN_SIGNS):
            with contextlib.suppress(OSError):
                _end_if_lost(path, content)
                os.utime(path)

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _create(path, content):
    """Write the lock, unless there is one; return whether it was written."""
    try:
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        return False
    with open(file, "w", encoding="utf-8") as lock:
        json.dump(content, lock)
    return True


def _read(path):
    """Return what a lock says, nothing where it is cut off or damaged."""
    held = read_record(path)
    is_whole = all(held.get(name) is None or _is_identity(held[name]) for name in ("run", "step"))
    return held if is_whole else {}


def _is_identity(value):
    return (
        isinstance(value, list) and len(value) == 2 and isinstance(value[0], int) and value[0] > 0
    )


def _remove(path, held):
    """Remove a lock with this content; one that another run has put there meanwhile stays."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):
        os.replace(path, aside)
        if _read(aside) == held:
            aside.unlink()
        else:
            os.replace(aside, path)


def identity_of(pid):
    """Return what tells a process from later ones with its number: [pid, start], or None.

    None is for one that is gone; that is also one that nobody has asked for its exit code (in
    containers it may stay listed for ever).
    """
    try:
        process = psutil.Process(pid)
        gone = process.status() == psutil.STATUS_ZOMBIE
        return None if gone else [pid, _start(process)]
    except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        return None


def _start(process):
    """Return when a process started, in words that stay the same when the clock is set.

    On Linux those are the boot's name and the ticks since then, elsewhere the time.
    """
    if not BOOT_ID.is_file():
        return f"{process.create_time():.0f}"
    # The name of the program, in brackets, may hold blanks: the start is the 20th word after it.
    status = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8", errors="replace")
    return f"{BOOT_ID.read_text().strip()} {status.rpartition(')')[2].split()[19]}"


def is_alive(identity):
    """Return whether a process, [pid, start], is still there."""
    return bool(identity) and identity_of(identity[0]) == list(identity)


def _is_still(process, identity):
    """Return whether a process that is watched is still there, though the clock may be set."""
    if BOOT_ID.is_file():
        return is_alive(identity)
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def end_with(parent):
    """End this process when another, [pid, start], is gone: no step goes on by itself."""

    def watch():
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(parent[0])
            while _is_still(process, parent):
                time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _wait_or_refuse(path, held):
    computer = held.get("computer", platform.node())
    if computer != platform.node():
        _wait_for_a_sign(path, computer, (held.get("run") or ["unknown"])[0])
        return
    if is_alive(held.get("run")):
        raise BlockingIOError(
            f"Another run is on in this folder: process {held['run'][0]} ({path}). Wait for it, "
            "stop it, or set another ROOT_DIR."
        )
    end = time.monotonic() + SECONDS_TO_WAIT_FOR_A_DYING_STEP
    # A lock without (whole) content may be one that is just being written.
    while is_alive(held.get("step")) or (not held and time.monotonic() < end):
        if time.monotonic() > end:
            raise BlockingIOError(
                f"A step of an earlier run is still at work: process {held['step'][0]}. Stop it, "
                "then start again."
            )
        time.sleep(0.2)


def _wait_for_a_sign(path, computer, process):
    """Return once the lock of a run on another computer was left alone for long enough; raise a
    BlockingIOError if it is touched."""
    try:
        touched = _last_sign(path)
        left = SECONDS_WITHOUT_A_SIGN - (_now_on_the_disk(path) - touched)
        if left > 0:
            logger.info(
                "a run on the computer %s, process %s, held this folder: waiting for a sign of it, "
                "%.0f s at most",
                *(computer, process, left),
            )
        end = time.monotonic() + left
        while time.monotonic() < end:
            time.sleep(SECONDS_BETWEEN_LOOKS)
            if _last_sign(path) != touched:
                raise BlockingIOError(
                    f"A run on the computer {computer}, process {process}, is on in this folder "
                    f"({path}). Wait for it, stop it there, or set another ROOT_DIR."
                )
    except FileNotFoundError:  # it ended
        return
    logger.warning("the run on the computer %s, process %s, is gone", computer, process)


def _last_sign(path):
    """Return when a lock was touched; opened, as a network drive may tell what it knew before."""
    with open(path, "rb") as file:
        return os.fstat(file.fileno()).st_mtime


def _now_on_the_disk(path):
    """Return the time by the clock of the disk that ``path`` is on, which may be another's."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        aside.touch()
        return aside.stat().st_mtime
    finally:
        aside.unlink(missing_ok=True)
