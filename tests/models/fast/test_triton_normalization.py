"""The kernels for a GPU, run by Triton's interpreter, beside the formulas in float64."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from models import backend
from models.fast import triton_normalization

torch = backend.torch
pytestmark = pytest.mark.skipif(torch is None, reason="the kernels are for PyTorch")


@pytest.mark.skipif(
    importlib.util.find_spec("triton") is None,
    reason="Triton is not there; it comes with PyTorch for NVIDIA's GPUs on Linux",
)
@pytest.mark.parametrize(("kind", "rounding"), [("float32", 1e-5), ("bfloat16", 1e-2)])
def test_they_compute_the_formula_and_its_gradients(kind, rounding):
    # In a process of its own: what is interpreted is decided when Triton is imported.
    printed = subprocess.run(
        [sys.executable, "-m", "tests.models.fast.compute_by_triton", kind],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        cwd=Path(__file__).parents[3],
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
    cases = [json.loads(line) for line in printed.splitlines()]
    assert len(cases) == 10
    for case in cases:
        for name, error in case["errors"].items():
            assert error < (rounding if name in ("y", "of x") else 1e-5), (name, case)


def test_without_a_gpu_they_are_not_chosen():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert not triton_normalization.is_available(torch.float32)
