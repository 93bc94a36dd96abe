"""How many cores this process may use."""

import os


def available_cores() -> int:
    """Return the number of cores, at least 1: where a scheduler grants fewer than there are, those.

    Slurm and containers pin a process to its share; threads beyond it wait for each other.
    """
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
