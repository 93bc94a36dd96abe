"""How this process holds the memory it has."""

import contextlib
import ctypes
import os

from models.backend import BACKEND


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


def keep_no_kernels():
    """Let PyTorch make the kernels of its convolutions on a CPU anew each time.

    To be called before the first of them. Kept ones, for each size of image, come to lie in the
    memory that an image leaves free, so that the next one's tensors do not fit there and more is
    taken with every size. Without them an image takes a sixth to a fifth longer. TensorFlow has a
    cache above these, which no option limits, so there nothing changes.
    """
    if BACKEND != "torch":
        return
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "0")
    os.environ.setdefault("LRU_CACHE_CAPACITY", "1")
