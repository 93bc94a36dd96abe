"""Memory that is freed is kept for the next tensors."""

import subprocess
import sys
from pathlib import Path

import pytest

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
