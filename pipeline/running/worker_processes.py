"""A function applied to many items in several processes, in order."""

import contextlib
import math
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import islice

import cv2

from models.processor import available_cores, granted_memory
from pipeline.running.run_lock import end_with, identity_of

# A process more pays off from so many simulated masks on (2 to 10 s of work); each takes some at
# a time.
ITEMS_PER_PROCESS = 50
ITEMS_AT_A_TIME = 25
MOST_PROCESSES = 61  # that Python can wait for on Windows
MICROGRAPHS_PER_PROCESS = 8  # each of which takes about a second
# Bytes that a process takes, and for each pixel of a micrograph (28, where masks are segmented);
# together no more than this share of the memory there is.
BYTES_PER_PROCESS, BYTES_PER_PIXEL, MOST_MEMORY = 200_000_000, 30, 1 / 4
THREADS_OF_LIBRARIES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# Of these, for each process: results that nobody takes yet wait in memory.
CHUNKS_AHEAD = 2


def number_of_processes(number_of_items: int, items_each: int = ITEMS_PER_PROCESS) -> int:
    """Return how many processes pay off for so many items: at most one a core, at least one.

    ``items_each``: by so many a process more pays off.
    """
    if multiprocessing.current_process().daemon:  # which may not have processes of its own
        return 1
    most = min(available_cores(), MOST_PROCESSES)
    return max(1, min(most, number_of_items // items_each))


def run_over_micrographs(
    function: Callable, items: Sequence, sizes: Iterable[tuple[int, int]]
) -> Iterator:
    """Yield ``function(item)`` for each item in order, of micrographs of these sizes (h, w).

    They are those worked on, enlarged perhaps: so many at a time as the memory has room for.
    """
    of_largest = BYTES_PER_PROCESS + BYTES_PER_PIXEL * max(map(math.prod, sizes), default=0)
    room_for = int(MOST_MEMORY * granted_memory() / of_largest)
    processes = max(1, min(number_of_processes(len(items), MICROGRAPHS_PER_PROCESS), room_for))
    return run_in_processes(function, items, processes, at_a_time=1)


def run_in_processes(
    function: Callable, items: Iterable, processes: int, at_a_time: int = ITEMS_AT_A_TIME
) -> Iterator:
    """Yield ``function(item)`` for each item in order; the number of processes changes nothing.

    Each is given so many items ``at_a_time``. New processes start afresh (a copy of this one would
    share its network library's threads), and end when this one is killed.
    """
    if processes == 1:
        yield from map(function, items)
        return
    spawn = multiprocessing.get_context("spawn")
    parent = identity_of(os.getpid())
    threads = max(1, available_cores() // processes)
    # The function may hold hundreds of MB: each process is given it once.
    begin = {"initializer": _begin, "initargs": (parent, threads, function)}
    with ProcessPoolExecutor(processes, spawn, **begin) as pool:
        items, waiting = iter(items), deque()
        try:
            while chunk := list(islice(items, at_a_time)):
                with _threads_of_libraries(threads):  # which this begins processes with
                    waiting.append(pool.submit(_apply, chunk))
                if len(waiting) > CHUNKS_AHEAD * processes:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


@contextlib.contextmanager
def _threads_of_libraries(threads):
    """Let NumPy's libraries start so many threads in processes that begin meanwhile, or fewer
    where the user wants so.

    They start them when they are loaded, by themselves one for each core in every process.
    """
    before = {name: os.environ.get(name) for name in THREADS_OF_LIBRARIES}
    for name, wanted in before.items():
        fewer = wanted is not None and wanted.isdecimal() and int(wanted) < threads
        os.environ[name] = wanted if fewer else str(threads)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def _begin(parent, threads, function):
    global _function
    # Windows sends Ctrl-C to all processes; the step's own ends these.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with(parent)
    cv2.setNumThreads(threads)
    _function = function


def _apply(items):
    return [_function(item) for item in items]
