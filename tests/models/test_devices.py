"""Deterministic runs on a CPU: what is set up in a process of its own."""

import os
import subprocess
import sys

import pytest

from models import backend

PROGRAM = """
import sys
from models import backend

print(backend.set_up_devices(use_gpus=0, deterministic=sys.argv[1] == "True"))
if backend.BACKEND == "torch":
    print(backend.torch.get_num_threads())
"""


@pytest.mark.parametrize("deterministic", [False, True])
def test_deterministic_torch_computes_on_one_thread_of_a_cpu(deterministic):
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(deterministic)],
        env={**os.environ, "OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        check=True,
    )
    said, *threads = ended.stdout.splitlines()
    on_one = deterministic and backend.BACKEND == "torch"
    assert ("torch computes on one thread of the CPU" in said) == on_one
    assert threads == ([] if backend.BACKEND == "tensorflow" else ["1" if on_one else "2"])
