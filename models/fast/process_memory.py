"""How this process holds the memory it has."""

import contextlib
import ctypes


def keep_freed_memory():
    """Let this process keep the memory it frees for its next tensors.

    The C library of Linux gives every large block back to the system, which then hands out zeroed
    pages again: a third of a torch step on a CPU. Without that library nothing changes.
    """
    with contextlib.suppress(OSError, AttributeError):
        set_option = ctypes.CDLL("libc.so.6").mallopt
        trim_threshold, top_pad, mmap_max = -1, -2, -4  # names of malloc.h
        set_option(mmap_max, 0)
        set_option(trim_threshold, -1)
        set_option(top_pad, 2**26)
