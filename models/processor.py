"""The processor: how many of its cores this process may use, and its instructions."""

import contextlib
import functools
import math
import os
from collections.abc import Iterator
from pathlib import Path

# Control groups, of which batch systems make one within another: where they are, and which this
# process is in.
GROUPS, OWN_GROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
INFORMATION_FILE = Path("/proc/cpuinfo")


def available_cores() -> int:
    """Return the number of cores, at least 1: where fewer are granted than there are, those.

    Slurm pins a process to its share, containers get so much time in a period (cgroups); threads
    beyond that wait for each other.
    """
    if hasattr(os, "sched_getaffinity"):  # Linux
        return min(len(os.sched_getaffinity(0)), _quota())
    return os.cpu_count() or 1


def threads_within_quota() -> dict[str, str]:
    """Return the environment variables that keep both backends to the cores a container grants.

    By themselves they start a thread for each core there is. None where no fewer are granted.
    """
    if not hasattr(os, "sched_getaffinity") or available_cores() == len(os.sched_getaffinity(0)):
        return {}
    cores = str(available_cores())
    names = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    return dict.fromkeys(names, cores)


def granted_memory() -> int:
    """Return how many bytes of memory this process may use: the computer's, or what a container or
    a batch job is granted of it."""
    import psutil  # only by what asks for it: layers that look for instructions need no more

    return min(psutil.virtual_memory().total, *_memory_limits(), math.inf)


def _memory_limits() -> Iterator[int]:
    """Yield how many bytes the control groups allow that this process is in."""
    for text in _settings("memory", ["memory.max"], ["memory.limit_in_bytes"]):
        with contextlib.suppress(ValueError):  # "max": no limit
            yield int(text)


def _quota() -> float:
    """Return how many cores' time the process gets, rounded up; infinite without a limit."""
    cores = math.inf
    for text in _settings("cpu", ["cpu.max"], ["cpu.cfs_quota_us", "cpu.cfs_period_us"]):
        with contextlib.suppress(ValueError, ZeroDivisionError):  # "max": no limit
            quota, period = map(int, text.split())
            if quota > 0:  # -1: no limit
                cores = min(cores, max(1, math.ceil(quota / period)))
    return cores


def _settings(controller: str, names: list[str], names_before: list[str]) -> Iterator[str]:
    """Yield what the files of these names hold, in each control group that this process is in.

    ``names`` are those of version 2, ``names_before`` of version 1.
    """
    lines = []
    with contextlib.suppress(OSError):
        lines = OWN_GROUPS.read_text().splitlines()  # such as "5:memory:/job" or "0::/job"
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top, files = (GROUPS / controller, names_before) if controllers else (GROUPS, names)
        own = top / group.strip("/")
        # In a container the group's own path may lead nowhere, and the top be the container's.
        for folder in (own, *(parent for parent in own.parents if parent.is_relative_to(top))):
            with contextlib.suppress(OSError):
                yield " ".join((folder / name).read_text() for name in files)


def has_slow_kernel_gradients() -> bool:
    """Return whether the libraries take longer for convolutions' gradients than for products here.

    So they do in float32 without AVX-512: a kernel's gradient is computed at a fifth to two thirds
    of the rate of the convolution itself (benchmarks/notebook/speed.md). Of a processor that does
    not tell what it has it is not assumed.
    """
    return bool(instructions()) and "avx512f" not in instructions()


@functools.cache
def instructions() -> frozenset[str]:
    """Return the names of the processor's sets of instructions; only Linux says, elsewhere none."""
    with contextlib.suppress(OSError), INFORMATION_FILE.open(errors="replace") as lines:
        for line in lines:
            if line.startswith("flags"):  # the same for each core
                return frozenset(line.split())
    return frozenset()
