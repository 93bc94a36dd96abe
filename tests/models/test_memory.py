"""Freed memory is kept for the next tensors, and kernels of convolutions are not, if wanted."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

from models import backend

PROJECT = Path(__file__).resolve().parents[2]
PROGRAM = """
import ctypes, resource
from models import backend, devices

libc = ctypes.CDLL("libc.so.6")
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]


def page_faults(blocks=8, size=2**27):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(blocks):
        block = libc.malloc(size)
        ctypes.memset(block, 1, size)
        libc.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


anew = page_faults()
devices.set_up_devices()
page_faults(1)
print(anew, page_faults())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="it is the C library of Linux that is told")
def test_large_blocks_are_not_given_back_to_the_system():
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    anew, kept = map(int, ended.stdout.split())
    assert kept < anew / 20


KERNELS = """
import ctypes, sys
from models import backend
from models.fast.process_memory import keep_no_kernels

if sys.argv[1] == "none kept":
    keep_no_kernels()
names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
information = type("mallinfo2", (ctypes.Structure,), {
    "_fields_": [(name, ctypes.c_size_t) for name in names]
})
libc = ctypes.CDLL("libc.so.6")
libc.mallinfo2.restype = information
kernel, bias = backend.torch.ones(16, 16, 3, 3), backend.torch.ones(16)


def bytes_in_use(sizes):
    for size in sizes:
        image = backend.torch.ones(1, 16, size, 2 * size)
        image = image.contiguous(memory_format=backend.torch.channels_last)
        backend.torch.conv2d(image, kernel, bias, padding=1)
    return libc.mallinfo2().uordblks


before = bytes_in_use(range(40, 44))
print(bytes_in_use(range(44, 74)) - before)
"""


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallinfo2"),
    reason="it is the C library of Linux that is asked, from 2.33 on",
)
@pytest.mark.skipif(backend.BACKEND != "torch", reason="it is PyTorch that is told")
def test_memory_does_not_grow_with_the_sizes_of_images_where_no_kernels_are_kept():
    names = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    kept, none_kept = (
        int(
            subprocess.run(
                [sys.executable, "-c", KERNELS, which],
                cwd=PROJECT,
                env=environment,
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
        for which in ("kept", "none kept")
    )
    assert kept > 30 * 10_000
    assert none_kept < kept / 3
